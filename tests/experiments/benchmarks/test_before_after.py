"""A change is compared with what was before it: which way round the ratio is, and that both do the same work."""

import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from toys import compose

from experiments.benchmarks import before_after
from experiments.benchmarks.before_after import WORK
from experiments.benchmarks.harness import Comparison
from ncf.runs.plan import plan_run


class Answering:
    """A side that takes a second for every command, or two."""

    def __init__(self, root: Path) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.seconds = 2.0 if root.name == "after" else 1.0

    def ask(self, name: str, **arguments: Any) -> dict[str, float]:
        self.asked.append((name, arguments))
        return {"seconds": self.seconds, "cpu_seconds": self.seconds / 2}

    def processor_seconds(self) -> float:
        return self.seconds * len(self.asked)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[Answering]:
    """The sides that were started, before and after by turns."""
    started: list[Answering] = []

    @contextmanager
    def side(module: str, python: str, root: Path) -> Any:
        assert python == str(root / ".venv/bin/python")
        started.append(Answering(root))
        yield started[-1]

    monkeypatch.setattr(before_after, "side", side)
    monkeypatch.setattr(before_after, "start", lambda checkout: Answering(checkout).ask("start"))
    return started


def test_a_change_that_doubles_the_time_is_a_ratio_of_two(sides: list[Answering]) -> None:
    found = before_after.compare(Path("before"), Path("after"), rounds=2)
    assert [comparison.name for comparison in found][: len(WORK)] == list(WORK)
    for comparison in found:
        assert len(comparison.ours) == len(comparison.theirs) == 2 * before_after.STARTS
        assert comparison.ratios("cpu_seconds") == [2.0] * len(comparison.ours)
    row = before_after.table(found).splitlines()[2]
    assert row == "| an epoch of NeuMF at 1:10, batch 256 | 2.000 | 2.000 to 2.000 | 2.000 | 2.000 | 1 s | 2 s |"


def test_both_sides_are_asked_for_the_same(sides: list[Answering]) -> None:
    before_after.compare(Path("before"), Path("after"), rounds=2)
    assert len(sides) == 2 * 2 * before_after.STARTS  # modules, checkouts
    assert all(old.asked == new.asked for old, new in zip(sides[::2], sides[1::2], strict=True))


def test_the_fastest_rounds_are_compared_too() -> None:
    before, after = ([{"seconds": 1.0, "cpu_seconds": s} for s in times] for times in ([1.0, 4.0], [3.0, 2.0]))
    assert "| 2.000 |" in before_after.table([Comparison("a", before, after)])


def test_what_is_prepared_are_runs() -> None:
    for overrides in {tuple(work.prepared["overrides"]) for work in WORK.values() if work.module == "ncf_side"}:
        plan_run(compose(*overrides))


def test_at_least_two_rounds_are_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["before_after", "--before", ".", "--rounds", "1"])
    with pytest.raises(SystemExit):
        before_after.main()
    assert "--rounds: expected at least 2, got 1" in capsys.readouterr().err


def checkout(folder: Path, status: int) -> Path:
    """A checkout whose Python only counts to 20,000."""
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    count = "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done"
    python.write_text(f'#!/bin/sh\n{count}\ntest "$*" = "-m ncf.train --cfg job" && exit {status}\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def test_starting_the_command_line_is_timed(tmp_path: Path) -> None:
    timing = before_after.start(checkout(tmp_path, 0))
    assert 0 < timing["cpu_seconds"] <= 2 * timing["seconds"]


def test_a_command_line_that_does_not_start_is_no_timing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        before_after.start(checkout(tmp_path, 1))
