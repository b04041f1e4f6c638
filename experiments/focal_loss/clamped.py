"""What the published code's loss changed: its runs beside those of the same loss as defined, and which never learned.

On clamped logits a logit at or below 0 gets no gradient. NeuMF's first logits are all but equal, so the seed alone
decides whether they start there; if so, no weight ever moves.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ncf.report.naming import label
from ncf.report.study import Study, stream
from ncf.stats import Comparison, StatisticsError, compare
from ncf.study.registration import Selector


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


def changes(study: Study) -> Iterator[Change]:
    """One for each ratio, loss and registered metric that has seeds enough."""
    registration = study.registration
    for ratio, (right, wrong), metric in itertools.product(study.ratios, pairs(study), registration.metrics):
        values = {"defined": study.values(right, ratio, metric), "clamped": study.values(wrong, ratio, metric)}
        present = pd.DataFrame(values).dropna()
        with contextlib.suppress(StatisticsError):  # too few seeds yet
            every = compare(
                present["clamped"].to_numpy(), present["defined"].to_numpy(), margin=registration.smallest_effect,
                level=registration.interval_level, resamples=registration.resamples,
                rng=stream(registration, f"clamped/{label(wrong)}/{ratio}/{metric}"),
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
