"""In simulation, where the truth is known: what is unbiased is, and intervals cover; a wrong method is seen to fail."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from ncf.off_policy import estimators as e
from ncf.off_policy import reward_models
from ncf.off_policy.per_action import PerAction
from ncf.off_policy.reward_models import Log, cross_fitted, folds_of
from ncf.off_policy.rounds import Rounds, rounds
from ncf.stats.estimate import Estimate

from .conftest import World

RUNS, N = 2000, 400


@dataclass
class Outcome:
    """What an estimator said in each of the runs, (RUNS,)."""

    value: np.ndarray
    covered: np.ndarray

    def bias(self, truth: float) -> float:
        """Mean error in Monte Carlo standard errors."""
        return float((self.value.mean() - truth) / (self.value.std(ddof=1) / np.sqrt(len(self.value))))

    def coverage(self) -> float:
        """Departure of the coverage from 0.95 in Monte Carlo standard errors."""
        return float((self.covered.mean() - 0.95) / np.sqrt(0.95 * 0.05 / len(self.covered)))


def simulated(
    world: World, functions: dict[str, Callable[[Rounds], Estimate]], runs: int = RUNS, folds: int = 0
) -> dict[str, Outcome]:
    """The outcomes of estimators over logs of N rounds."""
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in functions}
    stream = np.random.default_rng(17)
    for _ in range(runs):
        log = drawn(world, stream, folds)
        for name, function in functions.items():
            one = function(log)
            found[name].append((one.value, one.low <= world.value <= one.high))
    return {name: Outcome(*map(np.array, zip(*rows))) for name, rows in found.items()}


def drawn(world: World, stream: np.random.Generator, folds: int) -> Rounds:
    """A log with a fixed model of the reward that is wrong, or one fitted on it with this many folds."""
    if not folds:
        return world.log(stream, N, world.chance**2)
    context, action, reward, pscore = world.draw(stream, N)
    policy = PerAction(world.policy, context)
    log = Log(reward, action, world.chance.shape[1], np.zeros(N, np.int64))
    q_hat = cross_fitted(reward_models.tabular, log, folds_of(N, folds))
    return rounds(reward, action, pscore, policy, q_hat, fitted=True)


@pytest.fixture(scope="module")
def fixed(world: World) -> dict[str, Outcome]:
    return simulated(
        world, {"replay": e.replay, "ips": e.ips, "snips": e.snips, "dm": e.dm, "dr": e.dr, "sndr": e.sndr}
    )


def test_the_world_is_one_where_the_promise_holds(world: World) -> None:
    sizes = [e.ips(world.log(np.random.default_rng(seed), N)).effective_n for seed in range(50)]
    assert min(sizes) >= 100


@pytest.mark.parametrize("name", ["ips", "dr"])
def test_ips_and_dr_are_unbiased(name: str, fixed: dict[str, Outcome], world: World) -> None:
    assert abs(fixed[name].bias(world.value)) < 3


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "sndr"])
def test_intervals_cover(name: str, fixed: dict[str, Outcome]) -> None:
    assert abs(fixed[name].coverage()) < 3


@pytest.mark.parametrize("name", ["replay", "dm"])
def test_the_naive_mean_and_a_wrong_model_are_seen_to_fail(name: str, fixed: dict[str, Outcome], world: World) -> None:
    assert abs(fixed[name].bias(world.value)) > 10
    assert fixed[name].coverage() < -10


@pytest.mark.slow
def test_a_model_of_the_same_log_is_counted_in_the_interval(world: World) -> None:
    """Of a table by action, which leaves the context out: DR covers, held out or not; without weights DM does not."""
    for folds in (1, 2):
        found = simulated(world, {"dr": e.dr, "sndr": e.sndr}, folds=folds)
        assert abs(found["dr"].coverage()) < 3
        assert abs(found["sndr"].coverage()) < 3
        assert abs(found["dr"].bias(world.value)) < 3


def test_where_the_table_is_right_dm_and_switch_cover_too_and_without_the_models_noise_they_do_not() -> None:
    """One context: the table is the whole truth, and all of DM's error is the table's."""
    stream = np.random.default_rng(5)
    chance, logging, policy = (stream.dirichlet(np.full(5, 3.0), 1) for _ in range(3))
    alone = World(np.clip(2 * chance, 0.1, 0.9), logging, policy)
    found = simulated(
        alone,
        {
            "dm": e.dm,
            "switch": lambda log: e.switch_dr(log, 1.0),
            "shrunken": lambda log: e.dr_os(log, 2.0),
            "naive": lambda log: e.dm(replace(log, fitted=False)),
        },
        runs=800,
        folds=1,
    )
    assert all(abs(found[name].coverage()) < 3 for name in ("dm", "switch", "shrunken"))
    assert found["naive"].coverage() < -50
