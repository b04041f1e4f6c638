"""Inference that may be looked at after every observation: always-valid p-values and confidence sequences.

A confidence sequence covers the effect at all times together with its nominal probability, so an experiment may stop
whenever it pleases. The price is width: at any one time it is wider than an interval for that time alone.
"""

import numpy as np
from scipy import special

from ncf.stats.checks import Array, StatisticsError, fraction, positive, table


def msprt(effects: Array, errors: Array, tau: float) -> Array:
    """Return the always-valid p-values (..., T) of no effect at each of T looks.

    The mixture sequential probability ratio test with a normal mixture N(0, tau^2) over the effect (Robbins 1970;
    Johari, Koomen, Pekelis and Walsh 2022, equation 8): the likelihood ratio at variance V is
    sqrt(V / (V + tau^2)) exp(tau^2 effect^2 / (2 V (V + tau^2))), and p the least 1 / ratio so far, at most 1.

    Args:
        effects: (..., T), the estimate after each look.
        errors: (..., T), its standard error; infinite where there is none yet.
        tau: scale of the effects that are expected, in their own unit: it is fastest for effects of about this size.

    Raises StatisticsError for shapes that differ, errors that are not positive, or a tau that is not.
    """
    d, variance = _checked(effects, errors)
    tau2 = positive(tau, "tau") ** 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_ratio = 0.5 * (np.log(variance / (variance + tau2)) + tau2 * d * d / (variance * (variance + tau2)))
    log_ratio = np.where(np.isfinite(variance), log_ratio, 0.0)
    return np.asarray(np.exp(-np.maximum.accumulate(np.maximum(log_ratio, 0.0), axis=-1)))


def msprt_half_width(errors: Array, tau: float, *, level: float = 0.95) -> Array:
    """Return half the width (..., T) of the confidence sequence that `msprt` belongs to: effects it does not reject.

    Raises StatisticsError for errors that are not positive, or settings out of range.
    """
    _, variance = _checked(errors, errors)
    tau2, alpha = positive(tau, "tau") ** 2, 1 - fraction(level, "level")
    return np.asarray(np.sqrt(variance * (variance + tau2) / tau2 * (np.log1p(tau2 / variance) - 2 * np.log(alpha))))


def asymptotic_half_width(n: Array, spread: Array, tuned_at: float, *, level: float = 0.95) -> Array:
    """Return half the width (..., T) of the asymptotic confidence sequence of a mean.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, theorem 2.2:
    spread * sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(sqrt(n rho^2 + 1) / alpha)), with rho chosen so that it is narrowest
    at n = `tuned_at` (their equation for the optimum, with Lambert's W).

    Args:
        n: (..., T), observations so far.
        spread: (..., T), their standard deviation so far; for a difference of two arms of n each, that of the
            difference, sqrt(s0^2 + s1^2).
        tuned_at: the number of observations at which it should be narrowest.
        level: nominal coverage of all times together.

    Raises StatisticsError for values that are not positive or settings out of range.
    """
    counts, spreads = table(n, "n"), table(spread, "spread")
    if counts.min() <= 0 or spreads.min() < 0:
        raise StatisticsError("asymptotic confidence sequence: expected positive n and spreads that are not negative")
    alpha = 1 - fraction(level, "level")
    rho2 = (-special.lambertw(-(alpha**2) / np.e, k=-1).real - 1) / positive(tuned_at, "tuned_at")
    a = counts * rho2 + 1
    return np.asarray(spreads * np.sqrt(2 * a / (counts * counts * rho2) * np.log(np.sqrt(a) / alpha)))


def safe_proportions(successes: Array, sizes: Array, *, prior: float = 0.18) -> Array:
    """Return the e-process (..., T) against equal success rates of two arms; 1 / its running maximum is a p-value.

    Exact for Bernoulli outcomes that come in blocks of the same size for both arms (Turner, Ly and Grunwald 2024): each
    block is judged by what the arms have shown before it, with Beta(prior, prior) estimates a0 and a1, against their
    average: prod (a1/m)^s1 ((1-a1)/(1-m))^f1 (a0/m)^s0 ((1-a0)/(1-m))^f0.

    Args:
        successes: (..., T, 2), new successes of each arm in each block.
        sizes: (T, 2), new observations of each arm in each block.
        prior: pseudo-counts of successes and of failures; 0.18 is the authors' default, for small regret.

    Raises StatisticsError for shapes that do not fit, negative counts, or more successes than observations.
    """
    s, n = table(successes, "successes"), table(sizes, "sizes")
    if s.shape[-2:] != n.shape or n.ndim != 2 or n.shape[1] != 2:
        raise StatisticsError(f"safe test: expected (..., T, 2) successes of (T, 2), got {s.shape} and {n.shape}")
    if s.min() < 0 or (s > n).any():
        raise StatisticsError("safe test: expected counts between 0 and the number of observations")
    prior = positive(prior, "prior")
    before = np.cumsum(s, -2) - s
    rate = (before + prior) / (np.cumsum(n, -2) - n + 2 * prior)
    share = n / n.sum(-1, keepdims=True)
    mean = (rate * share).sum(-1, keepdims=True)
    gain = s * np.log(rate / mean) + (n - s) * np.log((1 - rate) / (1 - mean))
    return np.asarray(np.exp(np.cumsum(gain.sum(-1), -1)))


def _checked(effects: Array, errors: Array) -> tuple[Array, Array]:
    d, e = np.asarray(effects, np.float64), np.asarray(errors, np.float64)
    if d.shape != e.shape or not e.size or not (e > 0).all() or np.isnan(d).any():
        raise StatisticsError(f"confidence sequence: expected positive errors, one for each effect, got {e.shape}")
    return d, e * e
