"""Two proportions the Bayesian way: Beta posteriors, the probability that one is better, and what a choice may lose.

Everything is an integral over one variable, by Gauss-Legendre quadrature on the log-odds, where a Beta density is
smooth, has one peak and falls exponentially: no Monte Carlo error, and no trouble with counts of one or of millions.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import optimize, special

from ncf.stats.checks import Array, StatisticsError, fraction, number, positive

STOPPING = (
    "stopping when a posterior probability or expected loss passes a limit does not control the error rate: looked at "
    "30 times, P > 0.95 for either arm declares a winner in 46% of tests without any difference"
)
_NEGLIGIBLE = 60.0  # log-density below the peak's at which a tail is cut off: e^-60
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclass(frozen=True)
class Posterior:
    """What two arms' counts say of their rates.

    Attributes:
        mean: posterior mean of the treatment's rate.
        mean_control: of the control's.
        interval: equal-tailed credible interval of the treatment's rate.
        interval_control: of the control's.
        difference: posterior mean of treatment - control.
        interval_difference: equal-tailed credible interval of the difference.
        probability: that the treatment's rate is the better: the higher, or, once `turned`, the lower.
        loss: expected loss of choosing the treatment, E[max(control - treatment, 0)], or, once `turned`,
            E[max(treatment - control, 0)].
        loss_control: of choosing the control.
        level: of the credible intervals.
        shapes: the four parameters of the Beta posteriors, treatment first.
    """

    mean: float
    mean_control: float
    interval: tuple[float, float]
    interval_control: tuple[float, float]
    difference: float
    interval_difference: tuple[float, float]
    probability: float
    loss: float
    loss_control: float
    level: float
    shapes: tuple[float, float, float, float]

    def turned(self) -> Self:
        """Return the same posterior of a metric of which less is better."""
        return replace(self, probability=1 - self.probability, loss=self.loss_control, loss_control=self.loss)


def posterior(
    successes: float, n: float, control_successes: float, control_n: float, *, prior: tuple[float, float] = (1.0, 1.0),
    level: float = 0.95,
) -> Posterior:  # fmt: skip
    """Return the posteriors of two proportions from four counts and a Beta prior, the same for both.

    Args:
        successes: of the treatment.
        n: observations of the treatment.
        control_successes: of the control.
        control_n: observations of the control.
        prior: its two parameters, both positive; (1, 1) is uniform, (0.5, 0.5) Jeffreys'.
        level: of the credible intervals.

    Raises:
        StatisticsError: negative counts, more successes than observations, or a prior that is not positive.
    """
    prior = positive(prior[0], "prior"), positive(prior[1], "prior")
    shapes = []
    for name, x, total in (("treatment", successes, n), ("control", control_successes, control_n)):
        x, total = number(x, f"successes of the {name}", 0, 1e15), number(total, f"observations of the {name}", 0, 1e15)
        if x > total:
            raise StatisticsError(f"successes of the {name}: expected at most {total:g}, got {x:g}")
        shapes += [prior[0] + x, prior[1] + total - x]
    a1, b1, a0, b0 = shapes
    tail = (1 - fraction(level, "level")) / 2
    ends = [tuple(map(float, special.betaincinv(a, b, [tail, 1 - tail]))) for a, b in ((a1, b1), (a0, b0))]
    loss, loss_control = expected_loss(a1, b1, a0, b0), expected_loss(a0, b0, a1, b1)
    mean, base = a1 / (a1 + b1), a0 / (a0 + b0)
    return Posterior(
        mean, base, ends[0], ends[1], mean - base,  # type: ignore[arg-type]
        (difference_quantile(tail, a1, b1, a0, b0), difference_quantile(1 - tail, a1, b1, a0, b0)),
        probability_better(a1, b1, a0, b0), loss, loss_control, level, (a1, b1, a0, b0),
    )  # fmt: skip


def probability_better(a: float, b: float, a0: float, b0: float) -> float:
    """Return P(X > Y) of X ~ Beta(a, b) and Y ~ Beta(a0, b0), independent. Raises StatisticsError unless positive."""
    return min(difference_cdf(0.0, a0, b0, a, b), 1.0)


def expected_loss(a: float, b: float, a0: float, b0: float) -> float:
    """Return E[max(Y - X, 0)] of X ~ Beta(a, b) and Y ~ Beta(a0, b0): what choosing X may lose.

    It is the integral of P(X < x) P(Y > x), in which nothing cancels, so that a loss of 1e-12 has its digits too.
    Raises StatisticsError unless all four are positive.
    """
    a, b, a0, b0 = _shapes(a, b, a0, b0)
    t, w = _grid((a, b), (a0, b0))
    return float(w @ (_above(-t, b, a) * _above(t, a0, b0) * special.expit(t) * special.expit(-t)))


def difference_quantile(probability: float, a: float, b: float, a0: float, b0: float) -> float:
    """Return the value that X - Y stays below with this probability. Raises StatisticsError for values out of range."""
    probability, shapes = fraction(probability, "probability"), _shapes(a, b, a0, b0)
    a, b, a0, b0 = shapes

    def excess(value: float) -> float:
        return difference_cdf(value, a, b, a0, b0) - probability

    centre = a / (a + b) - a0 / (a0 + b0)
    spread = np.sqrt(sum(p * q / ((p + q) ** 2 * (p + q + 1)) for p, q in ((a, b), (a0, b0))))
    low, high = max(centre - 12 * spread, -1.0), min(centre + 12 * spread, 1.0)
    low, high = (low if excess(low) < 0 else -1.0), (high if excess(high) > 0 else 1.0)
    return float(optimize.brentq(excess, low, high, xtol=1e-13, rtol=1e-12))


def density(x: Array, a: float, b: float) -> Array:
    """Return the density (n,) of Beta(a, b) at x (n,), each in (0, 1)."""
    return np.asarray(np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - special.betaln(a, b)))


def difference_cdf(value: float, a: float, b: float, a0: float, b0: float) -> float:
    """Return P(X - Y <= value) of X ~ Beta(a, b) and Y ~ Beta(a0, b0), an integral over the density of X.

    Raises StatisticsError unless all four are positive and the value is in [-1, 1].
    """
    value = number(value, "value", -1, 1)
    a, b, a0, b0 = _shapes(a, b, a0, b0)
    t, w = _grid((a, b), (a0, b0), value)
    depth = a * special.log_expit(t) + b * special.log_expit(-t)
    mass = w * np.exp(depth - depth.max())
    above = _above(t, a0, b0) if value == 0 else special.betaincc(a0, b0, np.clip(special.expit(t) - value, 0.0, 1.0))
    return float(mass @ above / mass.sum())  # divided by its own sum: log B(a, b) of millions lacks the digits


def _above(t: Array, a: float, b: float) -> Array:
    """Return P(Y > expit(t)) of Y ~ Beta(a, b), with all digits at both ends of the scale."""
    return np.where(t < 0, special.betaincc(a, b, special.expit(t)), special.betainc(b, a, special.expit(-t)))


def _grid(first: tuple[float, float], second: tuple[float, float], shift: float = 0.0) -> tuple[Array, Array]:
    """Return nodes and weights on the log-odds, over the first density, or both where nothing moves the second.

    Panels resolve both densities, and are at most two wide between them.
    """
    own, other = _breaks(*first), _moved(_breaks(*second), shift)
    low, high = (own[0], own[-1]) if shift else (min(own[0], other[0]), max(own[-1], other[-1]))
    even = np.linspace(low, high, 2 + int((high - low) / 2))
    breaks = np.unique(np.concatenate([own, other[(other > low) & (other < high)], even]))
    half = np.diff(breaks) / 2
    nodes = (breaks[:-1] + half)[:, None] + half[:, None] * _NODES
    return nodes.ravel(), (half[:, None] * _WEIGHTS).ravel()


def _moved(t: Array, shift: float) -> Array:
    """Return where on the log-odds the rates at `t` lie when `shift` is added to them."""
    if shift == 0:
        return t
    x = special.expit(t) + shift
    inside = (x > 0) & (x < 1)
    return np.asarray(special.logit(x[inside]))


def _breaks(a: float, b: float) -> Array:
    """Return panels' ends on the log-odds: steps of a standard deviation at the peak, doubling in the tails."""
    centre, spread = np.log(a / b), np.sqrt(1 / a + 1 / b)
    steps = np.concatenate([np.arange(0, 8), 8 * 1.3 ** np.arange(0, 60)]) * spread

    def depth(t: Array) -> Array:
        return np.asarray(a * special.log_expit(t) + b * special.log_expit(-t))

    peak = depth(centre)
    sides = []
    for sign in (-1, 1):
        points = centre + sign * steps
        kept = int((peak - depth(points) < _NEGLIGIBLE).sum()) + 1
        sides.append(points[:kept])
    return np.unique(np.concatenate(sides))


def _shapes(*values: float) -> tuple[float, float, float, float]:
    a, b, c, d = (number(value, "shape of a Beta distribution", 1e-6, 1e15) for value in values)
    return a, b, c, d
