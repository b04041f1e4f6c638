"""ncf's side of the benchmarks trains, ranks and draws what it says, and answers for what it drew."""

from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import ncf_side
from experiments.benchmarks.ncf_side import Ours

SMALL = ["data=synthetic", "data.users=40", "data.items=60", "data.interactions=900", "neg_ratio=4"]


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
