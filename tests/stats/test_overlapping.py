"""The corrected test: the ordinary one without overlap, by hand with it, and its error rates where blocks correlate."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.equivalence import equivalence
from ncf.stats.overlapping import overlapping, overlapping_p

RNG = np.random.default_rng(7)
BASE = 0.06 + 0.004 * RNG.normal(size=20)
TREATED = BASE * 1.03 + 0.003 * RNG.normal(size=20)


def test_without_overlap_it_is_the_paired_t_test() -> None:
    found = overlapping(TREATED, BASE, share=0.0, margin=0.05, level=0.95)
    expected = stats.ttest_rel(TREATED, BASE)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.p_equivalent == pytest.approx(equivalence(TREATED, BASE, 0.05).p)
    assert found.difference / found.error == pytest.approx(expected.statistic)
    assert found.relative == pytest.approx(TREATED.mean() / BASE.mean() - 1)


def test_by_hand() -> None:
    found = overlapping([2.0, 3.0, 4.0], [1.0, 1.0, 1.0], share=0.5, margin=0.05, level=0.95)
    assert found.difference == 2
    assert found.error == pytest.approx(np.sqrt((1 / 3 + 0.5) * 1.0))
    assert found.p == pytest.approx(2 * stats.t.sf(2 / np.sqrt(5 / 6), 2))
    half = stats.t.isf(0.025, 2) * np.sqrt(5 / 6)  # a baseline without spread: the relative change is the difference
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_the_interval_ends_where_the_test_begins_to_reject(share: float) -> None:
    found = overlapping(TREATED, BASE, share=share, margin=0.05, level=0.9)
    for end in (found.low, found.high):
        p, _ = overlapping_p(TREATED - end * BASE, BASE, share, 0.05)
        assert float(p) == pytest.approx(0.1)
    inside = [overlapping(TREATED, BASE, share=share, margin=m, level=0.9).p_equivalent <= 0.05 for m in (0.01, 0.2)]
    assert inside == [max(-found.low, found.high) < m for m in (0.01, 0.2)]


def test_many_at_once_are_as_one_by_one() -> None:
    t, b = RNG.normal(1, 0.1, (3, 2, 9)), RNG.normal(1, 0.1, (3, 2, 9))
    p, same = overlapping_p(t, b, 0.1, 0.05)
    for index in np.ndindex(3, 2):
        one = overlapping(t[index], b[index], share=0.1, margin=0.05, level=0.95)
        assert (p[index], same[index]) == pytest.approx((one.p, one.p_equivalent))


def test_error_rates_with_blocks_that_correlate_as_assumed() -> None:
    """5% +- 3 standard errors with the correction; too many without it."""
    rng, share, studies = np.random.default_rng(3), 0.05, 20_000
    overlap = share / (1 + share)
    noise = np.sqrt(overlap) * rng.normal(size=(studies, 1)) + np.sqrt(1 - overlap) * rng.normal(size=(studies, 20))
    base = np.ones((studies, 20))
    corrected, plain = (
        float((overlapping_p(base + 0.05 * noise, base, s, 0.05)[0] <= 0.05).mean()) for s in (share, 0.0)
    )
    error = np.sqrt(0.05 * 0.95 / studies)
    assert abs(corrected - 0.05) < 3 * error
    assert plain > 0.1
    at_margin = float((overlapping_p(base * 1.05 + 0.02 * noise, base, share, 0.05)[1] <= 0.05).mean())
    assert at_margin < 0.05 + 3 * error


def test_what_is_refused() -> None:
    fine = {"share": 0.1, "margin": 0.05, "level": 0.95}
    for t, b, settings in (
        (TREATED[:2], BASE[:2], {}), (TREATED, BASE[:5], {}), (BASE * 0 + 1, BASE * 0 + 1, {}),
        (TREATED, BASE - 0.06, {}), (TREATED, BASE, {"share": -1}), (TREATED, BASE, {"margin": 0}),
        (TREATED, BASE, {"level": 1}), (np.append(TREATED[1:], np.nan), BASE, {}),
    ):  # fmt: skip
        with pytest.raises(StatisticsError):
            overlapping(t, b, **{**fine, **settings})
    labels = pd.Series(TREATED, index=range(20)), pd.Series(BASE[::-1], index=range(19, -1, -1))
    assert overlapping(*labels, **fine) == overlapping(TREATED, BASE, **fine)
