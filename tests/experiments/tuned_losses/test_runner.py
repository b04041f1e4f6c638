"""Processes share the repetitions; complete ones are left; progress says nothing but how far it is."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_rows import made_rows

from experiments.tuned_losses import runner, table
from experiments.tuned_losses.design import Design, Unit, load
from ncf.errors import DataError
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


def test_only_registered_runs_of_this_registration_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = load()
    rows = [replace(row, registration=design.sha256[:8]) for row in made_rows(design, blocks=1)]
    rows = [row for row in rows if row.draw == 0]
    monkeypatch.setattr(table, "read", lambda folder: rows)
    assert runner.registered(design) == rows
    trial, refit = (next(row for row in rows if row.stage == stage) for stage in ("trial", "refit"))
    for wrong, said in (
        (replace(trial, registration="deadbeef"), "another registration"),
        (replace(trial, arm="other"), "no registered run"), (replace(trial, block=design.blocks), "no registered run"),
        (replace(trial, draw=9), "no registered run"), (replace(trial, seed=trial.seed + 1), "no registered run"),
        (replace(trial, number=99), "no registered run"), (replace(trial, epochs=7), "no registered run"),
        (replace(refit, number=8), "no registered run"), (replace(refit, epochs=5), "no registered run"),
    ):  # fmt: skip
        monkeypatch.setattr(table, "read", lambda folder, wrong=wrong: [*rows, wrong])
        with pytest.raises(DataError, match=said):
            runner.registered(design)
    changed = design.model_copy(update={"sha256": "0" * 64, "blocks": 10})
    with pytest.raises(DataError, match="another registration"):
        runner.registered(changed)
