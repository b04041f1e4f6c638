"""Changes against those of plain formulas, by hand and by simulation; families; what is missing is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.content import analysis
from ncf.stats.checks import StatisticsError
from ncf.stats.multiplicity import holm


def tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return tuple(pd.read_csv(folder / name) for name in ("users.csv.gz", "results.csv", "variety.csv.gz"))  # type: ignore[return-value]


def test_the_change_of_single_rows_is_that_of_the_delta_method() -> None:
    t, b = np.array([2.0, 3.0, 7.0, 4.0]), np.array([1.0, 3.0, 4.0, 2.0])
    found = analysis.by_users(t, b, np.arange(4))
    ratio = 16 / 10
    error = np.std((t - ratio * b) / 2.5, ddof=1) / 2
    half = stats.t.isf(0.025, 3) * error
    assert found.value == pytest.approx(0.6)
    assert found.ends == pytest.approx((0.6 - half, 0.6 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(0.6 / error, 3))
    assert found.p_equivalent == pytest.approx(stats.t.sf(-(0.6 - 0.05) / error, 3))


def test_a_user_in_several_blocks_counts_once() -> None:
    t, b = np.array([2.0, 3.0, 7.0, 4.0]), np.array([1.0, 3.0, 4.0, 2.0])
    once = analysis.by_users(t, b, np.arange(4))
    thrice = analysis.by_users(np.tile(t, 3), np.tile(b, 3), np.tile(np.arange(4), 3))
    assert thrice.ends == pytest.approx(once.ends)
    assert thrice.p == pytest.approx(once.p)


def test_blocks_that_differ_widen_the_error_of_both_alone() -> None:
    rng = np.random.default_rng(0)
    b = 1 + rng.normal(0, 0.1, (6, 300))
    t = b + rng.normal(0, 0.2, (6, 1)) + rng.normal(0, 0.01, (6, 300))
    both = analysis.by_both(t, b)
    users = analysis.by_users(t.ravel(), b.ravel(), np.tile(np.arange(300), 6))
    assert both.value == pytest.approx(users.value)
    assert both.ends[1] - both.ends[0] > 10 * (users.ends[1] - users.ends[0])


def test_equivalence_by_both_is_shown_inside_the_region_alone() -> None:
    rng = np.random.default_rng(0)
    b = 1 + rng.normal(0, 0.01, (8, 200))
    noise = rng.normal(0, 0.01, (8, 200))
    assert analysis.by_both(b * 1.01 + noise, b).p_equivalent < 1e-6
    assert analysis.by_both(b * 1.06 + noise, b).p_equivalent > 1 - 1e-6
    assert analysis.by_both(b * 0.94 + noise, b).p_equivalent > 1 - 1e-6


@pytest.mark.slow
def test_of_no_difference_each_error_rejects_about_as_often_as_it_says() -> None:
    rng, studies = np.random.default_rng(0), 200
    rejected = np.zeros(2)
    for _ in range(studies):
        b, t = (1 + rng.normal(0, 0.3, (8, 100)) + rng.normal(0, 0.3, 100) * side for side in (0, 1))
        users = np.tile(np.arange(100), 8)
        rejected += [analysis.by_users(t.ravel(), b.ravel(), users).p <= 0.05, analysis.by_both(t, b).p <= 0.05]
    reach = 3.3 * np.sqrt(0.05 * 0.95 / studies)  # Monte Carlo
    assert 0.05 - reach < rejected[0] / studies < 0.05 + reach
    assert rejected[1] / studies < 0.05 + reach


def test_every_comparison_is_found_and_corrected(made_up: Callable[..., None], tmp_path: Path) -> None:
    made_up({"ease_recency": 0.12, "cease": 0.08, "hybrid": 0.1})
    users, results, _ = tables(tmp_path)
    found = {(c.treatment, c.baseline): c for c in analysis.comparisons(users, results)}
    assert len(found) == 11
    assert found["ease_recency", "ease"].finding == "better"
    assert found["cease", "ease"].finding == "worse"
    assert found["hybrid", "ease"].finding == "equivalent"
    assert found["hybrid_recency", "ease_recency"].finding == "worse"
    raw = [analysis._compared(users, results, **one).change.p for one in analysis.registered()["comparisons"]]
    assert [c.change.p for c in found.values()] == pytest.approx(holm(np.array(raw)))
    assert found["ease_recency", "ease"].change.value == pytest.approx(0.2, abs=0.01)
    assert found["content_cold", "chance"].valid is not None


def test_the_largest_lambda_at_the_target_is_taken_whatever_it_costs(
    made_up: Callable[..., None], tmp_path: Path
) -> None:
    made_up(cost={"mmr": 0.2})
    cost = {c.rerank: c for c in analysis.costs(tables(tmp_path)[2])}
    assert (cost["mmr"].weight, cost["mmr"].finding) == (0.6, "worse")
    assert cost["mmr"].alike == pytest.approx(-0.4)
    assert cost["xquad"].finding == "equivalent"
    assert (cost["calibrated"].weight, cost["calibrated"].change) == (None, None)
    assert cost["calibrated"].finding == "does not get there"


def test_a_missing_block_or_other_users_are_refused(made_up: Callable[..., None], tmp_path: Path) -> None:
    made_up()
    users, results, variety = tables(tmp_path)
    with pytest.raises(StatisticsError, match="ease: expected every block, 4 missing"):
        analysis.comparisons(users[~((users["arm"] == "ease") & (users["block"] == 4))], results)
    with pytest.raises(StatisticsError, match="plain: expected every block, 2 missing"):
        analysis.costs(variety[variety["block"] != 2])
    row = users.index[(users["arm"] == "cease") & (users["block"] == 2)][0]
    users.loc[row, "users"] = users.loc[row, "users"].replace("59", "99")
    with pytest.raises(StatisticsError, match="cease, ease: expected the same users"):
        analysis.comparisons(users, results)
