"""Balance: LaLonde's standardised mean differences, hand-computed ratios, what has no variance."""

import numpy as np
import pytest
from lalonde import SIMPLE, lalonde, reference

from ncf.causal.balance import balance, unbalanced
from ncf.causal.units import Units, read_units, units
from ncf.stats.checks import StatisticsError


@pytest.mark.parametrize("scale", ["pooled", "treated"])
def test_lalonde_before_adjustment(scale: str) -> None:
    everyone = read_units(lalonde(), "treat", "re78", SIMPLE)
    found = balance(everyone, np.ones(len(everyone)), scale).set_index("confounder")
    for name, expected in reference("lalonde")["smd_before"].items():
        assert found.loc[name, "smd_before"] == pytest.approx(expected[f"{scale}_sd"], rel=1e-6)
    np.testing.assert_array_equal(found["smd_before"], found["smd_after"])
    x = everyone.confounders
    ratio = x[everyone.treated].var(axis=0, ddof=1) / x[~everyone.treated].var(axis=0, ddof=1)
    np.testing.assert_allclose(found["ratio_before"], ratio, rtol=1e-10)


def test_weights_count_and_zero_leaves_out() -> None:
    some = units([1, 1, 1, 0, 0, 0, 0], np.arange(7), [1.0, 2, 6, 0, 1, 2, 9], ["x"])
    found = balance(some, np.array([1, 1, 0, 0, 2, 1, 0.0])).iloc[0]
    assert found["treated_after"] == 1.5
    assert found["untreated_after"] == pytest.approx(4 / 3)
    assert found["smd_after"] == pytest.approx((1.5 - 4 / 3) / np.sqrt((7 + 50 / 3) / 2))
    assert found["ratio_after"] == pytest.approx(0.5 / ((2 * (1 / 3) ** 2 + (2 / 3) ** 2) / 3 / (1 - 5 / 9)))


def test_what_does_not_vary() -> None:
    d, same = np.tile([1.0, 0.0], 10), np.full(20, 0.1)
    found = balance(Units(d, d, np.column_stack([same, d]), ("same", "apart")), np.ones(20)).set_index("confounder")
    assert found.loc["same", "smd_after"] == 0
    assert np.isnan(found.loc["apart", "smd_after"])
    assert found["ratio_after"].isna().all()
    assert unbalanced(found.reset_index()) == ["apart"]


def test_refusals() -> None:
    some = units([1, 1, 0, 0], [1, 2, 3, 4], [1.0, 2, 3, 5])
    with pytest.raises(StatisticsError, match="sum to a positive number in each arm"):
        balance(some, np.array([0, 0, 1, 1.0]))
    with pytest.raises(StatisticsError, match="scale: expected one of pooled, treated"):
        balance(some, np.ones(4), "control")
