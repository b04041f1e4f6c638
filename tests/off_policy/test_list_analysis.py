"""Whole lists, from a log of rows to estimates that find the truth of a cascade."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ncf.data.feedback import LoggedFeedback
from ncf.errors import ConfigError, DataError
from ncf.off_policy.analysis import Settings
from ncf.off_policy.list_analysis import analyse_lists, arrange
from ncf.off_policy.per_action import PerAction
from ncf.off_policy.policy_files import Policy

LOGGING, POLICY = np.array([0.4, 0.3, 0.3]), np.array([0.2, 0.3, 0.5])
LISTS = 3000


def chance_of(items: np.ndarray) -> np.ndarray:
    """Click chances (N, 2): a good first item spoils the second."""
    own = 0.1 + 0.3 * items
    own[:, 1] *= np.where(items[:, 0] == 2, 0.3, 1)
    return own


def log(lists: int = LISTS) -> LoggedFeedback:
    stream = np.random.default_rng(2)
    items = np.array([stream.choice(3, 2, replace=False, p=LOGGING) for _ in range(lists)])
    first = LOGGING[items[:, 0]]
    propensity = np.column_stack([first, LOGGING[items[:, 1]] / (1 - first)])
    reward = (stream.random((lists, 2)) < chance_of(items)).astype(float)
    return LoggedFeedback(
        items.ravel(), propensity.ravel(), reward.ravel(), position=np.tile([1, 2], lists),
        slate=np.repeat(np.arange(lists), 2), label="log.csv",
    )  # fmt: skip


def policy(log: LoggedFeedback) -> Policy:
    return Policy(np.arange(3), PerAction(POLICY[None], np.zeros(len(log), np.int64)))


@pytest.fixture(scope="module")
def truth() -> float:
    lists = np.array(list(itertools.permutations(range(3), 2)))
    chance = POLICY[lists[:, 0]] * POLICY[lists[:, 1]] / (1 - POLICY[lists[:, 0]])
    return float(chance @ chance_of(lists).sum(axis=1))


def test_lists_drawn_without_replacement(truth: float) -> None:
    rows = log()
    found = analyse_lists(rows, policy(rows), Settings(folds=3), (), distinct=True)
    assert [one.method for one in found.estimates] == ["list IPS", "reward-interaction IPS", "cascade DR"]
    for one in found.estimates:
        assert abs(one.value - truth) < 3 * one.standard_error, one.method
    errors = [one.standard_error for one in found.estimates]
    assert errors == sorted(errors, reverse=True)
    wrong = analyse_lists(rows, policy(rows), Settings(), ("list_ips",), distinct=False).estimates[0]
    assert abs(wrong.value - truth) > 3 * wrong.standard_error  # a policy that repeats items is another one


def test_independent_ips_is_refused_where_items_above_matter_to_the_propensity() -> None:
    rows = log(50)
    with pytest.raises(ConfigError, match="got 'independent_ips'"):
        analyse_lists(rows, policy(rows), Settings(), ("independent_ips",), distinct=True)
    with pytest.raises(ConfigError, match="got 'ips'"):
        analyse_lists(rows, policy(rows), Settings(), ("ips",), distinct=False)


def test_rows_of_any_order_and_lists_of_any_length_are_arranged() -> None:
    rows = log(4).take(np.array([7, 0, 1, 4, 5, 2, 6]))  # list 1 lacks its second position
    found = arrange(rows, policy(rows))
    assert found.there.tolist() == [[True, True], [True, True], [True, True], [True, False]]
    assert found.pscore[3, 1] == 1
    assert found.reward[3, 1] == 0


def test_a_position_twice_or_no_lists_at_all() -> None:
    rows = log(4)
    again = rows.take(np.array([0, 1, 1]))
    with pytest.raises(DataError, match=r"log.csv, row 3: expected each position once in a list, found position 2 of"):
        arrange(again, policy(again))
    plain = LoggedFeedback(rows.item, rows.propensity, rows.reward, label="log.csv")
    with pytest.raises(DataError, match="expected columns slate and position"):
        arrange(plain, policy(plain))


def test_lists_of_one_user_are_not_news() -> None:
    """Every list once more, of the same user: the values stay and, by users, the errors too; without, they shrink."""
    once = replace(log(400), user=np.repeat(np.arange(400), 2))
    twice = once.take(np.tile(np.arange(800), 2))
    twice = replace(twice, slate=np.concatenate([once.slate, once.slate + 400]))
    alone, together, apart = (
        analyse_lists(rows, policy(rows), Settings(cluster=cluster), ("list_ips",), distinct=True).estimates[0]
        for rows, cluster in ((once, None), (twice, "user"), (twice, None))
    )
    assert together.standard_error == pytest.approx(alone.standard_error, rel=1e-9)
    assert apart.standard_error == pytest.approx(alone.standard_error / 2**0.5, rel=1e-2)
    assert together.value == pytest.approx(alone.value, rel=1e-12)


def test_a_list_of_two_users_or_a_cluster_that_is_not_there() -> None:
    rows = replace(log(50), user=np.arange(100))
    with pytest.raises(DataError, match=r"log\.csv, row 2: expected one user in list 0, found 0 and 1"):
        analyse_lists(rows, policy(rows), Settings(cluster="user"), (), distinct=True)
    with pytest.raises(ConfigError, match="cluster: expected a column that the log has"):
        analyse_lists(rows, policy(rows), Settings(cluster="nonsense"), (), distinct=True)


@pytest.mark.slow
def test_cascade_dr_covers_if_its_model_saw_other_lists_alone() -> None:
    """200 lists of 2 of 60 items: with the model fitted on the lists themselves, the error bars are too short."""
    stream, lists, actions, runs = np.random.default_rng(0), 200, 60, 300
    chance = 0.1 + 0.6 * stream.random((2, actions))
    chosen = np.exp(0.4 * stream.normal(size=actions))
    chosen /= chosen.sum()
    target = Policy(np.arange(actions), PerAction(chosen[None], np.zeros(2 * lists, np.int64)))
    truth, covers = float((chance @ chosen).sum()), {1: 0, 3: 0}
    for _ in range(runs):
        items = stream.integers(0, actions, (lists, 2))
        reward = (stream.random((lists, 2)) < chance[[0, 1], items]).astype(float)
        rows = LoggedFeedback(
            items.ravel(), np.full(2 * lists, 1 / actions), reward.ravel(), position=np.tile([1, 2], lists),
            slate=np.repeat(np.arange(lists), 2),
        )  # fmt: skip
        for folds in covers:
            one = analyse_lists(rows, target, Settings(folds=folds), ("cascade_dr",), distinct=False).estimates[0]
            covers[folds] += one.low <= truth <= one.high
    error = (0.95 * 0.05 / runs) ** 0.5
    assert abs(covers[3] / runs - 0.95) <= 3 * error
    assert covers[1] / runs < 0.95 - 3 * error


def test_a_policy_of_lists_that_does_not_sum_to_one_is_refused() -> None:
    rows = log(50)
    with pytest.raises(DataError, match=r"row 1: expected a policy that sums to 1, found 1\.5"):
        analyse_lists(rows, replace(policy(rows), chances=PerAction(POLICY[None] * 1.5, np.zeros(100, np.int64))),
                      Settings(), (), distinct=False)  # fmt: skip
