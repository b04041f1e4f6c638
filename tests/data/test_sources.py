"""The order of sources, and what is said when none works."""

import hashlib
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


@pytest.mark.parametrize("kept", ["zip", "folder"])
def test_a_kept_file_with_another_digest_is_deleted(prepare: Prepare, tmp_path: Path, kept: str) -> None:
    raw = tmp_path / "root" / "raw"
    contents, good = members("ml-100k"), write_zip(tmp_path / "good.zip", members("ml-100k"))
    digest = hashlib.sha256(contents["ml-100k/u.data"]).hexdigest()
    raw.mkdir(parents=True)
    wrong = contents | {"ml-100k/u.data": contents["ml-100k/u.data"] + b"4\t10\t5\t7\n"}
    if kept == "zip":
        write_zip(raw / "ml-100k.zip", wrong)
    else:
        (raw / "ml-100k").mkdir()
        (raw / "ml-100k" / "u.data").write_bytes(wrong["ml-100k/u.data"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "fetch", lambda url, target, sha256: target.write_bytes(good.read_bytes()))
        data = prepare("ml-100k", sha256=digest)
    assert data.num_users == 2
    assert (raw / "ml-100k.zip").read_bytes() == good.read_bytes()
    assert not (raw / "ml-100k" / "u.data").exists()


def test_a_damaged_download_is_not_kept(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "fetch", lambda url, target, sha256: target.write_bytes(b"<html>log in first</html>"))
    with pytest.raises(DataError, match=r"not a zip archive"):
        prepare("ml-1m")
    assert not (tmp_path / "root" / "raw" / "ml-1m.zip").exists()


def test_the_wheel_gives_the_official_bytes(prepare: Prepare, tmp_path: Path) -> None:
    digest = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
    assert len(prepare("ml-100k", url=NOBODY, sha256=digest)) == 55_375
    assert hashlib.sha256((tmp_path / "root/raw/ml-100k/u.data").read_bytes()).hexdigest() == digest


def test_what_is_not_verified_is_said(prepare: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m"))
    prepare("ml-1m", archive=str(path))
    assert "set.zip: not verified, data.sha256 is null" in caplog.text
