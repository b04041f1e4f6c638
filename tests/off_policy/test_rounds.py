"""What estimators are given is checked, and the first bad round is named."""

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.off_policy.rounds import rounds

GOOD = {
    "reward": np.array([1.0, 0.0, 0.5]), "action": np.array([0, 1, 1]), "pscore": np.array([0.5, 0.25, 1.0]),
    "action_dist": np.array([0.2, 0.8]), "q_hat": np.array([0.1, 0.3]),
}  # fmt: skip


def test_hand_computed_numbers_of_each_round() -> None:
    found = rounds(**GOOD)
    assert found.weight.tolist() == [0.4, 3.2, 0.8]
    assert found.q_logged.tolist() == [0.1, 0.3, 0.3]
    np.testing.assert_allclose(found.q_policy, 0.2 * 0.1 + 0.8 * 0.3)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": np.array([1.0, np.nan, 0])}, "row 2: expected a finite reward, found nan"),
        ({"pscore": np.array([0.5, 0.5, 0])}, "row 3: expected a propensity above 0 and at most 1, found 0"),
        ({"pscore": np.array([0.5, 1.5, 0.1])}, "row 2: expected a propensity above 0 and at most 1, found 1.5"),
        ({"pscore": np.array([0.5, np.nan, 0.1])}, "row 2: expected a propensity above 0"),
        ({"pscore": np.array([0.5, 5e-324, 0.1])}, "row 2: expected a propensity that gives a weight of at most 1e"),
        ({"pscore": np.array([0.5, 0.5])}, "pscore: expected one for each of 3 rounds"),
        ({"action": np.array([0, 1, 2])}, r"row 3: expected an action in \[0, 2\), found 2"),
        ({"action": np.array([0, 1, -1])}, "row 3: expected an action"),
        ({"action": np.array([0.0, 1, 1])}, "expected whole numbers"),
        ({"action_dist": np.array([0.2, 0.7])}, "row 1: expected a policy that sums to 1, found 0.9"),
        ({"action_dist": np.array([1.2, -0.2])}, "row 1: expected a policy without negative probabilities"),
        ({"action_dist": np.array([np.nan, 0.2])}, "row 1: expected a policy"),
        ({"action_dist": np.array([[0.2, 0.8], [0.5, 0.5], [0.5, 0.6]])}, "row 3: expected a policy that sums to 1"),
        ({"q_hat": np.array([0.2, np.inf])}, "q_hat: expected finite predictions"),
        ({"q_hat": np.array([0.2, 0.3, 0.1])}, "q_hat: expected predictions for 2 actions, found 3"),
    ],
)
def test_bad_rounds_are_named(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rounds(**{**GOOD, **change})


def test_one_round_is_too_few() -> None:
    with pytest.raises(DataError, match="at least 2 rounds"):
        rounds(np.ones(1), np.zeros(1, int), np.ones(1), np.array([1.0]))


def test_a_model_that_is_not_there_is_asked_for_by_name() -> None:
    with pytest.raises(DataError, match="q_hat: expected a reward model's predictions"):
        rounds(**{**GOOD, "q_hat": None}).model()
