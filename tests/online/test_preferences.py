"""Credits by session, and the tests on them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ncf.errors import DataError
from ncf.online.preferences import preferences, session_credits, sessions_needed
from ncf.stats.checks import StatisticsError

FRAME = pd.DataFrame(
    {"s": ["x", "x", "y", "y", "y", "z"], "r": ["B", "A", "A", "A", "B", "B"], "c": [1, 0, 2, 1, 1, 0.0]}
)
COLUMNS = {"session": "s", "ranker": "r", "clicks": "c"}


def test_credits_by_hand() -> None:
    names, sessions, credit = session_credits(FRAME, **COLUMNS)
    assert names == ["A", "B"]
    assert sessions.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(credit, [[0, 1], [3, 1], [0, 0]])


def test_a_pair_is_the_t_test_and_the_sign_test_over_sessions() -> None:
    credit = np.random.default_rng(0).poisson([0.5, 0.7], (400, 2)).astype(float)
    (pair,) = preferences(["A", "B"], credit)
    difference = credit[:, 1] - credit[:, 0]
    assert pair.estimate.p() == pytest.approx(stats.ttest_1samp(difference, 0).pvalue, rel=1e-9)
    assert pair.p_corrected == pair.estimate.p()
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    assert (pair.wins, pair.losses, pair.ties) == (wins, losses, 400 - wins - losses)
    assert pair.p_sign == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)


def test_three_rankers_are_corrected_for_three_pairs() -> None:
    credit = np.random.default_rng(0).poisson([0.5, 0.7, 0.5], (300, 3)).astype(float)
    pairs = preferences(["A", "B", "C"], credit)
    assert [(p.first, p.second) for p in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    raw = np.sort([p.estimate.p() for p in pairs])
    assert min(p.p_corrected for p in pairs) == pytest.approx(min(1, 3 * raw[0]))


def test_sessions_of_one_user_are_one_cluster() -> None:
    rng = np.random.default_rng(1)
    runs, users, each = 500, 40, 5
    own = rng.normal(0, 1, (runs, users, 1)) + rng.normal(0, 1, (runs, users, each))
    rejected = {"user": 0, "session": 0}
    for values in own.reshape(runs, -1):
        credit = np.stack([np.zeros(users * each), values], 1)
        for unit, clusters in (("user", np.repeat(np.arange(users), each)), ("session", None)):
            rejected[unit] += preferences(["A", "B"], credit, clusters=clusters)[0].estimate.p() <= 0.05
    assert rejected["user"] / runs == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / runs))
    assert rejected["session"] / runs > 0.2


def test_warnings_of_balanced_lists_and_few_clusters() -> None:
    credit = np.random.default_rng(0).poisson([0.5, 0.7], (40, 2)).astype(float)
    (pair,) = preferences(["A", "B"], credit, method="balanced", clusters=np.arange(40) % 5)
    assert "biased" in pair.estimate.warnings[0]
    assert "5 clusters" in pair.estimate.warnings[1]
    assert preferences(["A", "B"], credit)[0].estimate.warnings == ()


def test_sessions_needed_give_the_power_they_promise() -> None:
    n = sessions_needed(0.1, 0.8)
    assert stats.norm.sf(stats.norm.isf(0.025) - 0.1 / 0.8 * np.sqrt(n)) == pytest.approx(0.8, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": "A"}, "two rankers or more"),
        ({"s": "x"}, "two sessions or more"),
        ({"c": 0.0}, "expected clicks, found none"),
        ({"c": -1.0}, "row 1: expected c of 0 or more"),
    ],
)
def test_data_that_cannot_tell_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        session_credits(FRAME.assign(**change), **COLUMNS)


def test_settings_out_of_range_are_refused() -> None:
    credit = np.ones((5, 2))
    for wrong in ({"level": 1.0}, {"method": "coin"}, {"clusters": np.zeros(5)}):
        with pytest.raises(StatisticsError):
            preferences(["A", "B"], credit, **wrong)  # type: ignore[arg-type]
    with pytest.raises(StatisticsError):
        preferences(["A"], credit)
    with pytest.raises(StatisticsError):
        sessions_needed(0, 1)


def test_credit_that_differs_by_rounding_is_a_tie() -> None:
    parts = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    credit = np.column_stack([parts[:, 0] + parts[:, 1] + parts[:, 2], parts[:, 2] + parts[:, 1] + parts[:, 0]])
    assert (credit[:, 0] != credit[:, 1]).any()  # the order of a sum
    credit[0] = [0.0, 1e-9]
    found = preferences(["a", "b"], credit)[0]
    assert (found.wins, found.losses, found.ties) == (1, 0, 199)
