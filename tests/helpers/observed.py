"""Units that choose their treatment, with a truth that is known."""

from functools import cache

import numpy as np
from scipy.special import expit

from ncf.causal.units import Units, units


def drawn(seed: object, n: int = 1000, effect: float = 2.0, varies: float = 1.0) -> tuple[Units, np.ndarray]:
    """N units and their true scores: linear outcomes, a logistic choice, an effect that varies with the first."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.uniform(-1, 1, n), rng.random(n) < 0.4])
    e = expit(-0.4 + 1.2 * x[:, 0] - 0.5 * x[:, 1])
    d = (rng.random(n) < e) * 1.0
    y = 1 + 1.5 * x[:, 0] + x[:, 1] + (effect + varies * x[:, 0]) * d + rng.normal(size=n) * (1 + 0.5 * d)
    return units(d, y, x), e


@cache
def truth(estimand: str, effect: float = 2.0, varies: float = 1.0) -> float:
    """The mean effect that `drawn` has for an estimand, by Gauss-Legendre quadrature over the first confounder."""
    nodes, mass = np.polynomial.legendre.leggauss(60)
    total = over = 0.0
    for value, share in ((1, 0.4), (0, 0.6)):
        e = expit(-0.4 + 1.2 * nodes - 0.5 * value)
        w = {"ATE": np.ones_like(e), "ATT": e, "ATC": 1 - e, "ATO": e * (1 - e)}[estimand]
        total += share * float(mass @ (w * (effect + varies * nodes)))
        over += share * float(mass @ w)
    return total / over


def within(found: np.ndarray, value: float, level: float = 0.95) -> None:
    """Assert that rows (estimate, low, high) are unbiased and cover, within 3 Monte Carlo standard errors."""
    runs = len(found)
    error = found[:, 0].std(ddof=1) / np.sqrt(runs)
    assert abs(found[:, 0].mean() - value) <= 3 * error, (found[:, 0].mean() - value) / error
    covered = ((found[:, 1] <= value) & (value <= found[:, 2])).mean()
    assert abs(covered - level) <= 3 * np.sqrt(level * (1 - level) / runs), covered
