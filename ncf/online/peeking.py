"""What looking every day does to an experiment: type-I error, power and days to decision of each stopping rule.

A rule sees the successes of two arms after each day, (R, T) of R simulated experiments, and says at which of the days
it would stop, (R, T). Everything is simulated at once: counts are binomial, and all rules judge the same experiments.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from ncf.online import always_valid, sequential
from ncf.stats.checks import Array, StatisticsError, fraction, positive, whole

Rule = Callable[["Looks"], Array]
"""Says of each look of each experiment whether it would stop there: (R, T) bool."""


@dataclass(frozen=True)
class Looks:
    """R experiments after each of T looks.

    Attributes:
        a: (R, T), successes of the first arm so far.
        b: (R, T), successes of the second.
        n: (T,), observations of each arm so far.
    """

    a: Array
    b: Array
    n: Array

    @property
    def difference(self) -> Array:
        """The difference of rates, b - a, (R, T)."""
        return (self.b - self.a) / self.n

    @property
    def pooled_error(self) -> Array:
        """Its standard error with one rate for both arms (R, T); infinite where that is 0 or 1."""
        rate = (self.a + self.b) / (2 * self.n)
        return _infinite_for_zero(np.sqrt(2 * rate * (1 - rate) / self.n))

    @property
    def error(self) -> Array:
        """Its standard error with a rate for each arm (R, T); infinite where both are 0 or 1."""
        rate_a, rate_b = self.a / self.n, self.b / self.n
        return _infinite_for_zero(np.sqrt((rate_a * (1 - rate_a) + rate_b * (1 - rate_b)) / self.n))


def simulate(
    rates: tuple[float, float], *, experiments: int, looks: int, per_look: int, rng: np.random.Generator
) -> Looks:
    """Return R = `experiments` simulated experiments with T = `looks`, `per_look` observations an arm between looks.

    Raises StatisticsError for rates outside (0, 1), or counts below 1.
    """
    shape = whole(experiments, "experiments", 1), whole(looks, "looks", 1, 10_000)
    each = whole(per_look, "per_look", 1)
    a, b = (np.cumsum(rng.binomial(each, fraction(rate, "rate"), shape), axis=1) for rate in rates)
    return Looks(a, b, each * np.arange(1, looks + 1))


def judged(looks: Looks, rules: dict[str, Rule]) -> pd.DataFrame:
    """Return a row for each rule: share of experiments stopped, its Monte Carlo error, and mean days to the decision.

    An experiment that is never stopped takes all T days.
    """
    rows = []
    for name, rule in rules.items():
        stops = rule(looks)
        stopped = np.asarray(stops.any(1))
        days = np.where(stopped, stops.argmax(1) + 1, stops.shape[1])
        share = float(stopped.mean())
        error = np.sqrt(share * (1 - share) / len(stopped))
        rows.append({"rule": name, "stopped": share, "monte_carlo_error": error, "days": days.mean()})
    return pd.DataFrame(rows)


def standard_rules(looks: int, *, alpha: float = 0.05) -> dict[str, Rule]:
    """Return the rules that people use, right and wrong ones, for this number of planned looks."""
    planned = {"Pocock": "pocock", "O'Brien-Fleming": "obrien_fleming"}
    return {
        "once, at the end": at_the_end(alpha),
        "z-test every day": every_day(alpha),
        "z-test with Yates's correction every day": every_day(alpha, yates=True),
        "Bonferroni over the days": every_day(alpha / looks),
        **{name: within(sequential.bounds(looks, alpha=alpha, kind=kind)) for name, kind in planned.items()},
        "mSPRT, tau 0.03": mixture(0.03, alpha),
        "confidence sequence, tuned at the end": confidence_sequence(None, alpha),
        "safe test of 2x2 tables": safe(alpha),
        "posterior above 0.95": posterior(0.95),
        "expected loss below 0.001": expected_loss(0.001),
    }


def at_the_end(alpha: float = 0.05, *, yates: bool = False) -> Rule:
    """Test once, at the last look."""

    def rule(looks: Looks) -> Array:
        stops = every_day(alpha, yates=yates)(looks)
        stops[:, :-1] = False
        return stops

    return rule


def every_day(alpha: float = 0.05, *, yates: bool = False) -> Rule:
    """Test at every look as if it were the only one, by the pooled z-test, with or without Yates's correction."""
    limit = stats.norm.isf(fraction(alpha, "alpha") / 2)

    def rule(looks: Looks) -> Array:
        away = np.abs(looks.difference)
        if yates:
            away = np.maximum(away - 1 / looks.n, 0)
        return np.asarray(away > limit * looks.pooled_error)

    return rule


def within(bounds: Array) -> Rule:
    """Stop where the pooled z leaves group-sequential bounds (T,)."""

    def rule(looks: Looks) -> Array:
        return np.asarray(np.abs(looks.difference) >= bounds * looks.pooled_error)

    return rule


def mixture(tau: float, alpha: float = 0.05) -> Rule:
    """Stop where the always-valid p of `always_valid.msprt` is at most alpha."""
    level = fraction(alpha, "alpha")
    return lambda looks: always_valid.msprt(looks.difference, looks.error, tau) <= level


