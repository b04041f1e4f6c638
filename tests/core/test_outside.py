"""Files from outside: only regular ones, up to a size, and with a bound on what they unfold into."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ncf.core.outside import open_regular, read_json, read_json_lines, read_text, read_yaml
from ncf.errors import ConfigError, DataError

BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)
MERGED = "a: &a {p: 1, q: 2, r: 3, s: 4, t: 5, u: 6, v: 7, w: 8, x: 9}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n" for before, name in zip("abcdefgh", "bcdefghi")
)
READERS = [read_text, read_json, read_json_lines, read_yaml]


def refused(read: Callable[..., Any], path: Path) -> str:
    """What `read` says of `path`, which it has to say at once and in one line."""
    begun = time.process_time()  # which does not depend on how busy the machine is
    with pytest.raises(DataError) as caught:
        read(path, DataError)
    assert time.process_time() - begun < 2
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"k": [1, null, "ü"]}', encoding="utf-8")
    (tmp_path / "link").symlink_to("a")
    for path in (tmp_path / "a", tmp_path / "link"):
        assert read_text(path, DataError) == '{"k": [1, null, "ü"]}'
        assert read_json(path, DataError) == read_yaml(path, DataError) == {"k": [1, None, "ü"]}


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_is_not_there_is_for_the_caller_to_explain(read: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone", DataError)


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_regular_file_is_refused_at_once(read: Callable[..., Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "expected a regular file, found a FIFO" in refused(read, tmp_path / "fifo")
    assert "expected a regular file, found a folder" in refused(read, tmp_path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert "expected a regular file, found a device" in refused(read, tmp_path / "zero")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be opened" in refused(read_text, tmp_path / "a\0b")
    assert "cannot be opened" in refused(read_text, tmp_path / ("x" * 300))


def test_a_file_is_refused_for_its_size_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    assert "expected a file of at most 64 MiB, found 1,048,576 MiB" in refused(read_text, tmp_path / "sparse")


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        refused(read_text, tmp_path / "fifo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("text", ["{", '{"a": ' * 100_000, "[" * 100_000, "\x00", "1" * 5000])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text)
    assert "cannot be read" in refused(read_json, tmp_path / "a")


@pytest.mark.parametrize(
    "text", ["a: [", "[" * 2000, "a: !!python/object/apply:os.system [id]", "- &a [*a]", "a: \a", BILLION, MERGED]
)
def test_what_is_no_yaml_or_unfolds_without_end_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text)
    refused(read_yaml, tmp_path / "a")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    for read in READERS:
        assert "cannot be read" in refused(read, tmp_path / "a")


def test_the_error_is_of_the_kind_that_the_caller_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_regular(tmp_path, 1, ConfigError)


def test_lines_of_json_are_objects_and_the_last_may_still_be_written(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for end in ("", "\n", '\n{"epoch": 3, "mr'):
        path.write_text('{"epoch": 1}\n{"epoch": 2}' + end)
        assert read_json_lines(path, DataError) == [{"epoch": 1}, {"epoch": 2}]
    path.write_text("")
    assert read_json_lines(path, DataError) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n[2]\n', "line 2: expected an object"),
        ("\n{}\n", "line 1: cannot be read"),
        ('{"a": ' + "[" * 60_000 + "\n", "line 1: cannot be read"),
        ('{"a": ' + "9" * 60_000 + "}\n", "line 1: cannot be read"),
        ('{"a": "' + "x" * 70_000 + '"}', "expected at most 100,000 lines of 65,536 characters"),
        ("{}\n" * 100_001, "expected at most 100,000 lines of 65,536 characters"),
    ],
)
def test_lines_that_are_no_objects_too_many_or_too_long_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_json_lines(path, DataError)
