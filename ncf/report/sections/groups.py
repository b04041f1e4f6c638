"""Who gains: the effect within thirds of the evaluated positives, by the item's popularity and the user's activity."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ncf.core.rng import numpy_generator
from ncf.report.kit.naming import contrast_name, metric_name
from ncf.report.kit.section import Chart, Drawing, Section
from ncf.report.kit.style import COLOURS, MARKERS, WIDTH
from ncf.report.study import NotRunError, Study
from ncf.stats import StatisticsError
from ncf.stats.effects import mean_difference
from ncf.stats.intervals import bootstrap
from ncf.study.verdict import LEAST_PAIRS

GROUPINGS = {"item": "by popularity of the item", "user": "by activity of the user"}
THIRDS = {
    "item": ["least popular\nthird", "middle\nthird", "most popular\nthird"],
    "user": ["least active\nthird", "middle\nthird", "most active\nthird"],
}


def group_effects(study: Study, treatment: str, baseline: str) -> pd.DataFrame:
    """Mean difference of the primary metric with its interval, by ratio, grouping and third; and how many seeds.

    The ends of an interval that is withheld are NaN.

    Raises:
        NotRunError: the table of groups is missing, or no ratio has three seeds in both arms.
    """
    table = study.joined(study.companion("groups", "the ranks of the runs: a report from run folders uses them"))
    plan, metric = study.registration, study.primary.partition("/")[2]
    found = []
    for (ratio, grouping, third), rows in table.groupby(["neg_ratio", "grouping", "third"]):
        pair = [study.values(plan.arms[name], ratio, metric, rows) for name in (treatment, baseline)]
        present = pd.concat(pair, axis=1).dropna().to_numpy()
        if len(present) < LEAST_PAIRS:
            continue
        try:
            interval = bootstrap(
                mean_difference, present[:, 0], present[:, 1], level=plan.interval_level, resamples=plan.resamples,
                rng=numpy_generator(plan.bootstrap_seed, f"groups/{ratio}/{grouping}/{third}"),
            )  # fmt: skip
        except StatisticsError:  # too few pairs for an interval
            continue
        ends = interval.ends or (np.nan, np.nan)  # no bar where it is withheld
        found.append((ratio, grouping, third, len(present), interval.estimate, *ends))
    if not found:
        raise NotRunError("no ratio has three seeds of both losses with their ranks")
    return pd.DataFrame(found, columns=["neg_ratio", "grouping", "third", "seeds", "estimate", "low", "high"])


def groups(study: Study) -> Drawing:
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
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(figure, {"contrast": contrast_name(study.registration, treatment, baseline)})


SECTION = Section(
    "Other groups",
    Path(__file__).with_suffix(".j2"),
    (Chart("groups", "Who gains: popular items, active users?", "exploratory", groups),),
)
