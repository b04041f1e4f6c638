"""What everyday commands cost at two commits: the tables, and the processes that are measured."""

from pathlib import Path

import pytest

from experiments.benchmarks import every_day
from experiments.benchmarks.every_day import Cost, cost, table


def test_processor_time_and_memory_are_those_of_the_process(tmp_path: Path) -> None:
    idle = cost(tmp_path, ["-c", "import time; time.sleep(0.3)"])
    busy = cost(tmp_path, ["-c", "import time\nwhile time.process_time() < 0.3: pass\nx = bytearray(200 * 2**20)"])
    assert idle is not None
    assert busy is not None
    assert busy.cpu_seconds > 0.3 > idle.cpu_seconds
    assert busy.peak_mb - idle.peak_mb > 190


def test_a_command_that_fails_has_no_cost(tmp_path: Path) -> None:
    assert cost(tmp_path, ["-c", "raise SystemExit(1)"]) is None


def test_sides_take_turns_with_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def fake(checkout: Path, arguments: list[str]) -> Cost:
        asked.append((checkout.name, arguments[-1]))
        return Cost(1.0, 2.0)

    monkeypatch.setattr(every_day, "cost", fake)
    monkeypatch.setattr(every_day, "COMMANDS", {"beyond": ["-m", "ncf.beyond", "run={gmf}"]})
    found = every_day.measure({"before": tmp_path / "before", "after": tmp_path / "after"}, 3)
    assert [side for side, _ in asked[4:]] == ["after", "before", "before", "after", "after", "before"]
    assert asked[-1] == ("before", f"run={tmp_path / 'before' / 'gmf'}")
    assert [len(costs) for costs in found["beyond"].values()] == [3, 3]


def test_the_table_has_medians_and_says_what_a_commit_cannot_do() -> None:
    shown = table({"fold in": {"before": [None, None], "after": [Cost(3, 90), Cost(1, 1000), Cost(2, 100)]}})
    assert shown.splitlines()[-1] == "| fold in | cannot | 2.00 (1.00 to 3.00), 100 |"


def test_an_unknown_commit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(every_day.subprocess.CalledProcessError):
        every_day.unpack("no-such-commit", tmp_path / "x")
