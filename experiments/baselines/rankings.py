"""The held-out items of trained models, ranked in three ways.

Among the one draw of 99 items that the runs share; among 99, on average over every draw there could be; and among all
items that the user has not seen. The trained models are the same in all three. The one draw also for two halves of the
users: those whose held-out item has at most the median number of training positives, and the others.
"""

from pathlib import Path

import numpy as np
from scipy.stats import hypergeom

import ncf
from experiments.baselines.arms import METRICS
from ncf.evaluation.metrics import hit, ndcg
from ncf.evaluation.ranking import Ranks, chunk_size, rank
from ncf.evaluation.targets import test_targets
from ncf.runs.tables import read_users

ONE_DRAW, EVERY_DRAW, ALL_ITEMS = "one draw", "every draw", "all items"
RARE, POPULAR = "one draw, rare items", "one draw, popular items"
RANKINGS = (ONE_DRAW, EVERY_DRAW, ALL_ITEMS, RARE, POPULAR)
NEGATIVES, CUTOFF = 99, 10
_GAIN = {"ndcg@10": 1 / np.log2(np.arange(CUTOFF) + 2), "hit@10": np.ones(CUTOFF)}  # by items above the positive
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
    full = {"ndcg@10": ndcg(ranks, CUTOFF, "average").numpy(), "hit@10": hit(ranks, CUTOFF, "average").numpy()}
    one_draw = {metric: drawn[metric].to_numpy() for metric in METRICS}
    return {
        ONE_DRAW: one_draw,
        EVERY_DRAW: {metric: every_draw(ranks, gain, NEGATIVES)[order] for metric, gain in _GAIN.items()},
        ALL_ITEMS: {metric: full[metric][order] for metric in METRICS},
        RARE: {metric: values[rare] for metric, values in one_draw.items()},
        POPULAR: {metric: values[~rare] for metric, values in one_draw.items()},
    }


def every_draw(ranks: Ranks, gain: np.ndarray, negatives: int) -> np.ndarray:
    """Expected metric (N,) of each positive among `negatives` other candidates drawn without replacement.

    Args:
        ranks: among all candidates; a positive that ties may stand at any of its places alike.
        gain: (P,), the metric's value with 0 to P - 1 candidates above the positive, 0 beyond.
        negatives: of a draw; with `a` of n - 1 candidates above, how many of them it has is hypergeometric.
    """
    above, tied, candidates = (t.numpy() for t in (ranks.above, ranks.tied, ranks.candidates))
    row = np.repeat(np.arange(len(tied)), tied)  # a row a place that a positive may have
    place = np.arange(len(row)) - np.repeat(np.cumsum(tied) - tied, tied)
    cases, which = np.unique([candidates[row] - 1, above[row] + place], axis=1, return_inverse=True)
    chance = hypergeom.pmf(np.arange(len(gain))[:, None], *cases, negatives)  # (P, cases), of so many drawn above
    return np.bincount(row, (gain @ chance)[which]) / tied
