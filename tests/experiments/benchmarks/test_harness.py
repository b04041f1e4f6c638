"""Sides take turns, ratios are taken round by round, and everything measured is kept."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from experiments.benchmarks import harness, serve
from experiments.benchmarks.harness import Comparison, alternate, side, spread


def test_the_spread_is_of_all_rounds() -> None:
    values = spread([3.0, 1.0, 2.0, 5.0, 4.0])
    assert values == {"median": 3.0, "min": 1.0, "lower": 2.0, "upper": 4.0, "max": 5.0, "rounds": 5}


def test_the_sides_take_turns_at_being_first() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> dict[str, float]:
        order.append(name)
        return {"seconds": seconds, "cpu_seconds": seconds / 2}

    comparison = alternate("a", lambda: run("ours", 1.0), lambda: run("theirs", 3.0), rounds=3)
    assert len(order) == 8  # one round more than is kept
    firsts = order[::2]
    assert all(a != b for a, b in itertools.pairwise(firsts))
    assert comparison.ratios() == [3.0, 3.0, 3.0]
    assert len(comparison.ours) == len(comparison.theirs) == 3


def test_a_ratio_is_taken_round_by_round() -> None:
    """A machine that is slow in one round is slow for both sides of it."""
    ours = [{"seconds": s, "cpu_seconds": s} for s in (1.0, 10.0, 1.0)]
    theirs = [{"seconds": 2 * t["seconds"], "cpu_seconds": t["seconds"]} for t in ours]
    summary = Comparison("a", ours, theirs).summary()
    assert summary["ratio"]["min"] == summary["ratio"]["max"] == 2.0
    assert summary["ratio_of_cpu_seconds"]["median"] == 1.0


def test_results_hold_every_round_and_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    timings = [{"seconds": 1.0, "cpu_seconds": 1.0}, {"seconds": 2.0, "cpu_seconds": 2.0}]
    harness.save("subject", [Comparison("a", timings, timings, 2.0, {"rows": 3})], harness.machine())
    kept = json.loads((tmp_path / "results" / "subject.json").read_text())
    assert kept["machine"].keys() >= {"processor", "cores", "memory_gib", "versions", "commit", "load_before"}
    assert kept["machine"]["versions"]["torch"]
    row = kept["comparisons"][0]
    assert row["ours"] == timings
    assert row["facts"] == {"rows": 3}
    assert row["summary"]["ratio"]["median"] == 1.0
    harness.tabulate()
    table = (tmp_path / "results" / "README.md").read_text()
    assert "| a | 2 | 1.00 [1.00, 1.00] | 1.00 | 1.5 s | 1.5 s | 2 |" in table


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose only side adds."""
    package = tmp_path / "experiments/benchmarks"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(serve.__file__, package)
    (package / "adding.py").write_text(
        "import sys\n"
        "from experiments.benchmarks.serve import serve\n"
        "def add(a, b):\n"
        "    print('not an answer')\n"
        "    return {'sum': a + b, 'root': sys.argv[1]}\n"
        "serve(add)\n"
    )
    return tmp_path


def test_a_side_is_a_process_of_its_checkout_that_answers_until_it_dies(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "SCRATCH", checkout / "scratch")
    with side("adding here", root=checkout) as process:
        assert process.ask("add", a=1, b=2) == {"sum": 3, "root": "here"}
        process.send("add", a=1, b=3)
        process.send("add", a=1, b=4)
        assert [process.receive()["sum"] for _ in range(2)] == [4, 5]
        for _ in range(10_000):  # until it has used one tick of the clock that counts them
            if process.processor_seconds() > 0:
                break
            process.ask("add", a=1, b=2)
        assert process.processor_seconds() > 0
        with pytest.raises(RuntimeError, match="ended with status 1"):
            process.ask("unheard-of")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ncf", "formula"])
def test_the_focal_sides_answer(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "SCRATCH", tmp_path)
    with side(f"focal_sides {name}") as process:
        assert process.ask("prepare", logits=253, compiled=False, device="cpu")["logits"] == 253
        assert process.ask("run", repeats=2)["seconds"] > 0
        assert process.ask("peak")["peak_bytes"] > 0


@pytest.mark.slow
def test_the_side_of_ncf_answers(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "SCRATCH", tmp_path)
    overrides = ["data=synthetic", "data.users=40", "data.items=60", "data.interactions=900", f"data.root={root}"]
    with side("ncf_side") as process:
        process.ask("prepare", overrides=overrides)
        for command in ("epoch", "validate", "draw_epoch"):
            assert process.ask(command)["seconds"] > 0
