"""What the saved ranks tell beyond the metrics: sampled ranking, thirds of items and users, statistics over users."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.data import read_split
from ncf.errors import NcfError
from ncf.evaluation.hypergeometric import expected_metrics
from ncf.report.rank_table import KEYS, packed
from ncf.report.study import MOST_CELLS, MOST_COLUMNS, Study
from ncf.runs import artifacts
from ncf.runs.ranks_file import counted
from ncf.runs.tables import read_users
from ncf.stats import StatisticsError
from ncf.stats.intervals import two_level
from ncf.stats.paired import wilcoxon
from ncf.study.verdict import LEAST_PAIRS

log = logging.getLogger(__name__)

CUTOFF = 10


def ranked(folders: Sequence[Path], study: Study, config: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The companions `sampled`, `groups`, `users` and `ranks` of runs that have their ranks; empty frames without any.

    Raises DataError as `ncf.runs.tables.read_users` and `ncf.report.rank_table.packed`.
    """
    kept = [folder for folder in folders if (folder / artifacts.RANKS).exists()]
    if not kept:
        return {name: pd.DataFrame() for name in ("sampled", "groups", "users", "ranks")}
    positives = read_users(kept)
    users = one_row_a_user(positives)
    return {
        "sampled": sampled(positives), "groups": groups(positives, config), "users": over_users(users, study),
        "ranks": compared_ranks(positives, study),
    }  # fmt: skip


def one_row_a_user(positives: pd.DataFrame) -> pd.DataFrame:
    """A row a run and user: of a user's several positives the mean rank and metrics, and otherwise the first row's."""
    if not positives.duplicated(["run", "user_id"]).any():
        return positives
    how = {name: "mean" if kind.kind == "f" else "first" for name, kind in positives.dtypes.items()}
    keys = [positives["run"], positives["user_id"]]
    return positives.groupby(keys, sort=False).agg(how).reset_index(drop=True)


def sampled(users: pd.DataFrame) -> pd.DataFrame:
    """A row a run: run, and hit@10 and ndcg@10 expected among 99 sampled negatives."""
    ranks = counted(users)
    above, tied, candidates = (column.numpy() for column in (ranks.above, ranks.tied, ranks.candidates))
    values = pd.DataFrame(expected_metrics(above, tied, candidates, CUTOFF))
    values = one_row_a_user(pd.concat([users[["run", "user_id"]], values], axis=1))
    return values.drop(columns="user_id").groupby("run", sort=False).mean().reset_index()


