"""Thompson sampling: it wins, and would not if all users shared one draw of the items."""

import numpy as np
import pytest
import torch
from toy_worlds import agent, regrets, world

from ncf.errors import ConfigError
from ncf.simulation import Simulation
from ncf.simulation.agents.thompson import Thompson
from ncf.simulation.gaussians import draw
from ncf.stats.paired import wilcoxon

SEEDS = range(6)
RIVALS = ("als", "als_epsilon", "ucb")


class SharedDraw(Thompson):
    """The mistake of the notebook's agent: one draw of the items for all users of a period."""

    def _prepare(self, stream) -> None:
        self._shared = draw(self.posterior.sides[1], stream.block(-1))

    def _explored(self, users, stream):
        return draw(self.posterior.sides[0].rows(users), stream) @ self._shared.T


def small(seed: int):
    """A world that is learned in a second."""
    return world(seed=seed, users=120, items=100)


def fixed(seed: int) -> float:
    """The regret of the best fixed item."""
    environment = small(seed)
    everyone = environment.begin(0)
    alike = environment.mean(everyone, torch.full_like(everyone, environment.best_item()))
    return float((environment.best(everyone) - alike).mean())


@pytest.fixture(scope="module")
def curves() -> dict[str, np.ndarray]:
    """agent -> regret (seeds, periods), 40 periods."""
    return {name: np.array([regrets(name, small(seed), 40, seed) for seed in SEEDS]) for name in ("thompson", *RIVALS)}


@pytest.mark.slow
def test_it_beats_greedy_and_optimistic_agents_and_the_best_fixed_item(curves) -> None:
    """On six seeds, in the last ten periods: less than each in the mean."""
    own = curves["thompson"][:, -10:].mean(1)
    for rival in RIVALS:
        assert own.mean() < curves[rival][:, -10:].mean(), rival
    assert own.mean() < np.mean([fixed(seed) for seed in SEEDS])


@pytest.mark.slow
def test_one_draw_of_the_items_for_all_users_loses(curves) -> None:
    """The wrong agent is seen to lose: more regret on every seed, cumulated; p is the least that six pairs allow."""
    wrong = []
    for seed in SEEDS:
        environment = small(seed)
        right = agent("thompson", environment, seed)
        right.__class__ = SharedDraw
        simulation = Simulation(environment, right, 40)
        simulation.run()
        wrong.append(sum(line["regret"] for line in simulation.history))
    found = wilcoxon(np.array(wrong), curves["thompson"].sum(1))
    assert (found.direction, found.p) == (1, 2 / 2**6)


def test_it_works_where_taste_decides_too() -> None:
    found = regrets("thompson", world("linear_fixed_norm", users=300, items=60), 60)
    assert found[-5:].mean() < found[0] / 10


def test_factors_are_at_most_the_items() -> None:
    with pytest.raises(ConfigError, match=r"agent\.factors: expected at most the 5 items of the environment, got 10"):
        agent("thompson", world(items=5))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_its_mean_regret_over_200_periods_at_full_size() -> None:
    """1000 x 1000, five seeds of the comparison in experiments/bandits: at most .06, and .05 at period 50."""
    found = np.array([regrets("thompson", world(seed=s, users=1000, items=1000), 200, s) for s in range(1000, 1005)])
    assert found.mean() <= 0.06
    assert found[:, 50].mean() <= 0.06
