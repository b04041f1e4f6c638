"""Two proportions: the score test and the interval that inverts it, and the other intervals in use beside them."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, stats

from ncf.online.arms import ATE, arm_mean, log_ratio
from ncf.online.means import Effect
from ncf.stats.checks import Array, StatisticsError, fraction, number, one_of, whole
from ncf.stats.estimate import Estimate

Interval = Literal["score", "newcombe", "agresti_caffo", "wald"]
INTERVALS: tuple[Interval, ...] = ("score", "newcombe", "agresti_caffo", "wald")
_MOST_EXACT = 20_000  # observations up to which Fisher's exact p is given
_STEPS = 100  # of Newton, or halvings, at most
_EDGE = 1e-12  # of the differences -1 and 1, where the score is not defined


@dataclass(frozen=True, eq=False)
class ScoreEstimate(Estimate):
    """A difference of two proportions whose tests and intervals are those of the score, not of its standard error.

    Attributes:
        counts: successes and observations of the treatment, then of the control.
    """

    counts: tuple[int, int, int, int] = (0, 0, 0, 0)

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided p of the score test that the difference is `null`."""
        return float(2 * stats.norm.sf(abs(score(*self.counts, number(null, "null")))))

    def p_equivalent(self, region: tuple[float, float]) -> float:
        """Return the larger p of the two one-sided score tests that the difference lies in `region`.

        Raises StatisticsError unless the region is two finite numbers, the lower first.
        """
        low, high = (number(end, "region") for end in region)
        if not low < high:
            raise StatisticsError(f"region: expected the lower end first, got {low:g} and {high:g}")
        return float(max(stats.norm.sf(score(*self.counts, low)), stats.norm.cdf(score(*self.counts, high))))

    def ends(self, level: float) -> tuple[float, float]:
        """Return the score interval of a nominal coverage."""
        return score_interval(*self.counts, level=level)


def two_proportions(
    successes: int, n: int, control_successes: int, control_n: int, *, level: float = 0.95,
    interval: Interval = "score",
) -> Effect:  # fmt: skip
    """Return the difference of two proportions, treatment - control, from four counts.

    The test is the score test with Miettinen and Nurminen's factor N / (N - 1), and the score interval holds exactly
    the differences that it does not reject. The standard error is the unpooled one.

    Args:
        successes: of the treatment.
        n: observations of the treatment.
        control_successes: of the control.
        control_n: observations of the control.
        level: nominal coverage of the interval.
        interval: whose ends are shown: "score" (Miettinen and Nurminen 1985); for comparison "newcombe" (1998, method
            10), "agresti_caffo" (2000), "wald", which covers too little at small counts.

    Returns:
        The effect; details: `z_pooled`, `p_pooled`, `z_unpooled`, `p_unpooled`, `p_yates` (chi-squared with the
        continuity correction) and, up to 20,000 observations, `p_fisher`.

    Raises:
        StatisticsError: negative or fractional counts, more successes than observations, or an empty arm.
    """
    counts = _counts(successes, n, control_successes, control_n)
    one_of(interval, "interval", INTERVALS)
    x, n, y, m = counts
    rate, base = x / n, y / m
    error = float(np.sqrt(rate * (1 - rate) / n + base * (1 - base) / m))
    ends = {"score": score_interval, "newcombe": newcombe, "agresti_caffo": agresti_caffo, "wald": wald}[interval]
    low, high = ends(*counts, level=level)
    found: Estimate = ScoreEstimate(
        rate - base, error, low, high, level, ATE, f"two proportions, {interval}", n + m, float(n + m),
        details=_tests(*counts), counts=counts,
    )  # fmt: skip
    return Effect(rate, base, found, None)


