"""One analysis: the estimators asked for, with what a reader has to know."""

import numpy as np
import pytest

from ncf.data.feedback import LoggedFeedback
from ncf.errors import ConfigError, DataError
from ncf.off_policy import estimators as e
from ncf.off_policy import policies
from ncf.off_policy.analysis import Analysis, Settings, analyse, names, values
from ncf.off_policy.policy_files import Policy


@pytest.fixture
def log() -> LoggedFeedback:
    stream = np.random.default_rng(0)
    item = stream.choice(3, 500, p=[0.5, 0.3, 0.2])
    reward = (stream.random(500) < 0.2 + 0.2 * item).astype(float)
    return LoggedFeedback(item, np.array([0.5, 0.3, 0.2])[item], reward, user=np.repeat(np.arange(100), 5))


def uniform(log: LoggedFeedback, actions: int = 3) -> Policy:
    return Policy(np.arange(actions), policies.uniform(len(log), actions))


def ran(log: LoggedFeedback, **settings: object) -> Analysis:
    return analyse(log, uniform(log), Settings(**settings))  # type: ignore[arg-type]


def test_every_estimator_once_in_order_near_the_truth(log: LoggedFeedback) -> None:
    found = ran(log)
    assert [one.method.partition(" (")[0] for one in found.estimates] == [
        "replay", "IPS", "clipped IPS", "SNIPS", "DM", "DR", "SNDR", "SWITCH-DR", "DRos", "MRDR"
    ]  # fmt: skip
    assert found.estimates[0].value < 0.37  # replay, of a log that is not uniform
    for one in found.estimates[1:]:
        assert abs(one.value - 0.4) < 3 * one.standard_error, one.method
    assert found.effective == pytest.approx(found.estimates[1].effective_n)


def test_parameters_that_are_given_have_a_row_each(log: LoggedFeedback) -> None:
    found = ran(log, estimators=("switch_dr", "ips"), parameters={"tau": [1.0, 10.0]})
    assert [one.method for one in found.estimates] == ["SWITCH-DR (tau 1)", "SWITCH-DR (tau 10)", "IPS"]


def test_users_are_clusters(log: LoggedFeedback) -> None:
    alone, together = ran(log, estimators=("ips",)), ran(log, estimators=("ips",), cluster="user")
    assert alone.estimates[0].value == together.estimates[0].value
    assert alone.estimates[0].degrees == 499
    assert together.estimates[0].degrees == 99
    for name in ("slate", "item", "label", "frame"):
        with pytest.raises(ConfigError, match="cluster: expected a column that the log has"):
            ran(log, cluster=name)


def test_notes_of_repeats_and_of_actions_that_are_seldom_seen(log: LoggedFeedback) -> None:
    twice = LoggedFeedback(log.item, log.propensity, log.reward, log.user, time=np.zeros(500))
    assert "rows repeat an earlier one" in ran(twice).notes[0]
    few = log.take(np.concatenate([np.flatnonzero(log.item < 2), np.flatnonzero(log.item == 2)[:5]]))
    found = analyse(few, uniform(few), Settings())
    assert "has fewer than 10 rounds in the log" in found.notes[-1]
    assert not any("fewer than" in note for note in analyse(few, uniform(few), Settings(folds=3)).notes)


def test_the_policys_own_log_is_shown_beside(log: LoggedFeedback) -> None:
    found = analyse(log, uniform(log), Settings(estimators=("ips",)), on_policy=np.array([0.0, 1, 1, 1]))
    assert found.on_policy is not None
    assert found.on_policy.value == 0.75


def test_what_is_wrong_by_name(log: LoggedFeedback) -> None:
    with pytest.raises(ConfigError, match=r"estimators: expected some of replay, .*, got 'ipw'"):
        Settings(estimators=("ipw",))
    with pytest.raises(ConfigError, match=r"estimators: .*, got none"):
        Settings(estimators=())
    with pytest.raises(ConfigError, match="level"):
        Settings(level=1.0)
    waiting = LoggedFeedback(log.item, log.propensity)
    with pytest.raises(DataError, match="expected rewards, found a log without"):
        ran(waiting)
    with pytest.raises(DataError, match="effective sample size"):
        ran(log.take(np.arange(20)))


def test_lists_as_they_are_typed() -> None:
    assert names("[ips, dr]") == ("ips", "dr")
    assert names(None) == tuple(e.ESTIMATORS)
    assert values("1,10,inf", "tau") == [1, 10, np.inf]
    assert values(None, "tau") == []
    with pytest.raises(ConfigError, match="tau: expected numbers"):
        values("1,x", "tau")
