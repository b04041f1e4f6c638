"""Would another protocol have told another story? Full ranking beside ranking among sampled negatives."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ncf.evaluation.hypergeometric import SAMPLED
from ncf.report.kit.naming import arm_labels, metric_name, percent
from ncf.report.kit.section import Cells, Chart, Drawing, Facts, Listing, Section
from ncf.report.kit.style import WIDTH, look
from ncf.report.study import NotRunError, Study

_RANKS = "the ranks of the runs: a report from run folders uses them"


@dataclass(frozen=True)
class RankReversals:
    """Pairs of runs with one seed and different losses, and how many of them sampled ranking puts the other way."""

    reversed: int
    pairs: int

    @property
    def share(self) -> str:
        """Such as "35%"."""
        return percent(self.reversed / self.pairs)


def rank_reversals(study: Study) -> dict[int, RankReversals]:
    """By ratio, how the registered arms' order in the primary metric changes among sampled negatives.

    Pairs that tie under either protocol are left out, and ratios that have no pair.
    """
    table = study.companions["sampled"]
    if table.empty:
        return {}
    joined, metric = study.joined(table), study.primary.partition("/")[2]
    arms, found = study.registration.arms.values(), {}
    for ratio in study.ratios:
        both = [(study.values(a, ratio, study.primary), study.values(a, ratio, metric, joined)) for a in arms]
        products = [
            ((full_a - full_b) * (sampled_a - sampled_b)).dropna()
            for (full_a, sampled_a), (full_b, sampled_b) in itertools.combinations(both, 2)
        ]
        if pairs := sum(int((p != 0).sum()) for p in products):
            found[ratio] = RankReversals(sum(int((p < 0).sum()) for p in products), pairs)
    return found


def sampled(study: Study) -> Drawing:
    """Each run's metric by full ranking against its expectation among sampled negatives."""
    table = study.joined(study.companion("sampled", _RANKS))
    metric = study.primary.partition("/")[2]
    counted, arms = rank_reversals(study), study.registration.arms
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.subplots(1, max(1, len(counted)), squeeze=False)[0]
    for ax, (ratio, count) in zip(axes, counted.items()):
        for name, words in arm_labels(study.registration).items():
            full = study.values(arms[name], ratio, study.primary)
            among = study.values(arms[name], ratio, metric, table).reindex(full.index)
            colour, marker = look(arms, name)
            if len(full):
                ax.plot(full, among, marker, color=colour, markersize=4, alpha=0.75, label=words)
        ax.set_title(f"1:{ratio}: {count.reversed} of {count.pairs} pairs flip ({count.share})")
        ax.set_xlabel(f"{metric_name(study.primary)}, full ranking")
    axes[0].set_ylabel(f"expected {metric_name(metric)}, {SAMPLED} sampled")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(figure)


def protocols(study: Study) -> Cells:
    """How often sampled ranking reverses a comparison."""
    rows = [[f"1:{r}", f"{c.pairs}", f"{c.reversed}", c.share] for r, c in rank_reversals(study).items()]
    if not rows:
        raise NotRunError(_RANKS)
    return Cells(["negatives", "pairs", "flipped", "share"], rows)


def _reversed(study: Study) -> Facts | None:
    counted = rank_reversals(study)
    return {"counted": counted} if counted else None


SECTION = Section(
    "Another protocol",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("sampled", f"Would {SAMPLED} sampled negatives have told the same story?", "exploratory", sampled),
        Listing("protocols", "Sampled against full ranking", protocols),
    ),
    remarks={"reversals": _reversed},
)
