"""Choose thresholds and shrinkage from the data by SLOPE (Su, Srinath and Krishnamurthy 2020)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ncf.off_policy.rounds import Rounds
from ncf.stats.estimate import Estimate

_STEPS = 20  # candidates between no bias and most
_WIDTH = 2.0  # of an interval around a candidate, in its own half-widths


def slope(candidates: Sequence[Estimate]) -> int:
    """Return the index of the candidate that SLOPE chooses.

    Going from the least biased to the most, the intervals value ± 2 half-widths keep a point in common as long as the
    bias is small beside the noise. The last candidate for which they do has the least noise at no visible bias.

    Args:
        candidates: from the least biased, usually the noisiest, to the most biased.
    """
    low, high = -np.inf, np.inf
    for index, candidate in enumerate(candidates):
        half = _WIDTH * (candidate.high - candidate.low) / 2
        low, high = max(low, candidate.value - half), min(high, candidate.value + half)
        if low > high:
            return index - 1
    return len(candidates) - 1


def tuned(rounds: Rounds, function: Callable[[Rounds, float], Estimate], parameter: str) -> Estimate:
    """Return the estimate whose parameter SLOPE chooses, from least bias (infinity) to most.

    Args:
        rounds: of the log.
        function: `clipped_ips`, `switch_dr` or `dr_os`.
        parameter: "clip", "tau" or "lambda".
    """
    grid = candidates(rounds.weight, parameter)
    apart = replace(rounds, fitted=False)  # the noise that a candidate saves would be counted again as the model's
    chosen = grid[slope([function(apart, value) for value in grid])]
    found = function(rounds, chosen)
    return found.noting("chosen by SLOPE from the same data")


def candidates(weight: np.ndarray, parameter: str) -> list[float]:
    """Return values of a parameter, in falling order: quantiles of the weights (N,), or of their squares for "lambda".

    They begin with infinity, no change at all, and end with 0, the direct method, where the estimator has that limit.
    """
    scale = weight[weight > 0] ** (2 if parameter == "lambda" else 1)
    steps = np.unique(np.quantile(scale, np.linspace(0, 1, _STEPS)))[::-1] if len(scale) else np.empty(0)
    return [float("inf"), *steps.tolist(), *([] if parameter == "clip" else [0.0])]
