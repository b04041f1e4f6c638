"""Group-sequential tests: bounds for planned looks at an experiment, so that looking early keeps the error rate.

At look k a fraction t of the planned information has come in, and z is normal with mean drift * sqrt(t). The score
z * sqrt(t) is then a Brownian motion at time t, whose independent increments make every crossing probability a
sequence of one-dimensional integrals (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19). The
integrals are Gauss-Legendre sums over the region in which the test goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from ncf.stats.checks import Array, StatisticsError, fraction, number, one_of, sample, whole

Kind = Literal["obrien_fleming", "pocock", "obrien_fleming_spending", "pocock_spending"]
KINDS: tuple[Kind, ...] = ("obrien_fleming", "pocock", "obrien_fleming_spending", "pocock_spending")

_FARTHEST = 12.0  # standard errors beyond which there is no probability in a float64
_NODES, _PER_STEP = 160, 6.0  # quadrature nodes at least, and for each standard deviation of a step


@dataclass(frozen=True)
class Crossing:
    """The probabilities of stopping at each look.

    Attributes:
        upper: (K,), of crossing the upper bound at look k, and none before.
        lower: (K,), likewise of the lower.
    """

    upper: Array
    lower: Array

    @property
    def total(self) -> float:
        """The probability of crossing a bound at any look."""
        return float(self.upper.sum() + self.lower.sum())


@dataclass(frozen=True)
class Outcome:
    """A group-sequential test so far.

    Attributes:
        look: the last look that was taken, from 1.
        stopped: whether a bound was crossed, at this look or an earlier one.
        z: of the look that decides: the first to cross, or the last.
        bound: at that look.
        p: two-sided, by stagewise ordering: of crossing as early and as far. None before the test has ended.
        low: lower end of the confidence interval for the effect: at the end by stagewise ordering, before by the
            repeated interval, effect +- bound * standard error, which holds at all looks together.
        high: its upper end.
        median: the effect that is exceeded with probability one half, unlike the raw effect free of the bias of
            stopping early; None before the test has ended.
    """

    look: int
    stopped: bool
    z: float
    bound: float
    p: float | None
    low: float
    high: float
    median: float | None


def bounds(looks: int | Sequence[float] | Array, *, alpha: float = 0.05, kind: str = "obrien_fleming",
           sided: int = 2) -> Array:  # fmt: skip
    """Return the bounds (K,) of |z| (of z if `sided` is 1) at which to stop; NaN where a look can never stop.

    `obrien_fleming` has bounds c / sqrt(t), hard to cross early (O'Brien and Fleming 1979), and `pocock` the constant c
    (Pocock 1977), where c gives the planned looks together a type-I error of alpha. The `_spending` kinds need no plan
    of when to look: each look spends what the function of Lan and DeMets (1983) allows at its t.

    Args:
        looks: the number of equally spaced looks, or fractions of the planned information, increasing to at most 1.
        alpha: type-I error of all looks together.
        kind: one of `KINDS`.
        sided: 2, or 1 for an upper bound alone.

    Raises:
        StatisticsError: more than 500 looks, fractions that do not increase within (0, 1], or a setting out of range.
    """
    t, alpha = fractions(looks), fraction(alpha, "alpha")
    one_of(kind, "kind", list(KINDS)), whole(sided, "sided", 1, 2)
    if kind.endswith("_spending"):
        return _spending_bounds(t, alpha, kind, sided)
    shape = np.sqrt(t[-1] / t) if kind == "obrien_fleming" else np.ones(len(t))
    single = float(stats.norm.isf(alpha / sided))

    def excess(c: float) -> float:
        return crossing(c * shape, t, sided=sided).total - alpha

    c = optimize.brentq(excess, single * (1 - 1e-9), single + 4, xtol=1e-11)
    return np.asarray(c * shape)


def spending(t: Array, alpha: float, kind: str) -> Array:
    """Return the one-sided type-I error (K,) that may have been spent by the fractions t (K,), for a total of alpha.

    `obrien_fleming_spending`: 2 - 2 Phi(z / sqrt(t)) with z the quantile of 1 - alpha / 2; `pocock_spending`:
    alpha log(1 + (e - 1) t) (Lan and DeMets 1983). Raises StatisticsError for another kind.
    """
    one_of(kind, "kind", [name for name in KINDS if name.endswith("_spending")])
    if kind == "pocock_spending":
        return np.asarray(alpha * np.log1p((np.e - 1) * t))
    return np.asarray(2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(t)))


def crossing(limits: Array, looks: int | Sequence[float] | Array, *, drift: float = 0.0, sided: int = 2) -> Crossing:
    """Return the probabilities of crossing `limits` (K,) at each of K looks.

    Args:
        limits: bounds of |z|, or of z if `sided` is 1; NaN or infinite at a look that cannot stop.
        looks: as in `bounds`.
        drift: expected z at full information; 0 under no effect.
        sided: 2, or 1 for an upper bound alone.

    Raises StatisticsError for lengths that differ, or as `bounds`.
    """
    t, drift = fractions(looks), number(drift, "drift", -100, 100)
    limits = _limits(limits, len(t))
    region = _Region(drift)
    upper, lower = np.zeros(len(t)), np.zeros(len(t))
    for k, (limit, at) in enumerate(zip(limits, t, strict=True)):
        low = -limit if whole(sided, "sided", 1, 2) == 2 else -np.inf
        upper[k], lower[k] = region.leave(at, low, limit)
    return Crossing(upper, lower)


def drift_for(limits: Array, looks: int | Sequence[float] | Array, power: float, *, sided: int = 2) -> float:
    """Return the drift at which the upper bound is crossed with probability `power`, an expected z at full information.

    Squared, and divided by that of a test without looks, it is the factor by which looking makes an experiment larger.
    Raises StatisticsError for a power that is not between 0 and 1, or as `crossing`.
    """
    power = fraction(power, "power")

    def missing(drift: float) -> float:
        return float(crossing(limits, looks, drift=drift, sided=sided).upper.sum()) - power

    if missing(-50.0) >= 0 or missing(50.0) <= 0:
        raise StatisticsError(f"power: cannot be reached with these bounds, got {power:g}")
    return float(optimize.brentq(missing, -50.0, 50.0, xtol=1e-9))


def analyse(
    effects: Array, errors: Array, limits: Array, looks: int | Sequence[float] | Array, *, level: float = 0.95
) -> Outcome:
    """Return what a two-sided test says after the looks that were taken.

    Args:
        effects: (k,), the estimate at each look that was taken, k <= K.
        errors: (k,), its standard error.
        limits: (K,), bounds of |z| at the planned looks.
        looks: as in `bounds`, K of them.
        level: nominal coverage of the interval.

    Raises:
        StatisticsError: more looks than were planned, errors that are not positive, or as `crossing`.
    """
    t = fractions(looks)
    limits, effects, errors = _limits(limits, len(t)), sample(effects, 1, "effects"), sample(errors, 1, "errors")
    if len(effects) > len(t) or len(effects) != len(errors):
        raise StatisticsError(f"looks: expected at most the {len(t)} planned, got {len(effects)} effects")
    if errors.min() <= 0:
        raise StatisticsError(f"errors: expected positive standard errors, got {errors.min():g}")
    z = effects / errors
    crossed = np.flatnonzero(np.abs(z) >= limits[: len(z)])
    last = int(crossed[0]) if len(crossed) else len(z) - 1
    ended = bool(len(crossed)) or len(z) == len(t)
    if not ended:
        half = limits[last] * errors[last]
        return Outcome(last + 1, False, float(z[last]), float(limits[last]), None,
                       float(effects[last] - half), float(effects[last] + half), None)  # fmt: skip
    p, ends = _stagewise(abs(z[last]), limits[: last + 1], t[: last + 1], level)  # bounds are the same on both sides
    low, median, high = (float(end * errors[last]) for end in ends)
    if z[last] < 0:
        low, median, high = -high, -median, -low
    return Outcome(last + 1, bool(len(crossed)), float(z[last]), float(limits[last]), p, low, high, median)


def fractions(looks: int | Sequence[float] | Array) -> Array:
    """Return fractions of the planned information (K,), equally spaced for a number of looks.

    Raises StatisticsError for more than 500 looks, or fractions that do not increase within (0, 1].
    """
    if np.ndim(looks) == 0:
        count = whole(looks, "looks", 1, 500)
        return np.arange(1, count + 1) / count
    t = sample(looks, 1, "looks")
    if len(t) > 500 or t[0] <= 0 or t[-1] > 1 or (np.diff(t) <= 0).any():
        raise StatisticsError("looks: expected at most 500 fractions that increase within (0, 1]")
    return t


@cache
def _gauss_legendre(nodes: int) -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(nodes)


class _Region:
    """The density of the score over the region in which the test goes on, look after look."""

    def __init__(self, drift: float) -> None:
        self._drift, self._time = drift, 0.0
        self._nodes, self._mass = np.zeros(1), np.ones(1)  # the score starts at 0

    def leave(self, time: float, low: float, high: float) -> tuple[float, float]:
        """Go on to `time`; return the probabilities of z above `high` and below `low`, and keep the rest."""
        step = time - self._time
        mean = self._nodes + self._drift * step
        root, spread = np.sqrt(time), np.sqrt(step)
        above = float(self._mass @ stats.norm.sf((high * root - mean) / spread))
        below = float(self._mass @ stats.norm.cdf((low * root - mean) / spread))
        self._keep(mean, spread, self._ends(time, low * root, high * root))
        self._time = time
        return above, below

    def _ends(self, time: float, low: float, high: float) -> tuple[float, float]:
        reach, centre = _FARTHEST * np.sqrt(time), self._drift * time
        return max(low, centre - reach), min(high, centre + reach)

    def _keep(self, mean: Array, spread: float, ends: tuple[float, float]) -> None:
        low, high = ends
        if low >= high:  # nothing that matters is left
            self._nodes, self._mass = np.zeros(1), np.zeros(1)
            return
        count = int(max(_NODES, _PER_STEP * (high - low) / spread))
        x, w = _gauss_legendre(min(count, 2000))
        nodes, weights = (high + low) / 2 + (high - low) / 2 * x, (high - low) / 2 * w
        away = (nodes[:, None] - mean) / spread
        density = np.exp(-0.5 * away * away) @ self._mass / (spread * np.sqrt(2 * np.pi))
        self._nodes, self._mass = nodes, weights * density


def _spending_bounds(t: Array, alpha: float, kind: str, sided: int) -> Array:
    """Return bounds at which each look spends, on each side, what it may."""
    allowed = np.diff(spending(t, alpha / sided, kind), prepend=0.0)
    found = np.full(len(t), np.nan)
    region = _Region(0.0)
    for k, (at, share) in enumerate(zip(t, allowed, strict=True)):
        found[k] = _spending_bound(region, at, share, sided)
        limit = np.inf if np.isnan(found[k]) else found[k]
        region.leave(at, -limit if sided == 2 else -np.inf, limit)
    return found


def _spending_bound(region: _Region, time: float, share: float, sided: int) -> float:
    def excess(limit: float) -> float:
        step = time - region._time
        return float(region._mass @ stats.norm.sf((limit * np.sqrt(time) - region._nodes) / np.sqrt(step))) - share

    return float("nan") if excess(_FARTHEST) >= 0 else float(optimize.brentq(excess, -_FARTHEST, _FARTHEST, xtol=1e-12))


def _limits(limits: Array, looks: int) -> Array:
    found = np.asarray(limits, np.float64)
    if found.shape != (looks,) or (found <= 0).any():
        raise StatisticsError(f"bounds: expected {looks} positive ones, one a look, got {np.shape(limits)}")
    return np.where(np.isnan(found), np.inf, found)


def _stagewise(z: float, limits: Array, t: Array, level: float) -> tuple[float, tuple[float, float, float]]:
    """Return the two-sided p of ending with `z` at the last of these looks, and low, median and high expected z there.

    Earlier crossings count as more extreme, on their own side (Tsiatis, Rosner and Mehta 1984).
    """
    tail = (1 - fraction(level, "level")) / 2

    def above(drift: float) -> float:
        """Probability of an outcome at least as high as this one."""
        region, total = _Region(drift), 0.0
        for limit, at in zip(limits[:-1], t[:-1], strict=True):
            total += region.leave(at, -limit, limit)[0]
        return total + region.leave(t[-1], z, z)[0]

    one = above(0.0)
    p = 2 * min(one, 1 - one)

    def expected(probability: float) -> float:
        """The expected z at this look under which an outcome this high has this probability."""
        root = np.sqrt(t[-1])
        missing = cache(lambda mean: above(mean / root) - probability)
        low, high, reach = z - 10.0, z + 10.0, 10.0
        while missing(low) > 0 and reach < 1e6:  # a path that jumps: earlier looks say little of an effect like that
            low, reach = low - reach, 2 * reach
        return float(optimize.brentq(missing, low, high, xtol=1e-9))

    return min(p, 1.0), (expected(tail), expected(0.5), expected(1 - tail))
