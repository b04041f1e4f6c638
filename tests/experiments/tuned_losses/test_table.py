"""The table of runs survives kills at any byte, and refuses what is no table."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.tuned_losses.table import HEADER, Row, append, read
from ncf.errors import DataError

ROW = Row(1, 0, "bce", "trial", 0, 5, "abc", 7, 5, 3, 0.05, 0.1, None, None, 1.5, "sha", "commit")


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, stage="refit", test_ndcg=0.04, test_hit=0.09, run="d")]
    rows.append(replace(ROW, block=12))
    for row in rows:
        append(tmp_path / "runs", row)
    assert read(tmp_path / "runs") == rows
    assert read(tmp_path / "none") == []


def test_a_line_that_a_kill_cut_off_is_dropped_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "block-01.csv"
    append(tmp_path, ROW)
    append(tmp_path, replace(ROW, run="second"))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        kept = read(tmp_path)
        assert kept == [ROW, replace(ROW, run="second")][: whole[:end].count(b"\n") - 1 if b"\n" in whole[:end] else 0]
        append(tmp_path, replace(ROW, run="third"))
        assert read(tmp_path) == [*kept, replace(ROW, run="third")]
        assert path.read_text().startswith(HEADER)


def test_processes_append_side_by_side(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(append, [(tmp_path, replace(ROW, number=n)) for n in range(40)])
    assert sorted(row.number for row in read(tmp_path)) == list(range(40))


@pytest.mark.parametrize("text", ["a,b\n1,2\n", f"{HEADER}1,2\n", f"{HEADER}x{',1' * 16}\n"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "block-00.csv").write_text(text)
    with pytest.raises(DataError, match=r"block-00\.csv line"):
        read(tmp_path)