def confidence_sequence(tuned_at: float | None, alpha: float = 0.05) -> Rule:
    """Stop where the asymptotic confidence sequence, narrowest at `tuned_at` observations, excludes 0.

    An observation, of either arm, counts with twice its value or minus twice, so that the mean is the difference of the
    arms. None: narrowest at the last look.
    """

    def rule(looks: Looks) -> Array:
        """Return where the sequence around the difference excludes 0, (R, T)."""
        total = 2 * looks.n
        known = np.isfinite(looks.error)
        spread = np.where(known, looks.error, 1.0) * np.sqrt(total)
        half = always_valid.asymptotic_half_width(
            np.broadcast_to(total, spread.shape), spread, tuned_at or float(total[-1]), level=1 - alpha
        )
        return np.asarray((np.abs(looks.difference) > half) & known)

    return rule


def safe(alpha: float = 0.05) -> Rule:
    """Stop where the e-process of `always_valid.safe_proportions` reaches 1 / alpha."""
    most = 1 / fraction(alpha, "alpha")

    def rule(looks: Looks) -> Array:
        new = np.stack([np.diff(arm, axis=1, prepend=0) for arm in (looks.a, looks.b)], -1)
        sizes = np.diff(looks.n, prepend=0)
        return always_valid.safe_proportions(new, np.stack([sizes, sizes], -1)) >= most

    return rule


def posterior(limit: float, *, exact: bool = True) -> Rule:
    """Stop where, with uniform priors, one arm is the better with a posterior probability above `limit`.

    Not `exact`: with normal approximations to both posteriors, which stop a little later while counts are small.
    """
    fraction(limit, "limit")

    def rule(looks: Looks) -> Array:
        wins = _each_look(looks, probability_b_better if exact else _normal_probability)
        return np.maximum(wins, 1 - wins) > limit

    return rule


def expected_loss(limit: float) -> Rule:
    """Stop where choosing the arm with the higher mean would lose less than `limit` in expectation."""
    positive(limit, "limit")

    def rule(looks: Looks) -> Array:
        return _each_look(looks, least_expected_loss) < limit

    return rule


def probability_b_better(a: Array, b: Array, n: int, m: int) -> Array:
    """Return P(rate of b > rate of a) with uniform priors, for success counts a (R,) of n and b (R,) of m: (R,).

    Exactly: the rates are the (a + 1)-th smallest of n + 1 uniform numbers and the (b + 1)-th of m + 1 others. The
    first is the smaller if, of the a + b + 1 smallest of all, at least a + 1 are its own: a hypergeometric tail.

    Raises StatisticsError for counts outside [0, size].
    """
    a, b = np.asarray(a), np.asarray(b)
    if min(a.min(), b.min()) < 0 or a.max() > n or b.max() > m:
        raise StatisticsError("probability: expected counts of successes between 0 and the size of their arm")
    total = a + b
    least = int(total.min())
    draws = np.arange(least, total.max() + 1)[:, None] + 1
    own = np.arange(n + 2)
    tails = np.cumsum(_hypergeometric(own, n + 1, m + 1, draws)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(tails[total - least, a + 1])


def least_expected_loss(a: Array, b: Array, n: int, m: int) -> Array:
    """Return the expected loss (R,) of choosing the arm with the higher posterior mean, with uniform priors.

    The loss of choosing b is E[(rate a - rate b)+] = mean a P(b < a') - mean b P(b' < a), where a' has one success more
    (Stucchio 2015, section 3). Raises StatisticsError as `probability_b_better`.
    """
    mean_a, mean_b = (a + 1) / (n + 2), (b + 1) / (m + 2)
    lost_by_b = mean_a * (1 - probability_b_better(a + 1, b, n + 1, m)) - mean_b * (
        1 - probability_b_better(a, b + 1, n, m + 1)
    )
    lost_by_a = lost_by_b + mean_b - mean_a
    return np.maximum(np.where(mean_b > mean_a, lost_by_b, lost_by_a), 0.0)


def _normal_probability(a: Array, b: Array, n: int, m: int) -> Array:
    mean_a, mean_b = (a + 1) / (n + 2), (b + 1) / (m + 2)
    variance = mean_a * (1 - mean_a) / (n + 3) + mean_b * (1 - mean_b) / (m + 3)
    return np.asarray(stats.norm.cdf((mean_b - mean_a) / np.sqrt(variance)))


def _hypergeometric(own: Array, size: int, others: int, draws: Array) -> Array:
    """Return P(`own` of `draws` drawn from size + others are of the first kind), broadcast."""
    left = draws - own
    possible = (own <= size) & (left >= 0) & (left <= others)
    left = np.clip(left, 0, others)
    logs = _log_choose(size, np.minimum(own, size)) + _log_choose(others, left) - _log_choose(size + others, draws)
    return np.where(possible, np.exp(logs), 0.0)


def _log_choose(n: int, k: Array) -> Array:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))


def _each_look(looks: Looks, judge: Callable[[Array, Array, int, int], Array]) -> Array:
    """Return what `judge` says of each look, (R, T)."""
    return np.stack([judge(a, b, int(n), int(n)) for a, b, n in zip(looks.a.T, looks.b.T, looks.n, strict=True)], 1)


def _infinite_for_zero(errors: Array) -> Array:
    return np.where(errors > 0, errors, np.inf)
