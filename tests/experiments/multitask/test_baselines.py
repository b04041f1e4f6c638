"""The baselines against values on record, made by other code from the same five splits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import compose

from experiments.multitask import baselines
from ncf.data.interactions import Interactions
from ncf.data.split import Pairs, Split
from ncf.evaluation.full import FullRanking
from ncf.evaluation.ranking import test_targets as targets_of
from ncf.evaluation.ratings import HeldOutRatings, rating_errors
from ncf.models import MODELS
from ncf.runs.plan import plan_run

REFERENCE = json.loads((Path(__file__).parent / "reference" / "multitask_baselines.json").read_text())
ROOT = Path(__file__).parents[3] / "data"


@pytest.fixture(scope="module")
def every() -> Interactions:
    """All 100,000 ratings of MovieLens-100K, in the order of the file."""
    found = plan_run(compose(f"data.root={ROOT}", "data.threshold=null")).data()
    assert isinstance(found, Interactions)
    return found


def parts(every: Interactions, seed: int) -> tuple[Pairs, Pairs]:
    """Train and test: the first 5,000 rows of a random order are test."""
    order = np.random.default_rng(seed).permutation(len(every))

    def rows(chosen: np.ndarray) -> Pairs:
        chosen = chosen[np.argsort(every.users[chosen], kind="stable")]
        return Pairs(every.users[chosen], every.items[chosen], None, every.ratings[chosen])

    return rows(order[5000:]), rows(order[:5000])


def mse(test: Pairs, predicted: np.ndarray) -> float:
    return rating_errors(lambda users, items: torch.from_numpy(predicted), HeldOutRatings.of(test, "cpu"))["mse"]


@pytest.mark.parametrize("seed", sorted(REFERENCE))
def test_errors_and_mrr_are_those_on_record(every: Interactions, seed: str) -> None:
    train, test = parts(every, int(seed))
    own = {name: getattr(baselines, name)(train, test) for name in ("mean", "item_mean", "user_mean")}
    own |= {f"bias_lam{l2}": baselines.biases(train, test, l2) for l2 in (0, 2, 5, 10)}
    found = {name: mse(test, predicted) for name, predicted in own.items()}
    found |= {"popularity_mrr": popularity_mrr(every, train, test)}
    found |= {"test_users": len(np.unique(test.users)), "test_rows": len(test)}
    found |= {"cold_items": int((~np.isin(test.items, train.items)).sum())}
    assert found == pytest.approx(REFERENCE[seed], rel=1e-7)


def popularity_mrr(every: Interactions, train: Pairs, test: Pairs) -> float:
    """1 / the mean of the ranks that the tied share, as on record; the project's MRR has the mean of 1 / rank."""
    sizes = every.num_users, every.num_items
    none = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    ids = every.user_ids, every.item_ids
    split = Split(train, none, test, *sizes, *ids, None, None, "ml-100k", "0" * 64, in_time=False)
    model = MODELS["popularity"](*sizes)
    model.fit(split)
    protocol = FullRanking(metrics=["mrr_all"], cutoffs=[10], ties="average", memory_mb=64)
    ranks = protocol.evaluate(model.score, targets_of(split, "cpu"))
    on_record, own = ranks.mean(1 / ranks.average), protocol.metrics(ranks)["mrr_all"]
    assert on_record <= own < 1.02 * on_record  # Jensen's inequality, on few ties
    return on_record
