"""Choose thresholds and shrinkage from the data, by the least estimated mean squared error (Su et al. 2020)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ncf.off_policy.rounds import Rounds
from ncf.stats.estimate import Estimate

_STEPS = 20  # candidates between no bias and most


def tuned(rounds: Rounds, function: Callable[[Rounds, float], Estimate], parameter: str) -> Estimate:
    """Return the estimate with the least variance plus squared distance from the estimate that is not biased.

    The distance holds that estimate's noise as well as the bias, so the choice leans towards changing little: it must
    not buy a small error bar with a bias that nobody sees.

    Args:
        rounds: of the log.
        function: `clipped_ips`, `switch_dr` or `dr_os`.
        parameter: "clip", "tau" or "lambda".
    """
    apart = replace(rounds, fitted=False)  # the variance of a candidate itself, not of its reward model
    grid = candidates(rounds.weight, parameter)
    found = [function(apart, value) for value in grid]
    errors = [one.standard_error**2 + (one.value - found[0].value) ** 2 for one in found]
    return function(rounds, grid[int(np.argmin(errors))]).noting(f"{parameter} chosen from the same data")


def candidates(weight: np.ndarray, parameter: str) -> list[float]:
    """Return values of a parameter, in falling order: quantiles of the weights (N,), or of their squares for "lambda".

    They begin with infinity, no change at all, and end with 0, the direct method, where the estimator has that limit.
    """
    scale = weight[weight > 0] ** (2 if parameter == "lambda" else 1)
    steps = np.unique(np.quantile(scale, np.linspace(0, 1, _STEPS)))[::-1] if len(scale) else np.empty(0)
    return [float("inf"), *steps.tolist(), *([] if parameter == "clip" else [0.0])]
