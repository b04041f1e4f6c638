"""The order of sources, and what is said when none works."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from data_helpers import Prepare, members, write_zip

from ncf.data import sources
from ncf.errors import DataError

NOBODY = "http://127.0.0.1:9/set.zip"


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_index")
def test_when_all_fail_each_is_listed_with_its_reason(prepare: Prepare, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare("ml-100k", url=NOBODY, sha256="0" * 64)
    first, kept, official, wheel, help_line = str(caught.value).splitlines()
    assert first == "ml-100k: no source worked"
    assert kept == f"  {tmp_path / 'root' / 'raw'}: neither ml-100k.zip nor ml-100k/u.data"
    assert official == f"  {NOBODY}: Connection refused"
    assert wheel.startswith("  pip download recbole==1.2.1: No matching distribution")
    assert help_line.startswith(f"Download {NOBODY} yourself and pass it as data.archive=")
    assert not [p for p in (tmp_path / "root").rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_named_archive_is_not_replaced_by_another_source(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "fetch", lambda *_: pytest.fail("went on to download"))
    with pytest.raises(DataError, match=r"typo\.zip: no such file or folder"):
        prepare("ml-1m", archive=str(tmp_path / "typo.zip"))


def put_wrong_files(raw: Path, kept: str) -> Path:
    """A file of the user's in `raw` that is not the pinned one."""
    contents = members("ml-100k")
    wrong = contents | {"ml-100k/u.data": contents["ml-100k/u.data"] + b"4\t10\t5\t7\n"}
    if kept == "zip":
        raw.mkdir(parents=True)
        return write_zip(raw / "ml-100k.zip", wrong)
    (raw / "ml-100k").mkdir(parents=True)
    (raw / "ml-100k" / "u.data").write_bytes(wrong["ml-100k/u.data"])
    return raw / "ml-100k" / "u.data"


def everything_in(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("no_index")
@pytest.mark.parametrize("kept", ["zip", "folder"])
def test_without_a_replacement_a_kept_file_with_another_digest_stays_as_it_is(
    prepare: Prepare, tmp_path: Path, kept: str
) -> None:
    """As when data.sha256 is mistyped and there is no network."""
    path = put_wrong_files(tmp_path / "root" / "raw", kept)
    before = everything_in(tmp_path / "root")
    with pytest.raises(DataError, match=rf"{path.name}(:ml-100k/u\.data)?: expected SHA-256 0000") as caught:
        prepare("ml-100k", url=NOBODY, sha256="0" * 64)
    assert everything_in(tmp_path / "root") == before
    assert "neither" not in str(caught.value)


@pytest.mark.parametrize("kept", ["zip", "folder", "fifo"])
def test_a_kept_file_that_fails_is_set_aside_once_another_is_verified(
    prepare: Prepare, tmp_path: Path, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    raw, good = tmp_path / "root" / "raw", write_zip(tmp_path / "good.zip", members("ml-100k"))
    digest = hashlib.sha256(members("ml-100k")["ml-100k/u.data"]).hexdigest()
    if kept == "fifo":
        raw.mkdir(parents=True)
        os.mkfifo(raw / "ml-100k.zip")
    else:
        put_wrong_files(raw, kept)
    before = everything_in(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "fetch", lambda url, target, sha256: target.write_bytes(good.read_bytes()))
        assert prepare("ml-100k", sha256=digest).num_users == 2
    after = everything_in(raw)
    assert after.pop("ml-100k.zip") == good.read_bytes()
    assert list(after.values()) == list(before.values())
    if kept == "folder":
        assert after == before  # not in the way: the archive is looked for first
    else:
        assert "ml-100k.zip was not usable; it is now ml-100k.set-aside-1.zip" in caplog.text
        assert (raw / "ml-100k.set-aside-1.zip").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "fetch", lambda *_: pytest.fail("downloaded again"))
        prepare("ml-100k", sha256=digest, threshold=3)


def test_a_wheel_replaces_only_what_fails(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "root" / "raw"
    wrong = put_wrong_files(raw, "folder").read_bytes()
    ratings = members("ml-100k")["ml-100k/u.data"]

    def fake(requirement: str, files: Mapping[str, tuple[Path, bool]]) -> None:
        for target, _ in files.values():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(ratings if target.name == "u.data" else b"item_id\ttitle\tyear\tgenres\n")

    monkeypatch.setattr(sources, "fetch_from_wheel", fake)
    prepare("ml-100k", url=NOBODY, sha256=hashlib.sha256(ratings).hexdigest())
    assert (raw / "ml-100k" / "u.data").read_bytes() == ratings
    assert (raw / "ml-100k" / "u.set-aside-1.data").read_bytes() == wrong
    assert not [path for path in raw.iterdir() if path.name.startswith(".tmp-")]


def test_a_second_copy_is_used_if_the_first_fails(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "fetch", lambda *_: pytest.fail("downloaded"))
    raw = tmp_path / "root" / "raw"
    put_wrong_files(raw, "zip")
    (raw / "ml-100k").mkdir()
    ratings = members("ml-100k")["ml-100k/u.data"]
    (raw / "ml-100k" / "u.data").write_bytes(ratings)
    prepare("ml-100k", sha256=hashlib.sha256(ratings).hexdigest())
    assert "ml-100k.zip:ml-100k/u.data: expected SHA-256" in caplog.text


def test_a_damaged_download_is_not_kept(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "fetch", lambda url, target, sha256: target.write_bytes(b"<html>log in first</html>"))
    with pytest.raises(DataError, match=r"not a zip archive"):
        prepare("ml-1m")
    assert everything_in(tmp_path / "root" / "raw") == {}


def test_the_wheel_gives_the_official_bytes(prepare: Prepare, tmp_path: Path) -> None:
    digest = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
    assert len(prepare("ml-100k", url=NOBODY, sha256=digest)) == 55_375
    assert hashlib.sha256((tmp_path / "root/raw/ml-100k/u.data").read_bytes()).hexdigest() == digest


def test_what_is_not_verified_is_said(prepare: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m"))
    prepare("ml-1m", archive=str(path))
    assert "set.zip: not verified, data.sha256 is null" in caplog.text
