"""Zip archives of bad will or bad luck: refused by name, never unpacked."""

import os
import shutil
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest
from data_helpers import RATINGS, Prepare, members, ratings_text, write_zip
from data_helpers import settings as keys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ncf.core.config import component
from ncf.data import DATASETS, movielens
from ncf.data import archive as archive_module
from ncf.errors import DataError


@pytest.mark.parametrize("name", ["../evil", "ml-1m/../../evil", "/etc/evil", "C:/evil", "..\\evil", "\\evil", "a/.."])
def test_members_that_leave_the_folder(prepare: Prepare, tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "set.zip", {**members("ml-1m"), name: b"x"})
    with pytest.raises(DataError, match=r"unsafe archive, member '.*(evil|\.\.)' points outside the archive"):
        prepare("ml-1m", archive=str(path))
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(prepare: Prepare, tmp_path: Path, kind: int) -> None:
    link = zipfile.ZipInfo("ml-1m/link")
    link.create_system, link.external_attr = 3, (kind | 0o777) << 16
    path = write_zip(tmp_path / "set.zip", {**members("ml-1m"), link: b"/etc/passwd"})
    with pytest.raises(DataError, match="member 'ml-1m/link' is a link or special file"):
        prepare("ml-1m", archive=str(path))


def test_encrypted_members(prepare: Prepare, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m"))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"):
        prepare("ml-1m", archive=str(path))