def groups(positives: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    """Metrics by run and third of users' activity, and of items' popularity where the data set can be read again.

    A user with several positives is in the third of their mean popularity.
    """
    users = one_row_a_user(positives)
    one = positives[positives["run"] == positives["run"].iloc[0]].set_index("user_id")
    metrics = [name for name in (f"hit@{CUTOFF}", f"ndcg@{CUTOFF}") if name in users]
    known = one["candidates"].groupby(level=0, sort=False).first()
    measures = {"user": -known}  # the fewer candidates are left, the more items the user knows
    counts = popularity(config)
    if counts is not None:
        measures["item"] = one["item_id"].map(counts).fillna(0).groupby(level=0, sort=False).mean()
    return pd.concat([metrics_by_third(users, name, measure, metrics) for name, measure in measures.items()])


def metrics_by_third(users: pd.DataFrame, grouping: str, measure: pd.Series, metrics: list[str]) -> pd.DataFrame:
    """Mean of each metric by run and third: columns run, grouping, third, positives, and the metrics.

    Args:
        users: a row a run and user; columns run, user_id, and the metrics.
        grouping: what the thirds are of, "item" or "user".
        measure: what they are taken by, by user_id.
        metrics: columns of `users`.
    """
    rows = users.assign(third=users["user_id"].map(thirds(measure)))
    grouped = rows.groupby(["run", "third"], sort=True)
    table = grouped[metrics].mean().assign(positives=grouped.size()).reset_index()
    return table.assign(grouping=grouping)[["run", "grouping", "third", "positives", *metrics]]


def thirds(values: pd.Series) -> pd.Series:
    """0, 1 or 2: the third of its values that each lies in; equal values lie in the same one."""
    edges = np.quantile(values, [1 / 3, 2 / 3])
    return pd.Series(np.searchsorted(edges, values, side="left"), index=values.index)


def popularity(config: Mapping[str, Any]) -> pd.Series | None:
    """How often each raw item id occurs in training; None, with a warning, where the data set is not to be had."""
    try:
        split = read_split(config)
    except NcfError as error:
        log.warning("no gain by item popularity: %s", error)
        return None
    counts = np.bincount(split.train.items, minlength=split.num_items)
    return pd.Series(counts, index=split.item_ids)


def compared_ranks(positives: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The ranks of the runs that a registered comparison is about; an empty frame if there are too many for a table.

    Raises DataError as `ncf.report.rank_table.packed`.
    """
    arms = [study.registration.arms[name] for name in dict.fromkeys(name for pair in study.contrasts for name in pair)]
    compared = {run for arm in arms for ratio in study.ratios for run in study.runs_of(arm, ratio)}
    own = positives[positives["run"].isin(compared)]
    if own.empty:
        return pd.DataFrame()
    runs = own["run"].nunique()
    columns, rows = len(KEYS) + runs, len(own) // runs + 1
    if columns > MOST_COLUMNS or rows * (columns + 1) > MOST_CELLS:
        log.warning("no table of ranks: %s positives of %s runs are too many for one", f"{rows - 1:,}", f"{runs:,}")
        return pd.DataFrame()
    return packed(own)


def over_users(users: pd.DataFrame, study: Study) -> pd.DataFrame:
    """A row a registered comparison at one ratio: the two-level interval, and the Wilcoxon test paired by user.

    The test compares each user's mean rank among all items over the seeds, whatever the metric, and takes the seeds as
    given; `users_better` is how many users the treatment ranks better. `method`: how the intervals were made.
    """
    rows = []
    for treatment, baseline, metric, ratios in study.comparisons():
        name = metric.partition("/")[2]
        pairs = _paired_runs(study, treatment, baseline, ratios[0], set(users["run"]))
        if len(pairs) < LEAST_PAIRS or name not in users:
            continue
        row = {"treatment": treatment, "baseline": baseline, "metric": metric, "neg_ratio": ratios[0]}
        with contextlib.suppress(StatisticsError):  # nothing to compare: all hits zero, for example
            rows.append(row | _user_statistics(users, pairs, name, study.registration.interval_level))
    return pd.DataFrame(rows)


def _paired_runs(study: Study, treatment: str, baseline: str, ratio: int, present: set[str]) -> list[tuple[str, str]]:
    """(treatment's run, baseline's run) of each registered seed that both arms have, with their ranks."""
    arms = [study.registration.arms[name] for name in (treatment, baseline)]
    ids = pd.concat([study.runs_of(arm, ratio) for arm in arms], axis=1).dropna()
    return [(t, b) for t, b in ids.itertuples(index=False) if t in present and b in present]


def _user_statistics(users: pd.DataFrame, pairs: list[tuple[str, str]], metric: str, level: float) -> dict[str, Any]:
    users = users[users["run"].isin([run for pair in pairs for run in pair])]

    def by_user(side: int, column: str) -> np.ndarray:
        wide = users.pivot(index="run", columns="user_id", values=column)
        return wide.loc[[pair[side] for pair in pairs]].to_numpy()  # (seeds, users)

    difference, change = two_level(by_user(0, metric), by_user(1, metric), level=level)
    ranks = [by_user(side, "rank").mean(0) for side in (0, 1)]
    try:
        p = wilcoxon(*ranks).p
    except StatisticsError:  # every user's mean rank is the same
        p = 1.0
    return {
        "seeds": len(pairs),
        "users": len(ranks[0]),
        "difference": difference.estimate, "difference_low": difference.low, "difference_high": difference.high,
        "change": change.estimate, "change_low": change.low, "change_high": change.high, "method": change.method,
        "users_better": int((ranks[0] < ranks[1]).sum()),
        "users_worse": int((ranks[0] > ranks[1]).sum()),
        "p_ranks": p,
    }  # fmt: skip
