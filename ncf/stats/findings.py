"""From p-values to findings and verdicts, in one place: for one study, and for thousands of simulated ones at once.

A comparison's effect is held against one region of practical equivalence, changes smaller than the margin:

- *equivalent*: the effect is shown to lie in the region;
- *better*, *worse*: it is not, and an effect is shown, in the direction of the test's own statistic;
- *undecided*: neither is shown.

A single finding counts only if its p survives the correction for its family; otherwise it is undecided. A claim of
several comparisons asks that all of them (or any) are better. That all are better is an intersection-union claim: each
part is tested at alpha, without correction, since every one of them has to pass (Berger 1982). That any is better, or
that any fails, picks among the parts, and needs the correction.
"""

from typing import Literal

import numpy as np

from ncf.stats.checks import Array, StatisticsError, fraction, one_of, table
from ncf.stats.multiplicity import benjamini_hochberg, bonferroni, holm

Finding = Literal["better", "worse", "equivalent", "undecided", "incomplete"]
Status = Literal["holds", "fails", "refuted", "undecided"]
FINDINGS: tuple[Finding, ...] = ("better", "worse", "equivalent", "undecided", "incomplete")
STATUSES: tuple[Status, ...] = ("holds", "fails", "refuted", "undecided")
_BETTER, _WORSE, _EQUIVALENT, _UNDECIDED, _INCOMPLETE = range(5)
_HOLDS, _FAILS, _REFUTED, _OPEN = range(4)
CORRECTIONS = {"holm": holm, "bonferroni": bonferroni, "benjamini_hochberg": benjamini_hochberg}


def findings(
    direction: Array, p: Array, p_equivalent: Array, alpha: float, correction: str = "holm"
) -> tuple[Array, Array]:
    """Return the findings at `alpha` and those that survive the correction: (..., m) each, positions in `FINDINGS`.

    Args:
        direction: (..., m), sign of each test's statistic.
        p: (..., m), two-sided p against no effect.
        p_equivalent: (..., m), TOST p against the region.
        alpha: the level.
        correction: "holm", "bonferroni" or "benjamini_hochberg", over the last axis.

    Raises StatisticsError for unequal shapes, a p outside [0, 1], or settings out of range.
    """
    correct, alpha = CORRECTIONS[one_of(correction, "correction", list(CORRECTIONS))], fraction(alpha, "alpha")
    signs, corrected, corrected_equivalent = table(direction, "directions"), correct(p), correct(p_equivalent)
    if not signs.shape == corrected.shape == corrected_equivalent.shape:
        raise StatisticsError(
            f"findings: expected equal shapes, got {signs.shape}, {corrected.shape} and {corrected_equivalent.shape}"
        )
    effect = np.where(signs > 0, _BETTER, np.where(signs < 0, _WORSE, _UNDECIDED))
    alone = np.where(
        np.asarray(p_equivalent) <= alpha, _EQUIVALENT, np.where(np.asarray(p) <= alpha, effect, _UNDECIDED)
    )
    behind = np.where(alone == _EQUIVALENT, corrected_equivalent, corrected)
    return alone, np.where(behind <= alpha, alone, _UNDECIDED)


def statuses(alone: Array, surviving: Array, needs: str) -> Array:
    """Return the status of claims that need "all" or "any" of m comparisons better: (...), positions in `STATUSES`.

    *holds*: all are better at alpha (any is, after correction). *refuted*: every one is worse or equivalent at alpha.
    *fails*, for "all": one is worse or equivalent after correction. Otherwise *undecided*.

    Args:
        alone: (..., m), findings at alpha.
        surviving: (..., m), findings after correction.
        needs: "all" or "any".

    Raises StatisticsError for unequal or empty shapes, values that are no findings, or another `needs`.
    """
    one_of(needs, "needs", ["all", "any"])
    a, s = table(alone, "findings"), table(surviving, "findings")
    if a.shape != s.shape or not a.size or not a.ndim or not (np.isin(a, range(5)) & np.isin(s, range(5))).all():
        raise StatisticsError(f"findings: expected equal shapes of positions in FINDINGS, got {a.shape} and {s.shape}")
    holds = (a == _BETTER).all(-1) if needs == "all" else (s == _BETTER).any(-1)
    refuted = _against(a).all(-1)
    fails = _against(s).any(-1) & (needs == "all")
    return np.select([holds, refuted, fails], [_HOLDS, _REFUTED, _FAILS], _OPEN)


def _against(found: Array) -> Array:
    return (found == _WORSE) | (found == _EQUIVALENT)
