"""Files are whole or absent, whatever goes wrong on the way."""

import errno
import os
import stat
from pathlib import Path

import pytest

from ncf.core.files import TEMPORARY, append_text, atomic, remove_temporaries, write_text, writing
from ncf.errors import FileError, NcfError


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert contents(tmp_path) == {"a": "new"}


def test_the_old_content_can_be_kept(tmp_path: Path) -> None:
    for text in "123":
        with atomic(tmp_path / "a", keep=tmp_path / "b") as file:
            file.write(text.encode())
    assert contents(tmp_path) == {"a": "3", "b": "2"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_on_the_way_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "a", "old")

    def broken_off() -> None:
        with atomic(tmp_path / "a", keep=tmp_path / "b") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        broken_off()
    assert contents(tmp_path) == {"a": "old"}


def test_nobody_sees_the_file_before_it_is_whole(tmp_path: Path) -> None:
    with atomic(tmp_path / "a") as file:
        file.write(b"half")
        file.flush()
        assert not (tmp_path / "a").exists()
    assert contents(tmp_path) == {"a": "half"}


def test_a_disk_that_fills_up_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"/a: cannot write \(No space left on device\)$") as caught:
        write_text(tmp_path / "a", "new")
    assert isinstance(caught.value, NcfError)
    assert contents(tmp_path) == {"a": "old"}


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    for write in (write_text, append_text):
        with pytest.raises(FileError, match=r"gone/a: cannot write \(No such file or directory\)$"):
            write(tmp_path / "gone" / "a", "text")


def test_lines_are_added_at_the_end(tmp_path: Path) -> None:
    append_text(tmp_path / "a", "1\n")
    append_text(tmp_path / "a", "2\n")
    assert contents(tmp_path) == {"a": "1\n2\n"}


def test_strays_are_removed_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "whole")
    (tmp_path / f"{TEMPORARY}a-x7").write_text("half")
    (tmp_path / f"{TEMPORARY}folder").mkdir()
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{TEMPORARY}folder", "a"]


def test_only_an_error_of_the_system_becomes_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"/a: cannot write \(Permission denied\)$"), writing(tmp_path / "a"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    with pytest.raises(ValueError, match="other"), writing(tmp_path / "a"):
        raise ValueError("other")


def test_the_file_and_then_its_folder_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []  # whether each descriptor was a folder's
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    write_text(tmp_path / "a", "text")
    assert synced == [False, True]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("old")
    (tmp_path / "link").symlink_to("there/a")
    (tmp_path / "dangling").symlink_to("there/b")
    for name, text in (("link", "1"), ("dangling", "2")):
        write_text(tmp_path / name, text)
        assert (tmp_path / name).is_symlink()
    assert contents(tmp_path / "there") == {"a": "1", "b": "2"}


def test_a_pipe_is_written_to_in_place_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(tmp_path / "pipe", "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_that_is_full_is_one_clear_error_and_stays_a_device() -> None:
    with pytest.raises(FileError, match=r"^/dev/full: cannot write \(No space left on device\)$"):
        write_text(Path("/dev/full"), "text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_names_with_spaces_and_letters_of_any_alphabet(tmp_path: Path) -> None:
    folder = tmp_path / "ein Lauf, 実験 ñ"
    folder.mkdir()
    write_text(folder / "résultat (1).json", "{}")
    assert contents(folder) == {"résultat (1).json": "{}"}
