"""README.md, from the rows beside it: the same rows give the same bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.imbalance.arms import ARMS, BASELINE, HERE, RULES, SEEDS, Arm
from ncf.core.files import write_text
from ncf.evaluation.imbalance import METRICS, Counts, summary
from ncf.evaluation.served import TIERS
from ncf.report.kit.markup import Table
from ncf.stats.crossed import Mean, crossed_mean
from ncf.stats.multiplicity import holm

LEVEL = 0.95
PILOT = " A pilot: not all seeds have been run, and nothing is concluded yet."
Key = tuple[str, str]
"""A rule, and by "user" or "item"."""


@dataclass(frozen=True)
class Study:
    """What the rows hold.

    Attributes:
        results: a row a run.
        counts: arm -> rule and by -> the counts of each seed.
        tiers: by -> (N,) 0 to 2.
        seeds: those that every arm has.
    """

    results: pd.DataFrame
    counts: dict[str, dict[Key, list[Counts]]]
    tiers: dict[str, np.ndarray]
    seeds: list[int]

    def values(self, arm: str, key: Key, metric: str, tier: int | None = None) -> np.ndarray:
        """(seeds, entities) of a metric."""
        chosen = slice(None) if tier is None else self.tiers[key[1]] == tier
        return np.stack([counts.values(metric)[chosen] for counts in self.counts[arm][key]])


def read(folder: Path = HERE) -> Study:
    """The study whose rows are in `folder`, with the seeds that every arm has."""
    results, table = pd.read_csv(folder / "results.csv"), pd.read_csv(folder / "counts.csv.gz")
    entities = pd.read_csv(folder / "entities.csv.gz").set_index("by")
    seeds = sorted(set.intersection(*(set(results.loc[results["arm"] == arm, "seed"]) for arm in ARMS)))
    relevant = {by: _numbers(text) for by, text in entities["relevant"].items()}
    counts: dict[str, dict[Key, list[Counts]]] = {arm: {} for arm in ARMS}
    for row in table[table["seed"].isin(seeds)].sort_values(["arm", "seed"]).itertuples():
        found = Counts(_numbers(row.hits), _numbers(row.predicted), relevant[row.by])
        counts[row.arm].setdefault((row.rule, row.by), []).append(found)
    return Study(results, counts, {by: _numbers(text) for by, text in entities["tier"].items()}, seeds)


def _numbers(text: str) -> np.ndarray:
    return np.array(text.split(), np.int64)


def write(folder: Path = HERE) -> None:
    """Write the page into `folder`."""
    study = read(folder)
    template = (HERE / "page.md").read_text()
    parts = {
        "answer": answer(study) + (PILOT if len(study.seeds) < len(SEEDS) else ""),
        "seeds": f"{len(study.seeds)} of {len(SEEDS)} seeds",
        "tiers": tiers(study),
        "f1": by_tier(study).markdown(),
        "uplift": uplift(study).markdown(),
        "summaries": summaries(study).markdown(),
        "commits": commits(study),
    }
    for name, part in parts.items():
        template = template.replace(f"<!-- {name} -->", part)
    write_text(folder / "README.md", template)


@dataclass(frozen=True)
class Difference:
    """F1 of an arm minus that of BCE, in a tier, over seeds and entities; `p` corrected over the table."""

    arm: Arm
    key: Key
    tier: str
    mean: Mean
    baseline: float
    p: float

    @property
    def finding(self) -> str:
        """Better, worse or undecided."""
        return "undecided" if self.p > 1 - LEVEL else "better" if self.mean.value > 0 else "worse"


def differences(study: Study) -> list[Difference]:
    """All of the uplift table."""
    found = []
    for key in _keys():
        for place, tier in enumerate(TIERS[key[1]]):
            baseline = study.values(BASELINE, key, "f1", place)
            for arm in ARMS.values():
                if arm.name != BASELINE:
                    mean = crossed_mean(study.values(arm.name, key, "f1", place) - baseline)
                    found.append(Difference(arm, key, tier, mean, float(baseline.mean()), mean.p))
    corrected = holm(np.array([each.p for each in found]))
    return [Difference(**{**vars(each), "p": float(p)}) for each, p in zip(found, corrected, strict=True)]


def _keys() -> Iterator[Key]:
    return ((rule, by) for rule in RULES for by in TIERS)


def answer(study: Study) -> str:
    """Whether focal loss helps niche items, and what does."""
    niche = [each for each in differences(study) if each.tier == "niche"]
    focal = [each for each in niche if each.arm.name == "focal"]
    said = "; ".join(f"{RULES[each.key[0]]}: {_change(each)}, {each.finding}" for each in focal)
    better = sorted({each.arm.title for each in niche if each.finding == "better"})
    verdicts = {each.finding for each in focal}
    head = (
        "Yes" if verdicts == {"better"} else "No" if "better" not in verdicts and "worse" in verdicts else "Not shown"
    )
    helped = f"What raises F1 of niche items: {', '.join(better)}." if better else "Nothing here is shown to help them."
    return f"**{head}.** F1 of niche items with focal loss, against BCE: {said}. {helped}"


def _change(each: Difference) -> str:
    low, high = each.mean.ends(LEVEL)
    return f"{each.mean.value:+.4f} [{low:+.4f}, {high:+.4f}] on {each.baseline:.4f}"


def tiers(study: Study) -> str:
    """The sizes of the tiers among those with held-out positives."""
    parts = []
    for by, names in TIERS.items():
        sizes = np.bincount(study.tiers[by], minlength=3)
        parts.append(f"{by}s: " + ", ".join(f"{size} {name}" for name, size in zip(names, sizes, strict=True)))
    return "; ".join(parts)


def by_tier(study: Study) -> Table:
    """Mean F1 of each tier."""
    rows = []
    for key in _keys():
        for arm in ARMS.values():
            cells = [f"{study.values(arm.name, key, 'f1', place).mean():.4f}" for place in range(3)]
            rows.append([RULES[key[0]], key[1], arm.title, *cells, f"{study.values(arm.name, key, 'f1').mean():.4f}"])
    header = ["predicted", "by", "trained with", "niche or light", "mid or medium", "popular or heavy", "all"]
    return Table("Mean F1", header, rows, "Means over entities and seeds.")


def uplift(study: Study) -> Table:
    """Each arm against BCE."""
    rows = []
    for each in differences(study):
        relative = f"{each.mean.value / each.baseline:+.1%}" if each.baseline else ""
        p = "< 0.0001" if each.p < 1e-4 else f"{each.p:.4f}"
        rows.append([RULES[each.key[0]], each.tier, each.arm.title, _change(each), relative, p, each.finding])
    header = ["predicted", "tier", "trained with", "difference of mean F1", "relative", "p (Holm)", "finding"]
    note = f"Against BCE, over seeds and entities; Holm's correction over all {len(rows)} rows."
    return Table("Differences from BCE", header, rows, note)


def summaries(study: Study) -> Table:
    """Medians, means, micro and zeros of all entities, the mean over seeds."""
    columns = ("median", "mean", "micro", "zeros", "undefined", "median_defined", "mean_defined")
    rows = []
    for key in _keys():
        for arm in ARMS.values():
            for metric in METRICS:
                found = [summary(counts, metric) for counts in study.counts[arm.name][key]]
                cells = [float(np.nanmean([getattr(each, name) for each in found])) for name in columns]
                shown = [f"{cell:.0f}" if name == "undefined" else f"{cell:.4f}" for name, cell in zip(columns, cells)]
                rows.append([RULES[key[0]], key[1], arm.title, metric, *shown])
    header = ["predicted", "by", "trained with", "metric", *columns[:5], "median without", "mean without"]
    note = "An entity without predictions has no precision: it counts as 0, and is left out in the columns without."
    return Table("All entities", header, rows, note)


def commits(study: Study) -> str:
    """Which code the runs came from."""
    counts = study.results["commit"].value_counts()
    return ", ".join(f"{count} runs from {str(commit)[:12]}" for commit, count in counts.items())
