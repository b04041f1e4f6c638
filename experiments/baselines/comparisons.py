"""Is a difference more than chance? Two questions with two tests, and intervals that answer the first.

Over seeds and users: would it hold for other users like these, and trained again? Each user and seed has a value, and
seeds and users are two crossed random effects (`ncf.stats.crossed`): a test over users alone would take the few seeds
that were run for the model itself. A model without randomness has the same value with every seed, so the test serves
models with and without. It is about the mean, which is what the table reports, and not about signs or ranks: a user's
NDCG@10 is zero more often than not, and one model's value is more often zero than the mean of ten seeds.

Over seeds: on these very users, is it more than training noise? Wilcoxon's exact signed-rank test over seeds; a model
without randomness has the same value in every pair. Between two such models there is nothing to test.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.baselines.arms import ARMS, REFERENCES
from experiments.baselines.runs import PER_USER
from ncf.stats import StatisticsError
from ncf.stats.crossed import crossed_mean
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon

LEVEL = 0.95
P_VALUES = ("p_both", "p_seeds")


def best_baseline(table: pd.DataFrame) -> str:
    """The arm that is no NCF model with the highest mean validation NDCG@10: chosen without a look at test."""
    return _best(table[~table["arm"].map(lambda name: ARMS[name].ncf)])


def reference(table: pd.DataFrame) -> str:
    """NeuMF with BCE, as tuned or by default: whichever has the higher mean validation NDCG@10 over seeds."""
    return _best(table[table["arm"].isin(REFERENCES)])


def _best(table: pd.DataFrame) -> str:
    return str(table.groupby("arm")["valid/ndcg@10"].mean().idxmax())


def intervals(values: PER_USER) -> pd.DataFrame:
    """A row an arm and metric: the interval over seeds and users of its mean, which is not below 0."""
    rows = []
    for metric, arms in values.items():
        for name, table in arms.items():
            low, high = crossed_mean(_at_least_two(table)).ends(LEVEL)
            rows.append({"arm": name, "metric": metric, "low": max(low, 0.0), "high": high})
    return pd.DataFrame(rows)


def comparisons(values: PER_USER, opponents: Sequence[str]) -> pd.DataFrame:
    """A row a metric, opponent and other arm; p-values are not corrected."""
    return pd.DataFrame(
        {"metric": metric, "against": against, "arm": name, **compared(table, arms[against])}
        for metric, arms in values.items()
        for against in opponents
        for name, table in arms.items()
        if name != against
    )


def compared(treatment: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """Difference, its interval and the p-values of both tests, of (seeds, users) against (seeds, users).

    One row of seeds stands for any number of equal ones. `p_seeds` is NaN if that is true of both.
    """
    seeds = max(len(treatment), len(baseline))
    t, b = (np.broadcast_to(table, (max(seeds, 2), table.shape[1])) for table in (treatment, baseline))
    mean = crossed_mean(t - b)
    low, high = mean.ends(LEVEL)
    return {
        "difference": mean.value,
        "low": low,
        "high": high,
        "relative": mean.value / b.mean(),
        "p_both": mean.p,
        "p_seeds": _p(t.mean(1), b.mean(1)) if seeds > 1 else np.nan,
    }


def _at_least_two(table: np.ndarray) -> np.ndarray:
    """A model without randomness has one row, and would have it again."""
    return np.repeat(table, 2, axis=0) if len(table) == 1 else table


def corrected(table: pd.DataFrame, family: Sequence[str] = ("metric", "against")) -> pd.DataFrame:
    """`table` with both p-values of `compared` corrected by Holm among the rows alike in the columns of `family`."""
    table = table.copy()
    for column in P_VALUES:
        known = table[column].notna()
        groups = table[known].groupby(list(family))[column]
        table.loc[known, column] = groups.transform(lambda p: holm(p.to_numpy()))
    return table


def _p(treatment: np.ndarray, baseline: np.ndarray) -> float:
    try:
        return float(wilcoxon(treatment, baseline).p)
    except StatisticsError:  # no two values differ
        return 1.0


def p_text(p: float) -> str:
    """A p-value as the page has it."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
