"""Is a difference more than chance? Two questions with two tests, and intervals that answer both.

Over users: would it hold for other users like these? Each user has one value a model, the mean over the model's seeds,
and the paired t test is over users. It is the t test and not Wilcoxon's because the mean is what the table reports: a
user's NDCG@10 is zero but for one in eight, and the mean of ten seeds is smoother than one model's value, so their
difference is skewed, and a test on signs or ranks would call equal means different. It serves models with and without
randomness alike, and is what the verdicts rest on.

Over seeds: on these very users, is it more than training noise? Wilcoxon's exact signed-rank test over seeds; a model
without randomness has the same value in every pair. Between two such models there is nothing to test.

Intervals resample seeds and users together (`ncf.stats.intervals.two_level`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.baselines.arms import ARMS, REFERENCE
from experiments.baselines.runs import PER_USER
from ncf.stats import StatisticsError
from ncf.stats.effects import mean_difference
from ncf.stats.intervals import bootstrap, two_level
from ncf.stats.multiplicity import holm
from ncf.stats.paired import paired_t, wilcoxon

LEVEL, RESAMPLES = 0.95, 10_000


def best_baseline(table: pd.DataFrame) -> str:
    """The arm that is no NCF model with the highest mean validation NDCG@10: chosen without a look at test."""
    baselines = table[~table["arm"].map(lambda name: ARMS[name].ncf)]
    return str(baselines.groupby("arm")["valid/ndcg@10"].mean().idxmax())


def intervals(values: PER_USER) -> pd.DataFrame:
    """A row an arm and metric: the bootstrap interval over users of its mean, seeds averaged."""
    rows = []
    for metric, arms in values.items():
        for name, table in arms.items():
            means = table.mean(0)
            rng = np.random.default_rng(0)
            found = bootstrap(mean_difference, means, np.zeros_like(means), level=LEVEL, resamples=RESAMPLES, rng=rng)
            rows.append({"arm": name, "metric": metric, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def comparisons(values: PER_USER, best: str) -> pd.DataFrame:
    """A row a metric, opponent (NeuMF with BCE, the best baseline) and other arm; p-values are not corrected."""
    return pd.DataFrame(
        {"metric": metric, "against": against, "arm": name, **compared(table, arms[against])}
        for metric, arms in values.items()
        for against in (REFERENCE, best)
        for name, table in arms.items()
        if name != against
    )


def compared(treatment: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """Difference, its interval and the p-values of both tests, of (seeds, users) against (seeds, users).

    One row of seeds stands for any number of equal ones. `p_seeds` is NaN if that is true of both.
    """
    seeds = max(len(treatment), len(baseline))
    pair = [np.broadcast_to(table, (max(seeds, 2), table.shape[1])) for table in (treatment, baseline)]
    difference, relative = two_level(*pair, level=LEVEL)
    return {
        "difference": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "relative": relative.estimate,
        "p_users": _p(paired_t, treatment.mean(0), baseline.mean(0)),
        "p_seeds": _p(wilcoxon, *(table.mean(1) for table in pair)) if seeds > 1 else np.nan,
    }


def corrected(table: pd.DataFrame, family: Sequence[str] = ("metric", "against")) -> pd.DataFrame:
    """`table` with both p-values of `compared` corrected by Holm among the rows alike in the columns of `family`."""
    table = table.copy()
    for column in ("p_users", "p_seeds"):
        known = table[column].notna()
        groups = table[known].groupby(list(family))[column]
        table.loc[known, column] = groups.transform(lambda p: holm(p.to_numpy()))
    return table


def _p(test: object, treatment: np.ndarray, baseline: np.ndarray) -> float:
    assert callable(test)
    try:
        return float(test(treatment, baseline).p)
    except StatisticsError:  # no two values differ
        return 1.0


def p_text(p: float) -> str:
    """A p-value as the page has it."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
