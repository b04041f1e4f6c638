"""Faults 13 and 15: NaN and infinity in the loss, in a gradient, in the data and in the scores; saturated scores."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from apart import differences, finish, outcome
from torch import Tensor
from toys import random_split

from ncf.data.split import Split
from ncf.errors import TrainingError
from ncf.evaluation import FullRanking, test_targets
from ncf.runs import checkpoint
from ncf.runs.artifacts import RESULT
from ncf.training.base import Tally

FULL = FullRanking(metrics=["hit", "ndcg", "mrr"], cutoffs=[5, 10], ties="average", memory_mb=1)


def poison_from(step: int) -> None:
    """A deed: from this step on, every gradient holds a NaN."""
    check, done = Tally.check, [0]

    def poisoned(self: Tally, values: list[Tensor]) -> None:
        done[0] += 1
        if done[0] >= step:
            values[-1].view(-1)[-1] = float("nan")  # the loss comes first, then what the optimizer is given
        check(self, values)

    Tally.check = poisoned  # type: ignore[method-assign]


def test_a_gradient_that_is_not_finite_ends_the_run_as_failed_and_keeps_the_last_good_checkpoint(
    arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, partial(poison_from, 400)) == 1
    assert "error: epoch 3, step 54: expected a finite loss and gradient, got inf or NaN" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "epoch 3, step 54" in json.loads((folder / "failure.json").read_text())["error"]
    assert not (folder / RESULT).exists()
    saved = checkpoint.load(folder)
    assert saved is not None
    assert saved.model is not None
    assert (saved.progress.epoch, saved.progress.step) == (3, 0)
    assert all(tensor.isfinite().all() for tensor in saved.model.values())
    assert finish([f"resume={folder}"], log) == 0, log.read_text()
    assert differences(outcome(folder), uninterrupted) == []
    assert not (folder / "failure.json").exists()


def test_a_learning_rate_that_explodes_is_named_as_what_to_lower(arguments: list[str], tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    status = finish([*arguments, "optimizer.lr=1e38", f"hydra.run.dir='{folder}'"], log)
    assert status == 1
    assert log.read_text().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in log.read_text()
    assert not (folder / RESULT).exists()


@pytest.fixture
def split() -> Split:
    return random_split(40, 30)


def scorer(logits: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda users: logits[users]


@pytest.mark.parametrize("value", [0.0, 1.0, -1e30, 1e30, float("inf"), float("-inf")])
def test_a_constant_scorer_is_at_chance(split: Split, value: float) -> None:
    targets = test_targets(split, "cpu")
    metrics = FULL.metrics(FULL.evaluate(scorer(torch.full((40, 30), value)), targets))
    for k in (5, 10):
        assert metrics[f"hit@{k}"] == pytest.approx((k / targets.candidates.double()).clamp(max=1).mean().item())


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e-6])
def test_saturated_logits_rank_as_small_ones_do(split: Split, scale: float) -> None:
    logits = torch.randint(-9, 9, (40, 30), generator=torch.Generator().manual_seed(0)).float()
    targets = test_targets(split, "cpu")
    plain, scaled = (FULL.evaluate(scorer(x), targets) for x in (logits, logits * scale))
    assert torch.equal(plain.above, scaled.above)
    assert torch.equal(plain.tied, scaled.tied)
    assert (torch.sigmoid(torch.full((1,), 1e3)) == torch.sigmoid(torch.full((1,), 18.0))).all()  # what it avoids


@pytest.mark.parametrize("place", ["of the positive", "of another item"])
def test_a_score_that_is_no_number_is_an_error_that_names_the_user(split: Split, place: str) -> None:
    logits = torch.zeros(40, 30)
    row = 17
    user = int(split.test.users[row])
    item = int(split.test.items[row])
    logits[user, item if place == "of the positive" else (item + 1) % 30] = float("nan")
    with pytest.raises(TrainingError, match=rf"expected no NaN, got one for user {split.user_ids[user]}$"):
        FULL.evaluate(scorer(logits), test_targets(split, "cpu"))