def test_members_over_the_size_limit(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_MEMBER_BYTES", 1000)
    path = write_zip(tmp_path / "set.zip", {**members("ml-1m"), "ml-1m/bomb": bytes(1001)})
    with pytest.raises(DataError, match="member 'ml-1m/bomb' unpacks to 1001 bytes, more than 1000"):
        prepare("ml-1m", archive=str(path))


def test_a_member_that_unfolds_as_no_text_does(prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members("ml-1m", bytes(20 << 20)).items():
            archive.writestr(name, data)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"ratings\.dat' unpacks from \d+ to 20971520 bytes, as no text does"):
        prepare("ml-1m", archive=str(path))
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat", "set.zip"])
@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
def test_what_is_no_regular_file_in_the_place_of_one(prepare: Prepare, tmp_path: Path, name: str, kind: str) -> None:
    for member, data in members("ml-1m").items():
        (tmp_path / member.rpartition("/")[2]).write_bytes(data)
    path = tmp_path / name
    path.unlink(missing_ok=True)
    {"FIFO": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    with pytest.raises(DataError, match=rf"{name}: expected (a regular file, found a {kind}|it to contain ml-1m)"):
        prepare("ml-1m", archive=str(path if name == "set.zip" else tmp_path))


def test_an_archive_within_an_archive_is_no_text(prepare: Prepare, tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", members("ml-1m")).read_bytes()
    with pytest.raises(DataError, match=r"ratings\.dat"):
        prepare("ml-1m", archive=str(write_zip(tmp_path / "set.zip", members("ml-1m", inner))))


def test_a_home_that_does_not_exist(prepare: Prepare) -> None:
    for name in ("ml-1m", "csv"):
        with pytest.raises(DataError, match=r"^~nobody-here/set\.zip: no such file or folder"):
            prepare(name, archive="~nobody-here/set.zip")


def test_a_member_that_hides_its_size(prepare: Prepare, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m", ratings_text("ml-1m") * 1000))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(DataError):
        prepare("ml-1m", archive=str(path))


def test_damage_within_a_member(prepare: Prepare, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m", ratings_text("ml-1m", [(u, 1, 4, u) for u in range(5000)])))
    data = bytearray(path.read_bytes())
    data[2000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"ratings\.dat: cannot be read"):
        prepare("ml-1m", archive=str(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_under_every_compression(method: int, prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in members("ml-1m", ratings_text("ml-1m", [(u, 1, 4, u) for u in range(5000)])).items():
            archive.writestr(name, text)
    whole = path.read_bytes()
    for place in range(100, 4000, 300):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"set\.zip"):
            prepare("ml-1m", archive=str(path))


@pytest.mark.parametrize(("content", "complaint"), [(b"", "not a zip"), (b"not a zip", "not a zip")])
def test_other_files(prepare: Prepare, tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        prepare("ml-1m", archive=str(tmp_path / "set.zip"))


def test_missing_files_and_members(prepare: Prepare, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.zip: no such file or folder"):
        prepare("ml-1m", archive=str(tmp_path / "nowhere.zip"))
    with pytest.raises(DataError, match=r"expected it to contain ml-1m/ratings\.dat, which is missing"):
        prepare("ml-1m", archive=str(write_zip(tmp_path / "set.zip", members("ml-20m"))))
    with pytest.raises(DataError, match=r"expected it to contain ml-1m/ratings\.dat, which is missing"):
        prepare("ml-1m", archive=str(tmp_path))


def test_an_archive_that_is_not_the_pinned_one_is_kept_and_refused(prepare: Prepare, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members("ml-1m"))
    with pytest.raises(DataError, match=r"set\.zip: expected SHA-256 a6898adb50b9ca05.*, found"):
        prepare("ml-1m", archive=str(path), sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20")
    assert path.is_file()


def read_mutated(path: Path, data: bytes) -> None:
    """The outcome is positives and a whole cache, or one line; anything else, or anything left, fails the test."""
    path.write_bytes(data)
    root = path.parent / "root"
    load = component("data", DATASETS, keys("ml-1m", root=str(root), archive=str(path), sha256=None))
    first, message = None, ""
    try:
        first = load()
    except DataError as error:
        message = str(error)
    kept = [file.suffix for file in root.rglob("*") if file.is_file() and file.suffix != ".lock"]
    if first is None:
        assert "\n" not in message
        assert kept == []
    else:
        assert set(first.ratings.tolist()) <= {4, 5}
        assert kept == [".npz"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(movielens, "read_ratings", lambda *_: pytest.fail("the cache is not whole"))
            assert load().digest == first.digest
    shutil.rmtree(root, ignore_errors=True)


MUTATIONS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8)


def mutated(original: bytes, mutations: list[tuple[int, int]], cut: int) -> bytes:
    data = bytearray(original)
    for position, byte in mutations:
        data[position % len(data)] = byte
    return bytes(data[: len(data) - cut % len(data)])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(mutations=MUTATIONS, cut=st.one_of(st.just(0), st.integers(0, 10_000)))
@settings(max_examples=40, deadline=None)
def test_fuzzed_archives(scratch: Path, mutations: list[tuple[int, int]], cut: int) -> None:
    original = write_zip(scratch / "good.zip", members("ml-1m")).read_bytes()
    read_mutated(scratch / "set.zip", mutated(original, mutations, cut))


@pytest.mark.slow
@given(mutations=MUTATIONS, cut=st.one_of(st.just(0), st.integers(0, 10_000)))
@settings(max_examples=2000, deadline=None)
def test_fuzzed_archives_at_length(scratch: Path, mutations: list[tuple[int, int]], cut: int) -> None:
    original = write_zip(scratch / "good.zip", members("ml-1m")).read_bytes()
    read_mutated(scratch / "set.zip", mutated(original, mutations, cut))


@pytest.mark.slow
@given(mutations=MUTATIONS, cut=st.one_of(st.just(0), st.integers(0, 10_000)), text=st.binary(max_size=60))
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fuzzed_rating_files_at_length(scratch: Path, mutations: list[tuple[int, int]], cut: int, text: bytes) -> None:
    original = ratings_text("ml-1m", RATINGS * 5)
    read_mutated(scratch / "ratings.dat", mutated(original, mutations, cut) + text)


@given(mutations=MUTATIONS, cut=st.one_of(st.just(0), st.integers(0, 10_000)), text=st.binary(max_size=60))
@settings(max_examples=80, deadline=None)
def test_fuzzed_rating_files(scratch: Path, mutations: list[tuple[int, int]], cut: int, text: bytes) -> None:
    original = ratings_text("ml-1m", RATINGS * 5)
    read_mutated(scratch / "ratings.dat", mutated(original, mutations, cut) + text)