def proportions(values: Array, treated: Array, *, level: float = 0.95) -> Effect:
    """Return `two_proportions` of units (N,) that are 0 or 1, with their influence and the relative effect.

    Raises StatisticsError for other values, lengths that differ, or an empty arm.
    """
    values, treated = np.asarray(values, np.float64), np.asarray(treated, bool)
    if values.shape != treated.shape or not np.isin(values, (0, 1)).all():
        raise StatisticsError(f"proportions: expected 0 or 1 for each of {len(treated)} units")
    own, other = values[treated], values[~treated]
    found = two_proportions(int(own.sum()), len(own), int(other.sum()), len(other), level=level)
    if min(len(own), len(other)) < 2:
        return found
    arms = [arm_mean(arm.mean(), arm - arm.mean(), large_sample=True) for arm in (own, other)]
    total = len(values)
    influence = np.where(treated, (values - found.treatment) * (total / len(own)),
                         -(values - found.control) * (total / len(other)))  # fmt: skip
    log = (
        log_ratio(arms[0], arms[1], treated, method="two proportions", level=level)
        if own.any() and other.any()
        else None
    )
    return Effect(found.treatment, found.control, replace(found.absolute, influence=influence), log)


def score(successes: int, n: int, control_successes: int, control_n: int, null: float = 0.0) -> float:
    """Return the score statistic of the difference `null`: normal under it, and positive where the data exceed it.

    The proportions under `null` are those of greatest likelihood, in closed form (Farrington and Manning 1990); the
    variance has the factor N / (N - 1) of Miettinen and Nurminen (1985).
    """
    x, n, y, m = _counts(successes, n, control_successes, control_n)
    null = number(null, "null", -1, 1)
    if x / n + y / m > 1:  # failures are the rarer: 1 - rate would lack their digits
        return -score(n - x, n, m - y, m, -null)
    above = x / n - y / m - null
    if above == 0:
        return 0.0
    base = _restricted(x, n, y, m, null)
    rate = min(max(base + null, 0.0), 1.0)
    variance = (rate * (1 - rate) / n + base * (1 - base) / m) * (n + m) / (n + m - 1)
    return float(above / np.sqrt(variance)) if variance > 0 else float(np.copysign(np.inf, above))


