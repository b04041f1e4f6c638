"""The sensitivity analysis: a Bayesian hierarchical model of the relative differences of the blocks.

The difference that the refits of block b show, y_b, is that of the block's tuned arms, delta_b, and the noise of the
refits; the delta_b scatter around mu, the difference of the procedures. Blocks correlate by their overlap, as in the
registered test:

    y | mu, tau  ~  N(mu 1, (tau^2 + v) ((1 - r) I + r 1 1')),   mu ~ N(0, effect_sd^2),   tau ~ half-N(0, block_sd^2)

v is the variance of the noise of the refits, estimated over all blocks, and r = share / (1 + share). As in the
correlated t test of Benavoli et al. (JMLR 18, 2017), the posterior of mu is held against the region of +-margin.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array

_TAUS, _WIDEST = 400, 5.0  # points of tau, and the largest, in units of its prior's scale


@dataclass(frozen=True)
class Posterior:
    """The posterior of the relative difference of the procedures.

    Attributes:
        mean: its mean.
        low, high: its central interval of 95%.
        above, within, below: probability that it lies above, in and below the region.
        between: posterior mean of tau, the standard deviation between blocks.
    """

    mean: float
    low: float
    high: float
    above: float
    within: float
    below: float
    between: float


def posterior(
    differences: Array, noise: float, *, share: float, margin: float, effect_sd: float, block_sd: float
) -> Posterior:
    """Return the posterior given the relative differences (K,) and the variance `noise` of each by its refits."""
    y, blocks, overlap = np.asarray(differences, dtype=float), len(differences), share / (1 + share)
    taus = (np.arange(_TAUS) + 0.5) / _TAUS * _WIDEST * block_sd
    scale = taus**2 + noise  # (taus,)
    along, across = scale * (1 - overlap + blocks * overlap), scale * (1 - overlap)
    # Along 1 the mean of y has variance along / K; the K - 1 directions across it do not know mu.
    of_mean = along / blocks
    log_weight = (
        stats.norm.logpdf(y.mean(), 0, np.sqrt(of_mean + effect_sd**2))
        - 0.5 * ((blocks - 1) * np.log(across) + ((y - y.mean()) ** 2).sum() / across)
        + stats.norm.logpdf(taus, 0, block_sd)
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    sd = np.sqrt(1 / (1 / of_mean + 1 / effect_sd**2))
    mean = sd**2 * y.mean() / of_mean

    def cdf(x: float) -> float:
        return float(weight @ stats.norm.cdf(x, mean, sd))

    low, high = (_quantile(cdf, q, float(mean.min() - 10 * sd.max()), float(mean.max() + 10 * sd.max()))
                 for q in (0.025, 0.975))  # fmt: skip
    below, above = cdf(-margin), 1 - cdf(margin)
    return Posterior(float(weight @ mean), low, high, above, 1 - above - below, below, float(weight @ taus))


def _quantile(cdf: Callable[[float], float], q: float, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < q else (low, middle)
    return (low + high) / 2
