"""How far a log can speak: sizes by hand, refusals, and what is never in the log."""

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.off_policy.diagnostics import effective_rounds, largest, notes, refuse_low, uneven
from ncf.off_policy.per_action import PerAction


def test_effective_rounds_and_the_largest_weight_by_hand() -> None:
    assert effective_rounds(np.array([1.0, 1, 2])) == pytest.approx(16 / 6)
    assert effective_rounds(np.zeros(3)) == 0
    assert largest(np.array([1.0, 1, 2])) == {"largest_weight": 2, "largest_share": 0.5}
    assert largest(np.zeros(3)) == {"largest_weight": 0, "largest_share": 0}


def test_too_few_effective_rounds_are_refused_unless_allowed() -> None:
    weight = np.ones(100)
    weight[3] = 20_000
    with pytest.raises(
        DataError, match=r"at least 30, found 1.01 of 100 rounds \(the largest weight, 20,000, has 99.5%"
    ):
        refuse_low(weight, allowed=False)
    refuse_low(weight, allowed=True)
    refuse_low(np.ones(30), allowed=False)
    with pytest.raises(DataError, match="found 29 of 29"):
        refuse_low(np.ones(29), allowed=False)
    with pytest.raises(DataError, match="all weights are 0"):
        refuse_low(np.zeros(100), allowed=True)


def test_propensities_that_do_not_fit_are_noticed() -> None:
    """Their weights do not average one."""
    stream = np.random.default_rng(0)
    action = (stream.random(1000) < 0.25).astype(int)
    policy = PerAction(np.array([[0.5, 0.5]]), np.zeros(1000, int))
    logged = np.array([0.75, 0.25])[action]
    assert notes(0.5 / logged, policy, action) == []
    assert "standard errors from 1" in notes(0.5 / (2 * logged).clip(max=1), policy, action)[0]


def test_what_the_log_never_shows_is_measured() -> None:
    policy = PerAction(np.array([[0.7, 0.2, 0.1], [0.9, 0.1, 0]]), np.array([0, 1, 1, 1]))
    said = notes(np.ones(4), policy, np.array([0, 1, 0, 0]))
    assert len(said) == 1
    assert said[0].startswith("2.50% of what the policy would show (1 actions) is never in the log")


def test_a_long_tail_is_said() -> None:
    assert uneven(np.ones(20)) == []  # a share of 5%, but all alike
    assert uneven(np.r_[np.ones(999), 15]) == []
    assert uneven(np.zeros(5)) == []
    assert "one round has 10.0% of all weight" in uneven(np.r_[np.ones(90), 10])[0]
