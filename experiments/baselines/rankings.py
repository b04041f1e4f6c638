"""The held-out items of trained models, ranked in three ways.

Among the one draw of 99 items that the runs share; among 99, on average over every draw there could be; and among all
items that the user has not seen. The trained models are the same in all three. The one draw also for two halves of the
users: those whose held-out item has at most the median number of training positives, and the others.
"""

from pathlib import Path

import numpy as np

import ncf
from experiments.baselines.arms import METRICS
from ncf.evaluation import test_targets
from ncf.evaluation.hypergeometric import expected_metrics
from ncf.evaluation.metrics import NDCG, Hit
from ncf.evaluation.ranking import chunk_size, rank
from ncf.runs.tables import read_users

ONE_DRAW, EVERY_DRAW, ALL_ITEMS = "one draw", "every draw", "all items"
RARE, POPULAR = "one draw, rare items", "one draw, popular items"
RANKINGS = (ONE_DRAW, EVERY_DRAW, ALL_ITEMS, RARE, POPULAR)
CUTOFF = 10
_MEMORY_MB = 64  # for one chunk of scores

Values = dict[str, dict[str, np.ndarray]]
"""ranking -> metric -> (seeds, users), the users in one order."""


def per_user(folders: list[Path]) -> Values:
    """Test metrics of each user in the runs of one model. AssertionError if the runs held out different items."""
    found = [_of_run(folder) for folder in folders]
    return {
        ranking: {metric: np.stack([run[ranking][metric] for run in found]) for metric in METRICS}
        for ranking in RANKINGS
    }


def _of_run(folder: Path) -> Values:
    """Each metric (users,) in one run."""
    drawn = read_users([folder]).sort_values("user_id")
    run = ncf.load(folder)
    targets = test_targets(run.split, "cpu")
    ranks = rank(run.model.score, targets, chunk_size(targets.num_items, _MEMORY_MB))
    users, items = run.split.user_ids[ranks.users], run.split.item_ids[ranks.items]
    order = np.argsort(users)
    assert (drawn["user_id"] == users[order]).all()
    assert (drawn["item_id"] == items[order]).all()
    positives = np.bincount(run.split.train.items, minlength=run.split.num_items)[ranks.items][order]
    rare = positives <= np.median(positives)
    every_draw = expected_metrics(*(t.numpy() for t in (ranks.above, ranks.tied, ranks.candidates)), CUTOFF)
    full = {"ndcg@10": NDCG()(ranks, CUTOFF, "average").numpy(), "hit@10": Hit()(ranks, CUTOFF, "average").numpy()}
    one_draw = {metric: drawn[metric].to_numpy() for metric in METRICS}
    return {
        ONE_DRAW: one_draw,
        EVERY_DRAW: {metric: every_draw[metric][order] for metric in METRICS},
        ALL_ITEMS: {metric: full[metric][order] for metric in METRICS},
        RARE: {metric: values[rare] for metric, values in one_draw.items()},
        POPULAR: {metric: values[~rare] for metric, values in one_draw.items()},
    }
