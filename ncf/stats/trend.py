"""Does the gain grow with the negative ratio? A slope of gain on log ratio per seed, to be tested over seeds."""

import numpy as np

from ncf.stats.checks import Array, StatisticsError, table


def slopes(gains: Array, ratios: Array) -> Array:
    """Least-squares slope of each seed's gain on log(ratio): (seeds,), in the unit of the metric per factor e of ratio.

    One number per seed keeps the seeds independent, however the ratios correlate within a seed: the summary-measures
    analysis of serial measurements (Matthews et al. 1990, BMJ 300:230).

    Args:
        gains: (seeds, ratios), treatment - baseline of each seed at each ratio.
        ratios: (ratios,), negatives per positive, at least two different values.

    Raises:
        StatisticsError: mismatched shapes, fewer than two ratios, a ratio that is not positive, or non-finite gains.
    """
    gains, ratios = table(gains, "trend: gains"), table(ratios, "trend: ratios")
    if gains.ndim != 2 or ratios.shape != gains.shape[1:]:
        raise StatisticsError(
            f"trend: expected gains (seeds, ratios) and as many ratios, got {gains.shape}, {ratios.shape}"
        )
    if len(np.unique(ratios)) < 2 or (ratios <= 0).any():
        raise StatisticsError(f"trend: expected at least two different positive ratios, got {ratios.tolist()}")
    centred = np.log(ratios) - np.log(ratios).mean()
    if not centred @ centred:
        raise StatisticsError(f"trend: expected ratios whose logarithms differ, got {ratios.tolist()}")
    return gains @ centred / (centred @ centred)


def growth(gains: Array, ratios: Array) -> Array:
    """Growth of the fitted gain from lowest to highest ratio: `slopes` times log(highest / lowest), (seeds,).

    Raises as `slopes`.
    """
    fitted, known = slopes(gains, ratios), table(ratios, "trend: ratios")
    return fitted * np.log(known.max() / known.min())
