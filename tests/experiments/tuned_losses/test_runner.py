"""Processes share the repetitions; complete ones are left; progress says nothing but how far it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.tuned_losses import runner, table
from experiments.tuned_losses.design import Design, Unit
from ncf.runs.state import claim


@pytest.mark.slow
def test_all_is_made_once_and_then_left(
    small: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "LOCKS", tmp_path / "locks")
    todo = runner.study(small, tmp_path / "runs")
    with claim(tmp_path / "locks" / "runs" / Unit(0, 0, "bce").name):  # another process has it
        assert not runner.work(todo)
    rows = table.read(todo.path)
    assert todo.complete(rows) == [unit for unit in todo.units if unit != Unit(0, 0, "bce")]
    assert todo.whole_blocks(rows) == [1]
    assert runner.line(todo, rows).startswith("1 of 2 blocks, 5 of 6 repetitions, 45 runs")
    assert runner.work(todo)
    before = [path.read_bytes() for path in sorted(todo.path.iterdir())]
    assert runner.work(todo)
    assert [path.read_bytes() for path in sorted(todo.path.iterdir())] == before
    assert len(table.read(todo.path)) == 54
    assert "ndcg" not in capsys.readouterr().err


def test_reserves_that_are_used_up_end_a_repetition(small: Design, tmp_path: Path) -> None:
    todo = runner.study(small, tmp_path / "runs")
    trial = table.Row(
        0, 0, "bce", "trial", 0, small.rungs[-1].epochs, "t", 1, 3, 1, 0.1, 0.0, None, None, 0.1, "s", "c"
    )
    row = replace(trial, stage="refit", valid_ndcg=0.0)
    assert todo.complete([row] * 4) == []  # nobody knows what they had to reach
    assert todo.complete([trial, *[row] * 3]) == []
    assert todo.complete([trial, *[row] * 4]) == [Unit(0, 0, "bce")]
    learned = replace(row, valid_ndcg=small.refits.learned * 0.1)
    assert todo.complete([trial, learned, row]) == []
    assert todo.complete([trial, learned, row, learned]) == [Unit(0, 0, "bce")]
