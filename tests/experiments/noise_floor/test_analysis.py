"""The intervals of the noise floor: hand-computed, equal to what they are derived from, and covering at 30 pairs."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.noise_floor import runs
from experiments.noise_floor.analysis import correlation, floors, root_mean_square, saving
from ncf.stats import StatisticsError
from ncf.stats.checks import Array

PAIRS, STUDIES = 30, 600


def normal_pairs(rho: float, rng: np.random.Generator) -> tuple[Array, Array]:
    z = rng.normal(size=(2, PAIRS))
    return z[0], rho * z[0] + math.sqrt(1 - rho**2) * z[1]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_intervals_cover_at_the_size_of_the_study(rho: float) -> None:
    rng, held = np.random.default_rng(1), np.zeros(3)
    for _ in range(STUDIES):
        one, other = normal_pairs(rho, rng)
        found = (root_mean_square(one, 0.95), correlation(one, other, 0.95), saving(one, other, 0.95))
        held += [i.low <= truth <= i.high for i, truth in zip(found, (1.0, rho, rho), strict=True)]
    error = math.sqrt(0.95 * 0.05 / STUDIES)
    assert np.abs(held / STUDIES - 0.95).max() <= 3 * error


def test_by_hand() -> None:
    assert root_mean_square(np.array([3.0, -4.0]), 0.95).estimate == pytest.approx(math.sqrt(12.5))
    one, other = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    # variances 5/3 each, covariance 4/3
    assert correlation(one, other, 0.9).estimate == pytest.approx(0.8)
    assert saving(one, other, 0.9).estimate == pytest.approx(0.8)
    assert saving(one, 2 * other, 0.9).estimate == pytest.approx(2 * (8 / 3) / (5 / 3 + 20 / 3))


def test_the_correlation_and_its_interval_are_scipys() -> None:
    one, other = normal_pairs(0.4, np.random.default_rng(2))
    own, theirs = correlation(one, other, 0.9), stats.pearsonr(one, other)
    ends = theirs.confidence_interval(0.9)
    assert (own.estimate, own.low, own.high) == pytest.approx((theirs.statistic, ends.low, ends.high))


def test_what_pairing_saves_is_what_the_variances_say() -> None:
    one, other = normal_pairs(0.4, np.random.default_rng(3))
    unpaired = np.var(one, ddof=1) + np.var(other, ddof=1)
    assert saving(one, other, 0.95).estimate == pytest.approx(1 - np.var(one - other, ddof=1) / unpaired)
    with pytest.raises(StatisticsError, match="differences are the same"):
        saving(np.arange(9.0), np.arange(9.0) + 1, 0.95)


def made(seeds: range) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [
        {"model": "neumf", "loss": loss, "gamma": gamma, "alpha": alpha, "neg_ratio": 10, "seed": seed,
         "commit": "c", **{metric: rng.normal(0.06, 0.003) for metric in runs.METRICS}}
        for seed in seeds for loss, gamma, alpha in (("bce", None, None), ("focal", 0.0, 0.5))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_nothing_is_compared_before_every_pair_is_complete() -> None:
    seeds = runs.registration().seeds_at(10)
    results = made(range(seeds[0], seeds[-1] + 1))
    found = floors(results)
    assert [each.metric for each in found] == list(runs.METRICS)
    assert found[0].within(4) == pytest.approx(1.959964 * found[0].rms.estimate / 2)
    bce, half = (results[results["loss"] == loss]["test/hit@10"].to_numpy() for loss in ("bce", "focal"))
    assert found[1].rms.estimate == pytest.approx(np.sqrt(np.mean((half / bce - 1) ** 2)))
    with pytest.raises(StatisticsError, match="1 of 30 pairs"):
        floors(results[1:])