def score_interval(
    successes: int, n: int, control_successes: int, control_n: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Return the differences that the score test does not reject (Miettinen and Nurminen 1985)."""
    counts = _counts(successes, n, control_successes, control_n)
    z = float(stats.norm.isf((1 - fraction(level, "level")) / 2))
    centre = counts[0] / counts[1] - counts[2] / counts[3]

    def end(far: float, wanted: float) -> float:
        if (score(*counts, far) - wanted) * (0 - wanted) > 0 or abs(far - centre) < _EDGE:
            return float(np.sign(far))  # not rejected up to the end of the scale
        return float(optimize.brentq(lambda null: score(*counts, null) - wanted, far, centre, xtol=1e-20, rtol=1e-14))

    return end(-1 + _EDGE, z), end(1 - _EDGE, -z)


def wilson(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of one proportion (1927). Raises StatisticsError for impossible counts."""
    x, n = whole(successes, "successes", 0, 10**15), whole(n, "observations", 1, 10**15)
    if x > n:
        raise StatisticsError(f"successes: expected at most {n:,}, got {x:,}")
    z = float(stats.norm.isf((1 - fraction(level, "level")) / 2))
    rate = x / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def newcombe(
    successes: int, n: int, control_successes: int, control_n: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Return Newcombe's hybrid of two Wilson intervals (1998, method 10)."""
    x, n, y, m = _counts(successes, n, control_successes, control_n)
    (low, high), (low0, high0) = wilson(x, n, level=level), wilson(y, m, level=level)
    rate, base = x / n, y / m
    below, above = np.hypot(rate - low, high0 - base), np.hypot(high - rate, base - low0)
    return float(rate - base - below), float(rate - base + above)


def agresti_caffo(
    successes: int, n: int, control_successes: int, control_n: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Return the Wald interval with one success and one failure added to each arm (Agresti and Caffo 2000)."""
    x, n, y, m = _counts(successes, n, control_successes, control_n)
    return wald(x + 1, n + 2, y + 1, m + 2, level=level)


def wald(successes: int, n: int, control_successes: int, control_n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return difference +- z standard errors, which covers too little at small counts."""
    x, n, y, m = _counts(successes, n, control_successes, control_n)
    rate, base = x / n, y / m
    half = stats.norm.isf((1 - fraction(level, "level")) / 2) * np.sqrt(rate * (1 - rate) / n + base * (1 - base) / m)
    return float(rate - base - half), float(rate - base + half)


def _tests(x: int, n: int, y: int, m: int) -> dict[str, float]:
    pooled = (x + y) / (n + m)
    away = x / n - y / m
    errors = {
        "pooled": np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)),
        "unpooled": np.sqrt(x / n * (1 - x / n) / n + y / m * (1 - y / m) / m),
    }
    found: dict[str, float] = {}
    for name, error in errors.items():
        z = float(away / error) if error > 0 else float(np.sign(away)) * np.inf if away else 0.0
        if np.isfinite(z):
            found |= {f"z_{name}": z, f"p_{name}": float(2 * stats.norm.sf(abs(z)))}
    if 0 < pooled < 1:
        reduced = max(abs(away) * n * m / (n + m) - 0.5, 0.0)  # by half a success: Yates 1934
        variance = pooled * (1 - pooled) * n * m / (n + m)
        found["p_yates"] = float(stats.chi2.sf(reduced**2 / variance, 1))
    if n + m <= _MOST_EXACT:
        found["p_fisher"] = float(stats.fisher_exact([[x, n - x], [y, m - y]]).pvalue)
    return found


def _restricted(x: int, n: int, y: int, m: int, null: float) -> float:
    """Return the control's proportion of greatest likelihood where the treatment's is `null` higher.

    It is the root of a cubic that lies in the range allowed; trigonometrically, as Farrington and Manning (1990) give.
    """
    theta, rate, base = n / m, x / n, y / m
    low, high = max(0.0, -null), min(1.0, 1 - null)
    # in terms of the treatment's proportion p1 with p2 = p1 - null
    a = 1 + 1 / theta
    b = -(1 + 1 / theta + rate + base / theta + null * (1 / theta + 2))
    c = null**2 + null * (2 * rate + 1 / theta + 1) + rate + base / theta
    d = -rate * null * (1 + null)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.copysign(np.sqrt(max(b**2 / (3 * a) ** 2 - c / (3 * a), 0.0)), v)
    w = (np.pi + np.arccos(np.clip(v / u**3, -1, 1))) / 3 if u else 0.0
    closed = float(np.clip(2 * u * np.cos(w) - b / (3 * a) - null, low, high))
    return _polished((x, n - x, y, m - y), null, low, high, closed)


def _polished(counts: tuple[int, int, int, int], null: float, low: float, high: float, start: float) -> float:
    """Return the root of the likelihood's slope by Newton's steps within a bracket, from the closed form.

    The cubic cancels: with rates of 1e-8 its root has few digits left.
    """
    if low >= high or _slopes(counts, null, low)[0] <= 0:
        return low
    if _slopes(counts, null, high)[0] >= 0:
        return high
    base = start if low < start < high else (low + high) / 2
    for _ in range(_STEPS):
        first, second = _slopes(counts, null, base)
        low, high = (base, high) if first > 0 else (low, base)
        moved = base - first / second
        moved = moved if low < moved < high else (low + high) / 2
        if abs(moved - base) <= 1e-15 * base:
            return moved
        base = moved
    return base


def _slopes(counts: tuple[int, int, int, int], null: float, base: float) -> tuple[float, float]:
    """Return the first and second derivative of the log-likelihood; infinite where an outcome that occurred cannot."""
    chances = (base + null, 1 - base - null, base, 1 - base)
    first = second = 0.0
    for count, chance, sign in zip(counts, chances, (1, -1, 1, -1), strict=True):
        if count:
            part = count / chance if chance > 0 else float("inf")
            first, second = first + sign * part, second - part * part / count
    return first, second


def _counts(x: object, n: object, y: object, m: object) -> tuple[int, int, int, int]:
    most = 10**15
    counts = (
        whole(x, "successes", 0, most), whole(n, "observations", 1, most),
        whole(y, "successes of the control", 0, most), whole(m, "observations of the control", 1, most),
    )  # fmt: skip
    if counts[0] > counts[1] or counts[2] > counts[3]:
        raise StatisticsError(
            f"successes: expected at most the observations, got {counts[0]:,} of {counts[1]:,} and {counts[2]:,} of "
            f"{counts[3]:,}"
        )
    return counts
