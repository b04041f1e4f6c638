"""Parquet by parts: types do not depend on what rows a part has; a part is made once; parts of two tables never mix."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from data_helpers import full_disk

from ncf.core.shares import Share
from ncf.errors import ConfigError
from ncf.runs import parquet_parts
from ncf.runs.parquet_parts import Block, Table

ROWS = pd.DataFrame(
    {
        "user_id": np.arange(60) // 3,
        "name": [None if n < 20 else f"ü{n}" for n in range(60)],
        "score": np.linspace(0, 1, 60, dtype=np.float32),
        "vector": list(np.arange(120, dtype=np.float32).reshape(60, 2)),
    }
)
K3: dict[str, Any] = {"run": "abc", "k": 3}


def blocks(share: Share, size: int = 7) -> Iterator[Block]:
    """The rows of blocks of `size` that hold some of a share of the rows."""
    first, end = share.of(len(ROWS))
    for start in range(first - first % size, max(end, first + 1), size):
        some = ROWS.iloc[start : start + size]
        yield some, (some.index >= first) & (some.index < end)


def write(folder: Path, part: int, parts: int, made_of: dict[str, Any] = K3) -> bool:
    """Write a part if it is missing; whether it was."""
    table = Table(folder, Share(part, parts), made_of)
    if table.missing():
        table.write(blocks(Share(part, parts)))
        return True
    return False


@pytest.mark.parametrize("parts", [1, 2, 7, 61])
def test_all_parts_are_the_whole_in_rows_order_values_and_types(
    parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first block of a part has no name, or a part no row; and whatever makes a row group."""
    Table(tmp_path / "whole.parquet", None, K3).write(blocks(Share()))
    monkeypatch.setattr(parquet_parts, "_GROUP", 300)  # bytes, about a block
    folder = tmp_path / "parts"
    assert all(write(folder, part, parts) for part in range(parts))
    whole, found = pd.read_parquet(tmp_path / "whole.parquet"), pd.read_parquet(folder)
    pd.testing.assert_frame_equal(found, whole)
    assert len(found) == 60
    schemas = [pq.read_schema(path) for path in (tmp_path / "whole.parquet", *folder.iterdir())]
    assert all(schema.equals(schemas[0]) for schema in schemas)
    first = pq.ParquetFile(folder / Share(0, parts).file_name(".parquet"))
    assert (first.num_row_groups > 1) == (parts <= 2)


def test_a_part_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    assert [write(tmp_path, part, 2) for part in (0, 1, 0, 1)] == [True, True, False, False]


def test_what_a_killed_writer_left_is_cleared_by_the_next_of_the_same_part_alone(tmp_path: Path) -> None:
    table = Table(tmp_path, Share(1, 3), K3)
    own, others = f".tmp-{table.file.name}-0011", f".tmp-{Share(2, 3).file_name('.parquet')}-0011"
    for name in (own, others):
        (tmp_path / name).write_text("half")
    assert table.missing()
    assert {path.name for path in tmp_path.iterdir()} == {others}
    table.write(blocks(Share(1, 3)))
    assert len(pd.read_parquet(tmp_path)) == 20


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_parts, "_GROUP", 1)

    def failing() -> Iterator[Block]:
        yield from blocks(Share())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Table(tmp_path, Share(), K3).write(failing())
    assert list(tmp_path.iterdir()) == []


def garbage(folder: Path) -> None:
    (folder / "part-00000-of-00002.parquet").write_bytes(b"PAR1 no")


def another_writer(folder: Path) -> None:
    ROWS.to_parquet(folder / "part-00000-of-00002.parquet")


def strange(folder: Path) -> None:
    (folder / "users.parquet").write_bytes(b"")


def renamed(folder: Path) -> None:
    write(folder, 0, 2)
    (folder / "part-00000-of-00002.parquet").rename(folder / "part-00001-of-00002.parquet")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (
            lambda f: write(f, 0, 2, {**K3, "k": 4}),
            r"part-00000-of-00002.parquet of another one \(k: expected 3, found 4",
        ),
        (lambda f: write(f, 1, 2, {"k": 3, "run": "x"}), r"part-00001-of.* \(run: expected 'abc', found 'x'\)"),
        (lambda f: write(f, 0, 2, {"run": "abc"}), r"\(k: expected 3, found None\)"),
        (lambda f: write(f, 0, 2, {**K3, "seed": 1}), r"\(seed: expected None, found 1\)"),
        (lambda f: write(f, 0, 2, {**K3, "run": "x" * 90}), r"\(run: expected 'abc', found 'x{56}\.\.\.\)"),
        (lambda f: write(f, 0, 3), "^output: expected a table of 2 parts, found part-00000-of-00003.parquet"),
        (renamed, r"\(part: expected '1/2', found '0/2'\)"),
        (garbage, "found part-00000-of-00002.parquet, which is not one"),
        (another_writer, "found part-00000-of-00002.parquet, which is not one"),
        (strange, "^output: expected only parts of this table, found users.parquet"),
    ],
)
def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(
    before: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    before(tmp_path)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for part in (0, 1):  # the part that is there, and another
        with pytest.raises(ConfigError, match=message) as error:
            write(tmp_path, part, 2)
        assert str(error.value).endswith(f"; delete it, or take another folder than {tmp_path}")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content


def test_one_part_is_not_called_parts(tmp_path: Path) -> None:
    write(tmp_path, 0, 2)
    with pytest.raises(ConfigError, match="expected a table of 1 part, found"):
        write(tmp_path, 0, 1)


def test_a_whole_file_is_made_again_only_if_it_is_of_another_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = Table(path, None, K3)
    assert table.missing()
    table.write(blocks(Share()))
    assert not table.missing()
    for other in ({**K3, "k": 4}, {"run": "abc"}):
        assert Table(path, None, other).missing()
    path.write_bytes(b"no")
    assert table.missing()


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, 0, 2)
    for room in (0, 100, 1000):
        with (
            pytest.raises(ConfigError, match=r"^output: cannot write .*part-00001-of-00002\.parquet \("),
            full_disk(room),
        ):
            write(tmp_path, 1, 2)
        assert [path.name for path in tmp_path.iterdir()] == ["part-00000-of-00002.parquet"]
    assert write(tmp_path, 1, 2)


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^output: cannot write /proc/none \("):
        Table(Path("/proc/none"), Share(0, 2), K3).missing()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"^output: expected a folder, found a file at "):
        Table(tmp_path / "file", Share(0, 2), K3).missing()
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out/part-00001-of-00002.parquet")
    with pytest.raises(ConfigError, match=r"expected a regular file, found a FIFO"):
        Table(tmp_path / "out", Share(0, 2), K3).missing()


def test_pyarrow_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"^format=parquet: pyarrow is not installed; pip install 'ncf\[export\]'$"):
        Table(tmp_path / "x", Share(0, 2), K3).missing()
    assert not (tmp_path / "x").exists()
