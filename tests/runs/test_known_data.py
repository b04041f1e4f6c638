"""Where the data of a run that is looked at may lie, and that nothing is written, fetched or given away."""

import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from toys import keys_of

from ncf.core.compose import CONF
from ncf.data import read_split, sources
from ncf.errors import DataError
from ncf.runs.known_data import DEFAULT_ROOT, split_of

ROWS = [f"{user},{item},5,{user * 7 + item * 3}" for user in range(6) for item in range(user % 2, 9, 2)]
SECRET = "root:x:0:0:secret:/root"  # a line of another file of the user's


def settings(name: str, **changes: Any) -> dict[str, Any]:
    computed = {"delimiter": ",", "threshold": 4} if name == "csv" else {}
    keys = {"data": keys_of("data", name) | computed | changes, "split": keys_of("split", "leave_one_out")}
    return {group: {"name": value["name"], **value} for group, value in keys.items()}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty; there is no network."""
    monkeypatch.setattr(sources, "fetch", None)
    monkeypatch.setattr(sources, "fetch_from_wheel", None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A data file that is not in the working folder."""
    path = tmp_path / "elsewhere" / "own.csv"
    path.parent.mkdir()
    path.write_text("user_id,item_id,rating,timestamp\n" + "\n".join(ROWS) + "\n")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_default_root_is_that_of_every_data_set() -> None:
    roots = {yaml.safe_load(path.read_text())["root"] for path in (CONF / "data").glob("*.yaml")}
    assert roots == {DEFAULT_ROOT}


def test_a_file_of_known_content_is_read_wherever_it_lies_and_nothing_is_written(file: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    split = split_of(settings("csv", archive=str(file), sha256=sha256(file), root=str(tmp_path / "new")), None, None)
    assert split.num_users == 6
    assert everything(tmp_path) == before


@pytest.mark.parametrize("known", ["another", "none"])
def test_no_other_file_is_read_and_no_line_of_it_shown(known: str, tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text(f"user_id,item_id,rating,timestamp\n{SECRET}\n")
    digest = {"another": "0" * 64, "none": None}[known]
    with pytest.raises(DataError, match=r"expected a file with the SHA-256 .*archive=<path> names it$") as caught:
        split_of(settings("csv", archive=str(path), sha256=digest, root="data"), None, None)
    assert "secret" not in str(caught.value)
    assert sha256(path)[:8] not in str(caught.value)


def test_what_the_user_types_is_followed(file: Path, tmp_path: Path, here: Path) -> None:
    gone = settings("csv", archive="/gone.csv", sha256=sha256(file), root="/nowhere")
    assert split_of(gone, None, file).num_users == 6
    stored = tmp_path / "stored"
    assert split_of(gone, stored, file).num_users == 6
    assert not stored.exists()
    assert everything(here) == set()


@pytest.mark.parametrize("place", ["/dev/zero", "a folder", "a FIFO", "\0", "~nobody-of-that-name/x", 7])
def test_what_is_no_file_is_refused(place: Any, here: Path) -> None:
    (here / "a folder").mkdir()
    os.mkfifo(here / "a FIFO")
    with pytest.raises(Exception, match="archive") as caught:
        split_of(settings("csv", archive=place, sha256="0" * 64), None, None)
    assert "\n" not in str(caught.value)


def release(folder: Path) -> Path:
    """Files of a small MovieLens-100K below `folder`/raw."""
    unpacked = folder / "raw" / "ml-100k"
    unpacked.mkdir(parents=True)
    (unpacked / "u.data").write_text("".join(row.replace(",", "\t") + "\n" for row in ROWS))
    return unpacked


def saved(unpacked: Path, **changes: Any) -> dict[str, Any]:
    return settings("ml-100k", sha256=sha256(unpacked / "u.data"), **changes)


def test_a_release_is_found_among_the_user_s_own_downloads_only(here: Path, tmp_path: Path) -> None:
    unpacked = release(tmp_path / "elsewhere")
    foreign = saved(unpacked, root=str(tmp_path / "elsewhere"), url="http://stranger.example/x.zip")
    with pytest.raises(
        DataError, match=r"ml-100k: expected its files in data/raw, found none \(.*elsewhere.*\); root=<data folder>"
    ):
        split_of(foreign, None, None)
    assert split_of(foreign, tmp_path / "elsewhere", None).num_users == 6
    assert split_of(foreign, None, unpacked).num_users == 6
    shutil.copytree(tmp_path / "elsewhere", here / "data")
    assert split_of(foreign, None, None).num_users == 6
    assert not (here / "data" / "processed").exists()
    assert not (tmp_path / "elsewhere" / "processed").exists()


def test_a_link_out_of_a_folder_that_the_run_names_is_not_followed(here: Path, tmp_path: Path) -> None:
    unpacked = release(here / "theirs")
    assert split_of(saved(unpacked, root="theirs"), None, None).num_users == 6
    secret = tmp_path / "secret"
    secret.write_text("|".join(["1", SECRET, *[""] * 3, *"0" * 19]) + "\n")
    (unpacked / "u.item").symlink_to(secret)
    with pytest.raises(DataError, match="found none"):
        split_of(saved(unpacked, root="theirs"), None, None)


def test_an_archive_of_known_content_is_read_and_an_unpacked_one_only_if_typed(tmp_path: Path) -> None:
    unpacked = release(tmp_path / "elsewhere")
    packed = tmp_path / "ml.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(unpacked / "u.data", "ml-100k/u.data")
    assert split_of(saved(unpacked, archive=str(packed)), None, None).num_users == 6
    for path in (unpacked, unpacked / "u.data"):
        with pytest.raises(DataError, match="found none"):
            split_of(saved(unpacked, archive=str(path)), None, None)
        assert split_of(saved(unpacked), None, path).num_users == 6


def test_what_is_prepared_is_used(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = settings("synthetic", users=20, items=30, interactions=200, root="data")
    stored = read_split(keys)
    monkeypatch.setattr(sys.modules["ncf.data.synthetic"], "_draw", None)
    assert np.array_equal(split_of(keys, None, None).train.items, stored.train.items)
