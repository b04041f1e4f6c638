"""Reward models: counted by hand, held out where they should be, and the published figures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncf.data.open_bandit import OpenBandit, open_bandit, thompson_prior
from ncf.errors import ConfigError, DataError
from ncf.off_policy import estimators as e
from ncf.off_policy import policies, reward_models
from ncf.off_policy.per_action import PerAction, per_action
from ncf.off_policy.reward_models import Log, ScikitLearn, cross_fitted, folds_of, mrdr_weights, named, tabular
from ncf.off_policy.rounds import rounds

from .conftest import REFERENCE

DATA = Path(__file__).parents[2] / "data"  # the checkout's own, so that it is fetched once


@pytest.fixture
def log() -> Log:
    stream = np.random.default_rng(0)
    n = 300
    context, action, position = stream.normal(size=(n, 2)), stream.integers(0, 4, n), stream.integers(0, 2, n)
    reward = (stream.random(n) < 0.2 + 0.15 * action).astype(float)
    return Log(reward, action, 4, position, context)


def test_a_table_by_hand() -> None:
    log = Log(np.array([1.0, 0, 1, 0]), np.array([0, 0, 1, 1]), 3, np.array([0, 0, 0, 1]))
    found = tabular(log, np.ones(4, bool))
    np.testing.assert_allclose(found.values, [[1.5 / 3, 1.5 / 2, 0.5], [0.5, 0.5 / 2, 0.5]])
    assert found.row.tolist() == [0, 0, 0, 1]
    weighted = tabular(replace(log, weight=np.array([2.0, 0, 1, 1])), np.ones(4, bool))
    np.testing.assert_allclose(weighted.values[0], [(2 + 0.75) / 3, (1 + 0.75) / 2, 0.75])


@pytest.mark.parametrize("name", ["tabular", "ridge", "logistic"])
def test_a_round_has_no_say_in_its_own_prediction(log: Log, name: str) -> None:
    """Held out: another reward in one fold changes the predictions of the others alone."""
    fold = folds_of(len(log), 3)
    changed = replace(log, reward=np.where(fold == 1, 1 - log.reward, log.reward))
    before, after = (cross_fitted(named(name), one, fold).rounds() for one in (log, changed))
    np.testing.assert_array_equal(before[fold == 1], after[fold == 1])
    assert (before[fold != 1] != after[fold != 1]).any(axis=1).all()
    seen = cross_fitted(named(name), log, folds_of(len(log), 1)).rounds()
    assert np.abs(seen - cross_fitted(named(name), changed, folds_of(len(log), 1)).rounds())[fold == 1].max() > 0.01


def test_folds_are_those_of_the_published_protocol() -> None:
    fold = folds_of(10, 3)
    assert np.bincount(fold).tolist() == [4, 3, 3]
    order = np.arange(10)
    np.random.RandomState(12345).shuffle(order)
    assert sorted(order[:4]) == np.flatnonzero(fold == 0).tolist()
    for folds in (0, 11):
        with pytest.raises(ConfigError, match="folds: expected 1 to 10"):
            folds_of(10, folds)


def test_contexts_that_repeat_are_predicted_once(log: Log) -> None:
    few = replace(log, context=np.round(log.context > 0).astype(bool))
    found = named("logistic")(few, np.ones(len(log), bool))
    assert len(found.values) == 8  # 4 contexts, 2 positions
    apart = replace(few, context=few.context + 1e-12 * np.arange(len(log))[:, None])
    np.testing.assert_allclose(named("logistic")(apart, np.ones(len(log), bool)).rounds(), found.rounds(), atol=1e-7)


def test_any_scikit_learn_model_by_its_interface(log: Log) -> None:
    class Means:
        """A regressor that predicts the mean reward of what looks the same in its last four features."""

        def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
            self.known = {tuple(row): y[(x[:, -4:] == row).all(axis=1)].mean() for row in np.unique(x[:, -4:], axis=0)}

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.array([self.known[tuple(row)] for row in x[:, -4:]])

    found = ScikitLearn(Means)(log, np.ones(len(log), bool)).rounds()
    for action in range(4):
        for position in range(2):
            mean = log.reward[(log.action == action) & (log.position == position)].mean()
            np.testing.assert_allclose(found[log.position == position, action], mean)


def test_a_models_scores_are_brought_to_the_scale_of_rewards(log: Log) -> None:
    scores = PerAction(np.array([[-3.0, -1, 1, 3]]), np.zeros(len(log), np.int64))
    found = named("logistic")(replace(log, scores=scores), np.ones(len(log), bool)).values[0]
    assert (np.diff(found) > 0).all()
    assert np.abs(found - (0.2 + 0.15 * np.arange(4))).max() < 0.15


def test_weights_of_the_more_robust_fit_have_less_variance() -> None:
    """Over logs of a deterministic policy, DR with a line that cannot fit is less noisy if its fit is weighted."""
    stream, found = np.random.default_rng(3), {True: [], False: []}
    logging, x = np.array([0.85, 0.15]), np.array([0.1, 0.9])

    class Constant:
        """A model with one number for everything."""

        def fit(self, _: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
            self.mean = np.average(y, weights=sample_weight)

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.full(len(x), self.mean)

    for _ in range(150):
        action = (stream.random(200) < 0.15).astype(int)
        reward = (stream.random(200) < x[action]).astype(float)
        pscore, policy = logging[action], np.array([0.0, 1.0])
        base = Log(reward, action, 2, np.zeros(200, np.int64))
        for robust in found:
            weight = mrdr_weights(policy[action], pscore) if robust else None
            q = cross_fitted(ScikitLearn(Constant), replace(base, weight=weight), folds_of(200, 2))
            found[robust].append(e.dr(rounds(reward, action, pscore, policy, q)).value)
    assert np.std(found[True]) < 0.5 * np.std(found[False])
    assert abs(np.mean(found[True]) - 0.9) < 3 * np.std(found[True]) / np.sqrt(150)


def test_no_weights_at_all_count_all_alike() -> None:
    assert mrdr_weights(np.zeros(3), np.full(3, 0.5)).tolist() == [1, 1, 1]
    assert mrdr_weights(np.array([1.0]), np.array([0.25])).tolist() == [0.75 / 0.0625]


def test_what_cannot_be_fitted_is_one_line(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="reward_model: expected one of tabular, ridge, logistic, got 'forest'"):
        named("forest")
    with pytest.raises(DataError, match="expected rounds at every position in every fold"):
        named("ridge")(log, log.position == 0)
    monkeypatch.setattr(reward_models, "available", lambda: 1000.0)
    with pytest.raises(DataError, match=r"predictions need .* more than there is"):
        named("ridge")(log, np.ones(len(log), bool))


@pytest.fixture(scope="module")
def logs() -> dict[tuple[str, str], OpenBandit]:
    return {(c, b): open_bandit(c, b, DATA) for c in ("all", "men") for b in ("random", "bts")}


@pytest.mark.parametrize("model", ["tabular", "logistic_3fold"])
def test_every_published_case_of_the_open_bandit_dataset(
    model: str, published: list[dict[str, Any]], logs: dict[tuple[str, str], OpenBandit]
) -> None:
    assert len(published) == 8
    for case in published:
        data = logs[case["campaign"], case["behavior"]]
        log, place = data.feedback, data.feedback.position - 1
        assert (len(log), len(data.items), log.context.shape[1]) == (10000, case["n_actions"], case["dim_context"])
        if case["evaluation"] == "random":
            policy = policies.uniform(len(log), len(data.items))
        else:
            table = json.loads((REFERENCE / f"obd_bts_action_dist_{case['campaign']}.json").read_text())["p"]
            policy = per_action(np.array(table), len(log), place)
        seen = Log(log.reward, log.item, len(data.items), place, log.context, data.item_context)
        folds = 1 if model == "tabular" else 3
        q_hat = cross_fitted(named(model.partition("_")[0]), seen, folds_of(len(log), folds))
        found = rounds(log.reward, log.item, log.propensity, policy, q_hat)
        assert found.weight.mean() == pytest.approx(case["weight_mean"], rel=1e-9)
        assert found.weight.max() == pytest.approx(case["weight_max"], rel=1e-15)
        assert e.ips(found).effective_n == pytest.approx(case["ess"], rel=1e-9)
        ours = {"ipw": e.ips, "snipw": e.snips, "dm": e.dm, "dr": e.dr, "sndr": e.sndr}
        values = {name: function(found).value for name, function in ours.items()}
        values |= {f"switch_dr_tau{tau}": e.switch_dr(found, tau).value for tau in (1, 10, 100)}
        values |= {f"dros_lambda{value}": e.dr_os(found, value).value for value in (1, 100)}
        expected = case[f"estimates_{model}"]
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            exact = model == "tabular" or name in ("ipw", "snipw")
            # logistic: measured within 1.1e-4, where the published optimiser stops early
            assert values[name] == pytest.approx(value, rel=1e-9 if exact else 1e-3), (case["campaign"], name)


@pytest.mark.parametrize("campaign", ["men", pytest.param("all", marks=pytest.mark.slow)])
def test_thompson_sampling_has_the_published_chances(campaign: str) -> None:
    table = json.loads((REFERENCE / f"obd_bts_action_dist_{campaign}.json").read_text())["p"]
    assert policies.bernoulli_thompson(*thompson_prior(campaign, DATA), 3).tolist() == table


@pytest.mark.parametrize("name", ["tabular", "ridge", "logistic"])
def test_a_position_or_fold_without_any_weight_counts_all_alike(log: Log, name: str) -> None:
    """Weights of MRDR are 0 wherever the log was sure of itself, which was 0 / 0."""
    sure = replace(log, weight=np.where(log.position == 1, 0.0, 1.0))
    found = named(name)(sure, log.position == 1) if name == "tabular" else named(name)(sure, np.ones(len(log), bool))
    plain = named(name)(log, log.position == 1) if name == "tabular" else named(name)(log, np.ones(len(log), bool))
    np.testing.assert_allclose(found.rounds(), plain.rounds())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_the_generator_does_not_take_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed: expected a whole number from 0 to 4294967295"):
        folds_of(9, 3, seed)
