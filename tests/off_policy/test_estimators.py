"""Estimators: hand-computed values, identities, limits, and independent formulas."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from ncf.errors import ConfigError, DataError
from ncf.off_policy import estimators as e
from ncf.off_policy.rounds import Rounds, rounds

from .conftest import World


@pytest.fixture
def log(world: World) -> Rounds:
    q = np.clip(world.chance + np.random.default_rng(1).normal(0, 0.1, world.chance.shape), 0, 1)
    return world.log(np.random.default_rng(0), 400, q)


def test_three_rounds_by_hand() -> None:
    log = rounds(np.array([1.0, 0, 2]), np.array([0, 1, 1]), np.array([0.5, 0.25, 0.8]), np.array([0.2, 0.8]),
                 np.array([0.5, 1.0]))  # fmt: skip
    # weights 0.4, 3.2, 1; q_pi 0.9; residuals 0.5, -1, 1
    assert e.ips(log).value == pytest.approx((0.4 + 0 + 2) / 3)
    assert e.snips(log).value == pytest.approx(2.4 / 4.6)
    assert e.clipped_ips(log, 0.7).value == pytest.approx((0.4 + 0.7 * 2) / 3)
    assert e.dm(log).value == pytest.approx(0.9)
    assert e.dr(log).value == pytest.approx(0.9 + (0.2 - 3.2 + 1) / 3)
    assert e.sndr(log).value == pytest.approx(0.9 + (0.2 - 3.2 + 1) / 4.6)
    assert e.switch_dr(log, 2).value == pytest.approx(0.9 + (0.2 + 1) / 3)
    shrunken = [2 * w / (w * w + 2) for w in (0.4, 3.2, 1.0)]
    assert e.dr_os(log, 2).value == pytest.approx(0.9 + (0.5 * shrunken[0] - shrunken[1] + shrunken[2]) / 3)
    assert e.replay(log).value == pytest.approx((0.2 + 0 + 0.8 * 2) / (0.2 + 0.8 + 0.8))
    assert e.ips(log).effective_n == pytest.approx(4.6**2 / (0.16 + 10.24 + 1))
    assert e.ips(log).details == pytest.approx({"largest_weight": 3.2, "largest_share": 3.2 / 4.6})


def test_intervals_of_means_and_ratios_by_independent_formulas(log: Rounds) -> None:
    n, w, r = len(log), log.weight, log.reward
    assert e.ips(log).standard_error == pytest.approx(np.std(w * r, ddof=1) / np.sqrt(n), rel=1e-12)
    value = (w * r).sum() / w.sum()
    delta = np.sqrt((w**2 * (r - value) ** 2).sum()) / w.sum() * np.sqrt(n / (n - 1))
    assert e.snips(log).standard_error == pytest.approx(delta, rel=1e-12)
    loo = ((w * r).sum() - w * r) / (w.sum() - w)  # the jackknife of the ratio
    jackknife = np.sqrt((n - 1) / n * ((loo - loo.mean()) ** 2).sum())
    assert e.snips(log).standard_error == pytest.approx(jackknife, rel=0.02)
    wrong = replace(log, q_logged=log.q_logged - 2, q_policy=log.q_policy - 2)  # so that the ratio matters
    residual = wrong.reward - wrong.q_logged
    without = wrong.q_policy.mean() + (w @ residual - w * residual) / (w.sum() - w)
    without = without + (wrong.q_policy.mean() - wrong.q_policy) / (n - 1)
    jackknife = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    assert e.sndr(wrong).standard_error == pytest.approx(jackknife, rel=0.02)
    values = log.q_policy + w * (r - log.q_logged)
    np.testing.assert_allclose(e.dr(log).value + e.dr(log).influence, values, rtol=1e-9)


def test_a_policy_evaluated_on_its_own_log_has_the_mean(world: World) -> None:
    _, action, reward, _ = world.draw(np.random.default_rng(3), 300)
    log = rounds(reward, action, np.full(300, 0.2), np.full(5, 0.2))
    for function in (e.ips, e.snips, e.replay):
        assert function(log).value == pytest.approx(reward.mean(), rel=1e-12)
        assert function(log).standard_error == pytest.approx(reward.std(ddof=1) / np.sqrt(300), rel=1e-12)
    assert e.ips(log).effective_n == pytest.approx(300)


def test_a_perfect_model_leaves_no_variance_from_the_weights(world: World) -> None:
    """Rewards without noise, predicted exactly: DR is the model's mean in every round."""
    context, action, _, pscore = world.draw(np.random.default_rng(3), 300)
    q = world.chance[context]
    log = rounds(q[np.arange(300), action], action, pscore, world.policy[context], q)
    mean = (world.policy * world.chance).sum(axis=1)[context]
    for found in (e.dr(log), e.sndr(log), e.switch_dr(log, 1), e.dr_os(log, 3), e.dm(log)):
        assert found.value == pytest.approx(mean.mean(), rel=1e-12)
        np.testing.assert_allclose(found.value + found.influence, mean, atol=1e-12)


