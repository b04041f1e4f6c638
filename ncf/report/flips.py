"""How often full and sampled ranking disagree on which of two runs is better."""

import itertools
from dataclasses import dataclass

from ncf.report.study import Study


@dataclass(frozen=True)
class Flips:
    """Pairs of runs with one seed and different losses, and how many of them change order."""

    flipped: int
    pairs: int


def flips(study: Study, ratio: int) -> Flips:
    """The flips of the primary metric between the registered arms at a ratio; pairs that tie in either are left out."""
    table = study.companions["sampled"]
    if table.empty:
        return Flips(0, 0)
    joined, metric = study.joined(table), study.primary.partition("/")[2]
    arms = study.registration.arms.values()
    full = [study.values(arm, ratio, study.primary) for arm in arms]
    among = [study.values(arm, ratio, metric, joined) for arm in arms]
    flipped = pairs = 0
    for a, b in itertools.combinations(range(len(full)), 2):
        products = ((full[a] - full[b]) * (among[a] - among[b])).dropna()
        flipped += int((products < 0).sum())
        pairs += int((products != 0).sum())
    return Flips(flipped, pairs)
