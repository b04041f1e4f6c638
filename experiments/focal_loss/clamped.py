"""What the published code's loss changed: its runs beside those of the same loss as defined, and which never learned.

On clamped logits a logit at or below 0 gets no gradient. NeuMF's first logits are all but equal, so the seed alone
decides whether they start there; if so, no weight ever moves.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.core.rng import numpy_generator
from ncf.report.kit.naming import label, loss_name, metric_name, p_value, percents
from ncf.report.kit.section import Cells, Chart, Drawing, Facts, Listing, Section
from ncf.report.kit.style import COLOURS, GREY, MARKERS, WIDTH
from ncf.report.study import NotRunError, Study
from ncf.stats import Comparison, StatisticsError, compare
from ncf.stats.power import smallest_p
from ncf.study.registration import Selector

_CLAMPED = ("the published code's loss on clamped logits", "clamped")


@dataclass(frozen=True)
class Change:
    """A loss as defined and the same on clamped logits, at a ratio and in a metric, over the seeds that have both.

    `learned` has the seeds whose clamped run learned, with the metric of both: columns defined, clamped. It is None
    where the epochs of a run are not there to tell.
    """

    right: Selector
    ratio: int
    metric: str
    every: Comparison
    learned: pd.DataFrame | None

    @property
    def dead(self) -> int:
        """How many clamped runs never learned; 0 where nothing tells."""
        return 0 if self.learned is None else self.every.seeds - len(self.learned)

    @property
    def others(self) -> str:
        """The runs that learned: "0.0567 against 0.0581, -2.4%"; empty if there are none."""
        if self.learned is None or self.learned.empty:
            return ""
        defined, clamped = self.learned.mean()
        return f"{clamped:.4f} against {defined:.4f}, {clamped / defined - 1:+.1%}"


def pairs(study: Study) -> list[tuple[Selector, Selector]]:
    """(the loss as defined, the same on clamped logits) for each registered choice of the clamped grid."""
    found = []
    for wrong in study.arms_of("clamped"):
        plain = {"loss": "alpha_bce"} if wrong["gamma"] == 0 else {"loss": "focal", "gamma": wrong["gamma"]}
        found.append(({"model": wrong["model"], **plain, "alpha": wrong["alpha"]}, wrong))
    return found


def changes(study: Study, metrics: Sequence[str]) -> Iterator[Change]:
    """One for each ratio, loss and metric that has seeds enough."""
    plan = study.registration
    for ratio, (right, wrong), metric in itertools.product(study.ratios, pairs(study), metrics):
        present = study.by_seed({"defined": right, "clamped": wrong}, ratio, metric)
        with contextlib.suppress(StatisticsError):  # too few seeds yet
            every = compare(
                present["clamped"].to_numpy(), present["defined"].to_numpy(), margin=plan.smallest_effect,
                level=plan.interval_level, resamples=plan.resamples,
                rng=numpy_generator(plan.bootstrap_seed, f"clamped/{label(wrong)}/{ratio}/{metric}"),
            )  # fmt: skip
            learns = learned(study, study.runs_of(wrong, ratio)[present.index])
            yield Change(right, ratio, metric, every, None if learns is None else present[learns])


def learned(study: Study, runs: pd.Series) -> pd.Series | None:
    """Whether each of `runs` learned: its validation metric or its training loss differs between two epochs.

    A run whose weights never move has both the same in every epoch. None if the epochs of a run, two at least, are
    not in the tables.
    """
    curves = study.companions["curves"]
    if curves.empty:
        return None
    by_run = curves.groupby("run")
    distinct = by_run[["ndcg@10", "train_loss"]].nunique().max(axis=1).where(by_run.size() > 1)
    found = runs.map(distinct)
    return None if found.isna().any() else found > 1


def figure(study: Study) -> Drawing:
    """Each loss beside what the published code made of it, pairs by seed."""
    both = pairs(study)
    ratios = [r for r in study.ratios if any(len(study.values(wrong, r, study.primary)) for _, wrong in both)]
    if not ratios:
        raise NotRunError(*_CLAMPED)
    drawn = Figure(figsize=(WIDTH, 3.2))
    axes = drawn.subplots(1, len(ratios), squeeze=False, sharey=True)[0]
    for ax, ratio in zip(axes, ratios):
        tables = [study.by_seed({"right": right, "wrong": wrong}, ratio, study.primary) for right, wrong in both]
        for n, table in enumerate(tables):
            _joined_pairs(ax, 2 * n, table)
        names = [name for right, _ in both for name in (loss_name(right), "clamped")]
        ax.set_xticks([2 * n + shift for n in range(len(both)) for shift in (0, 1)], names)
        ax.margins(x=0.12)
        ax.set_title(f"1:{ratio} ({', '.join(str(n) for n in sorted({len(t) for t in tables}))} seeds)")
    axes[0].set_ylabel(metric_name(study.primary))
    return Drawing(drawn, {"losses": " and ".join(label(right) for right, _ in both)})


def _joined_pairs(ax: Axes, place: int, table: pd.DataFrame) -> None:
    for values in table.to_numpy():
        ax.plot([place, place + 1], values, color=GREY, alpha=0.5, linewidth=0.9)
    for shift, look in ((0, 0), (1, 4)):
        ax.plot(
            np.full(len(table), place + shift), table.iloc[:, shift], MARKERS[look], color=COLOURS[look], markersize=5
        )


def table(study: Study) -> Cells:
    """Each loss against what the published code made of it."""
    found = list(changes(study, study.registration.metrics))
    if not found:
        raise NotRunError(*_CLAMPED)
    rows = [
        [f"1:{c.ratio}", label(c.right), metric_name(c.metric), f"{c.every.seeds}", f"{c.every.baseline_mean:.4f}",
         f"{c.every.treatment_mean:.4f}", percents(c.every.effects["relative_change"]), p_value(c.every.wilcoxon.p),
         "not known" if c.learned is None else f"{c.dead}", c.others]
        for c in found
    ]  # fmt: skip
    header = ["negatives", "loss", "metric", "seeds", "as defined", "clamped", "change", "p", "dead", "others"]
    fewest = min(c.every.seeds for c in found)
    return Cells(header, rows, {"fewest": fewest, "smallest_p": smallest_p(fewest)})


def readme(study: Study) -> Facts:
    """What changed in the primary metric, and what to say where nothing has been run."""
    return {
        "changes": list(changes(study, [study.primary])),
        "absent": {"missing": _CLAMPED[0], "command": study.command(_CLAMPED[1])},
    }


SECTION = Section(
    "The published code's mistake",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("clamped", "What did the published code's mistake change?", "descriptive", figure),
        Listing("clamped", "What the published code's mistake changed", table),
    ),
    readme=readme,
)
