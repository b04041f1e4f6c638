"""The growth of a gain with the logarithm of the ratio is the slope of a least-squares line."""

import numpy as np
import pytest

from ncf.stats.checks import StatisticsError
from ncf.stats.trend import growth, slopes

RATIOS = np.array([4, 10, 50])


def test_exact_lines_give_their_slopes():
    true = np.array([0.5, -2.0, 0.0])
    gains = 1 + true[:, None] * np.log(RATIOS)
    assert slopes(gains, RATIOS).tolist() == pytest.approx(true.tolist(), abs=1e-12)
    assert growth(gains, RATIOS).tolist() == pytest.approx((true * np.log(12.5)).tolist(), abs=1e-12)


def test_the_slope_agrees_with_polyfit():
    gains = np.random.default_rng(0).normal(size=(5, 3))
    expected = [np.polyfit(np.log(RATIOS), row, 1)[0] for row in gains]
    assert slopes(gains, RATIOS).tolist() == pytest.approx(expected)
    assert slopes(gains[:, ::-1], RATIOS[::-1]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gains", "ratios"),
    [
        ([[1, 2]], [4, 4]),
        ([[1, 2]], [4]),
        ([1, 2], [4, 10]),
        ([[1, np.nan]], [4, 10]),
        ([[1, 2]], [0, 10]),
        ([[1, 2]], [1e10, 1e10 * (1 + 2.3e-16)]),
    ],
)
def test_bad_input_is_refused(gains, ratios):
    with pytest.raises(StatisticsError, match=r"trend: (gains: )?expected"):
        slopes(np.array(gains, dtype=float), np.array(ratios))
