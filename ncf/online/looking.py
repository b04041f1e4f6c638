"""Planned looks at an experiment's primary metric: which were taken, and what the bounds say of them."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ncf.errors import DataError
from ncf.online import sequential
from ncf.online.result import Looks
from ncf.stats.checks import whole

EffectAt = Callable[[int], tuple[float, float]]
"""Days -> the effect on the data of the first so many days, and its standard error."""


def looks_taken(planned: Sequence[int], kind: str, days: int | None, given: Sequence[int] | int | None) -> list[int]:
    """Return the looks that have been taken, the one at hand last.

    Args:
        planned: days, or units, of the planned looks.
        kind: of the bounds; those of a spending function may be taken at other times than planned.
        days: days in the data; None where rows carry none.
        given: without days, the number of the look at hand; with a spending function, the days of all looks.

    Raises:
        DataError: more looks than were planned, or data that reach beyond the last or end between two of them.
    """
    last = planned[-1]
    if days is None:
        if not isinstance(given, int):
            raise DataError(
                f"look: expected the number of this look, from 1 to {len(planned)}, as the data have no time="
            )
        if not 1 <= given <= len(planned):
            raise DataError(f"look: expected at most the {len(planned)} planned looks, got look {given}")
        return list(planned[:given])
    if days > last:
        raise DataError(
            f"looks: more looks than planned: the data have {days} days, and the last look was planned after {last}; "
            f"analyse the first {last} days"
        )
    if kind.endswith("_spending"):
        return _spending_looks(planned, days, given)
    if given is not None:
        raise DataError("look: expected none, as the days in the data say which look this is")
    if days not in planned:
        raise DataError(
            f"looks: the data have {days} days, and looks were planned after {', '.join(map(str, planned))}; "
            "look then, or plan with bounds=obrien_fleming_spending, which allows other times"
        )
    return [day for day in planned if day <= days]


def _spending_looks(planned: Sequence[int], days: int, given: Sequence[int] | int | None) -> list[int]:
    own = [given] if isinstance(given, int) else list(given or [])
    taken = own or [day for day in planned if day < days]
    taken = sorted({*taken, days})
    if taken[0] < 1 or taken[-1] > days:
        raise DataError(f"look: expected days from 1 to {days}, got {', '.join(map(str, own))}")
    return taken


def judged(
    planned: Sequence[int], taken: Sequence[int], kind: str, alpha: float, effect_at: EffectAt, known: bool = True
) -> Looks:
    """Return what the looks say.

    Args:
        planned: as `looks_taken`.
        taken: the looks that were taken.
        kind: of the bounds.
        alpha: two-sided type-I error of all looks together.
        effect_at: gives effect and error at a look.
        known: whether the data tell what was seen at earlier looks; if not, they are taken not to have crossed.

    A look at which nothing has varied yet has z 0. Raises StatisticsError as `sequential.analyse`.
    """
    schedule = sorted({*taken, planned[-1]}) if kind.endswith("_spending") else list(planned)
    times = np.array(schedule) / planned[-1]
    whole(len(taken), "looks", 1, len(schedule))
    limits = np.array(_bounds(tuple(times.tolist()), alpha, kind))
    found = [effect_at(look) for look in (taken if known else taken[-1:])]
    found = [(effect, error) if error > 0 else (0.0, 1.0) for effect, error in found]  # nothing has varied yet
    effects, errors = (np.array(part) for part in zip(*found, strict=True))
    if not known:
        before = len(taken) - 1
        effects, errors = np.append(np.zeros(before), effects), np.append(np.ones(before), errors)
    outcome = sequential.analyse(effects, errors, limits, times, level=1 - alpha)
    z = [float(e / s) for e, s in zip(effects, errors, strict=True)]
    return Looks(
        tuple(schedule), tuple(None if np.isnan(bound) else float(bound) for bound in limits), tuple(taken),
        tuple(value if known or i == len(z) - 1 else None for i, value in enumerate(z)), outcome, 1 - alpha,
    )  # fmt: skip


@cache
def _bounds(times: tuple[float, ...], alpha: float, kind: str) -> tuple[float, ...]:
    """Return the bounds, which all treatments and simulated experiments of a plan share."""
    return tuple(sequential.bounds(times, alpha=alpha, kind=kind).tolist())