@pytest.mark.parametrize("fitted", [False, True])
def test_limits_of_thresholds_and_shrinkage(log: Rounds, fitted: bool) -> None:
    log = replace(log, fitted=fitted)
    for low, high, other in (
        (e.switch_dr(log, 0), e.switch_dr(log, np.inf), e.dr),
        (e.dr_os(log, 0), e.dr_os(log, np.inf), e.dr),
    ):
        assert low.value == e.dm(log).value
        assert high.value == other(log).value
        assert (low.standard_error, high.standard_error) == (e.dm(log).standard_error, e.dr(log).standard_error)
    assert e.clipped_ips(log, np.inf).value == e.ips(log).value
    assert e.dr_os(log, 1e12).value == pytest.approx(e.dr(log).value, rel=1e-9)
    assert e.dr_os(log, 1e-12).value == pytest.approx(e.dm(log).value, rel=1e-9)
    no_model = replace(log, q_logged=np.zeros(len(log)), q_policy=np.zeros(len(log)))
    assert e.dr(no_model).value == pytest.approx(e.ips(log).value, rel=1e-12)
    assert e.sndr(no_model).value == pytest.approx(e.snips(log).value, rel=1e-12)


def test_ratios_move_with_the_rewards(log: Rounds) -> None:
    """A constant added to all rewards moves self-normalised estimates by it, and IPS by it times the mean weight."""
    moved = replace(log, reward=log.reward + 10)
    assert e.snips(moved).value == pytest.approx(e.snips(log).value + 10, rel=1e-12)
    assert e.ips(moved).value == pytest.approx(e.ips(log).value + 10 * log.weight.mean(), rel=1e-12)
    assert log.reward.min() <= e.snips(log).value <= log.reward.max()


def test_every_order_of_rounds_gives_the_same(log: Rounds) -> None:
    order = np.random.default_rng(0).permutation(len(log))
    arrays = [f.name for f in fields(log) if isinstance(getattr(log, f.name), np.ndarray)]
    shuffled = replace(log, **{name: getattr(log, name)[order] for name in arrays})
    for name, one in e.ESTIMATORS.items():
        arguments = () if one.parameter is None else (1.5,)
        first, second = one.function(log, *arguments), one.function(shuffled, *arguments)
        assert first.value == pytest.approx(second.value, rel=1e-12), name
        assert first.standard_error == pytest.approx(second.standard_error, rel=1e-9), name


def test_rounds_that_depend_on_each_other_widen_the_interval(world: World) -> None:
    log = world.log(np.random.default_rng(0), 200)
    twice = replace(log, **{n: np.repeat(getattr(log, n), 2) for n in ("reward", "pscore", "chosen")})
    pairs = replace(twice, clusters=np.repeat(np.arange(200), 2))
    assert e.ips(pairs).standard_error == pytest.approx(e.ips(log).standard_error, rel=1e-12)
    assert e.ips(twice).standard_error < 0.75 * e.ips(log).standard_error  # the wrong way, seen


def test_a_log_that_was_not_drawn_uniformly_is_no_replay(log: Rounds) -> None:
    assert "replay requires" in e.replay(log).warnings[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda log: e.clipped_ips(log, 0), "clip: expected a number above 0, got 0"),
        (lambda log: e.switch_dr(log, -1), "tau: expected a number of at least 0, got -1"),
        (lambda log: e.switch_dr(log, np.nan), "tau"),
        (lambda log: e.dr_os(log, -2), "lambda"),
    ],
)
def test_parameters_out_of_range(log: Rounds, call: Callable[[Rounds], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call(log)


def test_without_a_model_the_estimators_that_need_one_say_so(world: World) -> None:
    log = world.log(np.random.default_rng(0), 20)
    for one in e.ESTIMATORS.values():
        if one.model:
            with pytest.raises(DataError, match="q_hat"):
                one.function(log, *([] if one.parameter is None else [1.0]))


def test_all_datasets_of_two_rounds_average_to_the_truth() -> None:
    """Brute force: every log of two rounds, by its chance; IPS and DR with any fixed model are unbiased."""
    logging, policy, chance = np.array([0.3, 0.5, 0.2]), np.array([0.6, 0.1, 0.3]), np.array([0.2, 0.7, 0.4])
    mean = dict.fromkeys(("ips", "dr", "dm", "snips"), 0.0)
    outcomes = [(a, r, logging[a] * (chance[a] if r else 1 - chance[a])) for a in range(3) for r in (0, 1)]
    for a, r, p in outcomes:
        for b, s, q in outcomes:
            log = rounds(np.array([r, s], float), np.array([a, b]), logging[[a, b]], policy, np.array([0.9, 0.1, 0.3]))
            for name in mean:
                mean[name] += p * q * getattr(e, name)(log).value
    assert mean["ips"] == pytest.approx(policy @ chance, rel=1e-12)
    assert mean["dr"] == pytest.approx(policy @ chance, rel=1e-12)
    assert abs(mean["dm"] - policy @ chance) > 0.1
    assert abs(mean["snips"] - policy @ chance) > 0.005  # a ratio is biased in two rounds
