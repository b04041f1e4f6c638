"""Metrics within thirds of the evaluated positives: by popularity of the item, by activity of the user."""

import numpy as np
import pandas as pd

from ncf.report.study import SWEEP, NotRunError, Study, stream
from ncf.stats.effects import mean_difference
from ncf.stats.intervals import bootstrap
from ncf.study.verdict import LEAST_PAIRS

GROUPINGS = {"item": "by popularity of the item", "user": "by activity of the user"}
THIRDS = {
    "item": ["least popular\nthird", "middle\nthird", "most popular\nthird"],
    "user": ["least active\nthird", "middle\nthird", "most active\nthird"],
}


def third(values: pd.Series) -> pd.Series:
    """0, 1 or 2: the third of its values that each lies in; equal values lie in the same one."""
    edges = np.quantile(values, [1 / 3, 2 / 3])
    return pd.Series(np.searchsorted(edges, values, side="left"), index=values.index)


def metrics_by_third(users: pd.DataFrame, grouping: str, measure: pd.Series, metrics: list[str]) -> pd.DataFrame:
    """Mean of each metric by run and third: columns run, grouping, third, positives, and the metrics.

    Args:
        users: a row a run and user; columns run, user_id, and the metrics.
        grouping: a key of GROUPINGS.
        measure: what the thirds are taken of, by user_id.
        metrics: columns of `users`.
    """
    rows = users.assign(third=users["user_id"].map(third(measure)))
    grouped = rows.groupby(["run", "third"], sort=True)
    table = grouped[metrics].mean().assign(positives=grouped.size()).reset_index()
    return table.assign(grouping=grouping)[["run", "grouping", "third", "positives", *metrics]]


def group_effects(study: Study, treatment: str, baseline: str) -> pd.DataFrame:
    """Mean difference of the primary metric with its interval, by ratio, grouping and third; and how many seeds.

    Raises:
        NotRunError: the table of groups is missing, or no ratio has three seeds in both arms.
    """
    table = study.joined(study.companion("groups", "the ranks of the runs: a report from run folders uses them"))
    arms = study.registration.arms
    metric = study.primary.partition("/")[2]
    found = []
    for (ratio, grouping, place), rows in table.groupby(["neg_ratio", "grouping", "third"]):
        pair = [study.values(arms[name], ratio, metric, rows) for name in (treatment, baseline)]
        present = pd.concat(pair, axis=1).dropna().to_numpy()
        if len(present) < LEAST_PAIRS:
            continue
        address = f"groups/{ratio}/{grouping}/{place}"
        interval = bootstrap(
            mean_difference, present[:, 0], present[:, 1], level=study.registration.interval_level,
            resamples=study.registration.resamples, rng=stream(study.registration, address),
        )  # fmt: skip
        found.append((ratio, grouping, place, len(present), interval.estimate, interval.low, interval.high))
    if not found:
        raise NotRunError("no ratio has three seeds of both losses with their ranks", SWEEP)
    return pd.DataFrame(found, columns=["neg_ratio", "grouping", "third", "seeds", "estimate", "low", "high"])


def groups(study: Study) -> tuple[Figure, str]:
    """Gain of the first claim's treatment within thirds of items and users."""
    treatment, baseline = study.contrasts[0]
    table = group_effects(study, treatment, baseline)
    present = [grouping for grouping in GROUPINGS if grouping in set(table["grouping"])]
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    ratios = sorted(table["neg_ratio"].unique())
    for ax, grouping in zip(axes, present):
        ax.axhline(0, color="black", linewidth=0.9)
        for n, ratio in enumerate(ratios):
            rows = table[(table["grouping"] == grouping) & (table["neg_ratio"] == ratio)].sort_values("third")
            x = rows["third"] + (n - (len(ratios) - 1) / 2) * 0.2
            bars = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
            ax.errorbar(
                x, rows["estimate"], yerr=bars, fmt=MARKERS[n], color=COLOURS[n], capsize=3,
                label=f"1:{ratio} ({rows['seeds'].iloc[0]} seeds)",
            )  # fmt: skip
        ax.set_xticks(range(3), THIRDS[grouping])
        ax.set_xlim(-0.5, 2.5)
        ax.set_title(GROUPINGS[grouping])
    axes[0].set_ylabel(f"change of {metric_name(study.primary)}\n(absolute)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure, (
        f"{contrast_name(study, treatment, baseline)} within thirds of the evaluated positives; bars are "
        f"{study.registration.interval_level:.0%} bootstrap intervals over paired seeds. Popularity is the item's "
        "count in training, activity the user's known positives."
    )
