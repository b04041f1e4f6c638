"""The benchmark scripts import, their helpers compute what they say, and every side answers its commands."""

import importlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import harness, ncf_side, peers
from experiments.benchmarks.__main__ import SUBJECTS
from experiments.benchmarks.focal_sides import FocalSide
from experiments.benchmarks.harness import Comparison, alternate, side, spread
from experiments.benchmarks.ncf_side import Ours

SMALL = ["data=synthetic", "data.users=40", "data.items=60", "data.interactions=900", "neg_ratio=4"]


def test_every_subject_is_there() -> None:
    assert set(SUBJECTS) == {"epochs", "ranking", "sweep", "sampler", "focal", "stacked", "roof", "threads", "chunks"}


def test_the_peer_side_needs_nothing_of_ncf() -> None:
    for module in ("serve", "recbole_side", "focal_sides"):
        source = Path(importlib.import_module("experiments.benchmarks").__path__[0], f"{module}.py").read_text()
        assert not any(line.startswith(("import ncf", "from ncf")) for line in source.splitlines())


def test_every_peer_is_pinned() -> None:
    lines = [line for line in peers.PINS.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(len(line.split("==")) == 2 for line in lines)


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


def test_a_side_is_a_process_that_answers_until_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "SCRATCH", tmp_path)
    with side("focal_sides formula") as process:
        assert process.ask("prepare", logits=253, compiled=False, device="cpu")["logits"] == 253
        assert process.ask("run", repeats=2)["seconds"] > 0
        with pytest.raises(RuntimeError, match="ended with status 1"):
            process.ask("unheard-of")


def test_the_focal_sides_compute_the_same_loss_and_the_kernel_holds_less() -> None:
    answers = []
    for name in ("ncf", "formula"):
        focal = FocalSide(name)
        answers.append(focal.prepare(logits=10**4, compiled=False, device="cpu") | focal.peak())
    ours, formula = answers
    assert ours["logits"] == formula["logits"] == 9999
    assert ours["loss"] == pytest.approx(formula["loss"], rel=1e-5)
    assert 0 < ours["peak_bytes"] <= formula["peak_bytes"] / 2


@pytest.fixture(scope="module")
def ours(root: Path) -> Ours:
    prepared = Ours()
    sizes = prepared.prepare([*SMALL, f"data.root={root}"])
    assert sizes["rows"] == len(prepared.split.train) * 5
    return prepared


@pytest.mark.parametrize("command", ["epoch", "validate", "draw_epoch"])
def test_ncf_trains_ranks_and_draws(ours: Ours, command: str) -> None:
    timing: dict[str, Any] = getattr(ours, command)()
    assert timing["seconds"] > 0
    assert timing["cpu_seconds"] >= 0


def test_an_epoch_is_a_whole_one(ours: Ours) -> None:
    before = ours.trainer.progress.epoch
    weights = ours.trainer.model.output.weight.clone()
    ours.epoch()
    assert ours.trainer.progress.epoch == before + 1
    assert ours.trainer.progress.step == 0
    assert not weights.equal(ours.trainer.model.output.weight)


@pytest.mark.parametrize("stacked", [False, True])
def test_runs_are_trained_to_their_end(root: Path, stacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    build = ncf_side.build_trainer
    monkeypatch.setattr(ncf_side, "build_trainer", lambda *args: built.append(build(*args)) or built[-1])
    short = Ours()
    short.prepare([*SMALL, f"data.root={root}", "trainer.epochs=2"])
    short.runs(count=3, stacked=stacked)
    assert [trainer.progress.epoch for trainer in built[1:]] == [3, 3, 3]
    assert len({trainer.batches.seed for trainer in built[1:]}) == 3


@pytest.mark.parametrize("batchwise", [False, True])
def test_draws_are_for_the_peer_s_users_and_never_positives(ours: Ours, batchwise: bool) -> None:
    users = [str(user) for user in ours.split.user_ids[ours.split.train.users]]
    drawn = ours.prepare_draws([users[i : i + 7] for i in range(0, len(users), 7)], neg_ratio=4)["draws"]
    ours.draw(batchwise)
    assert ours.false_negatives() == {"drawn": drawn, "false": 0}
    assert ours.randint()["seconds"] > 0


def test_false_negatives_are_found(ours: Ours) -> None:
    train = ours.split.train
    ours.prepare_draws([[str(ours.split.user_ids[train.users[0]])]], neg_ratio=1)
    ours.draw(batchwise=False)
    ours.drawn[0, 0] = int(train.items[0])
    assert ours.false_negatives()["false"] == 1


def test_memory_counts_the_sampler_s_tensors(ours: Ours) -> None:
    memory = ours.sampler_memory(users=1000, items=500, interactions=5000)
    assert memory["mask"] == 500_000
    assert 5000 * 8 <= memory["sampler"] <= 5000 * 8 + 3 * 8 * 1001


def test_the_roof_has_the_products_of_ranking(ours: Ours) -> None:
    split = ours.split
    flops = {square: ours.prepare_roof(square)["flops"] for square in (True, False)}
    per_pair = 128 * 64 + 64 * 32 + 32 + 64
    assert flops[True] == flops[False] == 2 * split.num_users * split.num_items * per_pair
    assert ours.roof()["seconds"] > 0
