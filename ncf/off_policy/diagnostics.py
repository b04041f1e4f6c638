"""How far a log can speak for a policy: effective sample size, the largest weight, and what the log never shows."""

import numpy as np

from ncf.errors import DataError
from ncf.off_policy.per_action import PerAction
from ncf.stats.estimate import effective_size

LEAST = 30
"""Effective rounds below which no estimate is shown unless asked for: fewer than a t interval needs."""

_UNEVEN, _LONG = 0.02, 5.0  # share of the largest weight, and how many times the mean it is
_Z, _ROUNDING = 3.0, 1e-3  # standard errors, and what propensities of a few digits miss


def effective_rounds(weight: np.ndarray) -> float:
    """Return the effective sample size (sum w)² / sum w² of weights (N,), 0 if all are 0."""
    return effective_size(weight) if weight.any() else 0.0


def largest(weight: np.ndarray) -> dict[str, float]:
    """Return the largest weight and its share of the sum."""
    total = float(weight.sum())
    most = float(weight.max(initial=0))
    return {"largest_weight": most, "largest_share": most / total if total else 0.0}


def refuse_low(weight: np.ndarray, *, allowed: bool) -> None:
    """Raise DataError if too few rounds speak for the policy: fewer than `LEAST`, or none at all if `allowed`."""
    size = effective_rounds(weight)
    if size == 0:
        raise DataError("the policy would never have done what the log shows: all weights are 0")
    if size < LEAST and not allowed:
        found = largest(weight)
        raise DataError(
            f"expected an effective sample size of at least {LEAST}, found {size:.3g} of {len(weight):,} rounds (the "
            f"largest weight, {found['largest_weight']:,.6g}, has {found['largest_share']:.1%} of all); the log cannot "
            "tell; allow_low_ess=true shows the estimates all the same"
        )


def notes(weight: np.ndarray, policy: PerAction, action: np.ndarray) -> list[str]:
    """Return what a reader has to know of weights (N,) and of actions (N,) that the log never shows."""
    said = []
    n, mean = len(weight), float(weight.mean())
    error = float(weight.std(ddof=1)) / np.sqrt(n)
    if abs(mean - 1) > max(_Z * error, _ROUNDING):
        said.append(
            f"the weights average {mean:.4g}, {abs(mean - 1) / error if error else float('inf'):.1f} standard errors "
            "from 1: the propensities are not those of this log, or it never shows some of what the policy would"
        )
    counts = np.bincount(policy.row, minlength=len(policy.values))
    shown = np.bincount(action, minlength=policy.actions) > 0
    unseen = float(counts @ policy.values[:, ~shown].sum(axis=1)) / n
    if unseen > 1e-12:
        said.append(
            f"{unseen:.2%} of what the policy would show ({int((~shown).sum())} actions) is never in the log: IPS "
            "counts it as 0, and reward models guess"
        )
    return [*said, *uneven(weight)]


def uneven(weight: np.ndarray) -> list[str]:
    """Return a note if one of the weights (N,) has so much of all that intervals are too narrow, else nothing.

    A long tail of weights that a log has not shown yet is not in its standard errors either.
    """
    share = largest(weight)["largest_share"]
    if share <= _UNEVEN or weight.max() <= _LONG * weight.mean():
        return []
    return [
        f"one round has {share:.1%} of all weight: with so long a tail, intervals tend to be too narrow, those of IPS "
        "most; more rounds, or a policy nearer to the log's, help"
    ]
