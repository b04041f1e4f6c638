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
    append(tmp_path, replace(ROW, number=1))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        kept = read(tmp_path)
        assert kept == [ROW, replace(ROW, number=1)][: whole[:end].count(b"\n") - 1 if b"\n" in whole[:end] else 0]
        append(tmp_path, replace(ROW, number=2))
        assert read(tmp_path) == [*kept, replace(ROW, number=2)]
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"valid_ndcg": float("nan")}, "metrics"), ({"valid_hit": 7.5}, "metrics"), ({"valid_ndcg": -0.1}, "metrics"),
        ({"stage": "refit", "test_ndcg": float("inf"), "test_hit": 0.1}, "metrics"), ({"stage": "other"}, "stage"),
        ({"test_ndcg": 0.1, "test_hit": 0.1}, "a refit alone"), ({"stage": "refit", "test_hit": 0.1}, "both or none"),
        ({"seconds": -1e9}, "seconds"), ({"seconds": float("nan")}, "seconds"), ({"draw": -1}, "counts"), ({}, "once"),
    ],
)  # fmt: skip
def test_a_row_that_no_run_gives_is_refused_and_no_value_shown(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    append(tmp_path, ROW)
    append(tmp_path, replace(ROW, **changed))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=rf"block-01\.csv line 3: .*{said}") as raised:
        read(tmp_path)
    assert "0.05" not in str(raised.value)


def test_a_file_of_another_block_or_without_its_header_shows_no_value(tmp_path: Path) -> None:
    append(tmp_path, ROW)
    rows = (tmp_path / "block-01.csv").read_text()
    (tmp_path / "block-02.csv").write_text(rows)
    with pytest.raises(DataError, match=r"block-02\.csv line 2: .*block in the file's name"):
        read(tmp_path)
    (tmp_path / "block-02.csv").write_text(rows.removeprefix(HEADER))
    with pytest.raises(DataError, match=r"block-02\.csv line 1") as raised:
        read(tmp_path)
    assert "0.05" not in str(raised.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="folder"):
        read(tmp_path / "file")
