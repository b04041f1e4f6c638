"""The notebook's Bayesian agent as it worked: one interaction after the other, with its own order of draws.

Written anew from its description, for two purposes: to check `ncf.simulation.agents.bayes_original`, which does the
same in batches, and to say how much faster that is. `python -m experiments.bandits.sequential` prints its first periods
in the notebook's own world, numpy.random.seed(42), 1000 x 1000.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch

from ncf.simulation import Environment, Recommendations
from ncf.simulation.original import OriginalWorld


class SequentialBayes:
    """Gaussians of users (side 0) and items (side 1), updated by `n_samples` draws of the other side's at a time."""

    def __init__(
        self, num_users: int, num_items: int, random: np.random.RandomState, factors: int = 10, alpha: float = 10.0,
        beta: float = 0.1, n_samples: int = 1000,
    ) -> None:  # fmt: skip
        self._random, self._beta, self._samples = random, beta, n_samples
        sizes = num_users, num_items
        self.means = [np.zeros((size, factors)) for size in sizes]
        self.precisions = [np.tile(np.eye(factors) / alpha, (size, 1, 1)) for size in sizes]
        self.covariances = [np.tile(np.eye(factors) * alpha, (size, 1, 1)) for size in sizes]

    def recommend(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return items (B,) and what is predicted of them (B,) for users (B,)."""
        drawn = [
            np.stack([self._draw(side, row, 1)[0] for row in rows])
            for side, rows in enumerate((users, range(len(self.means[1]))))
        ]
        scores = drawn[0] @ drawn[1].T
        return scores.argmax(1), scores.max(1)

    def learn(self, users: np.ndarray, items: np.ndarray, rewards: np.ndarray) -> None:
        """Learn from users, items and rewards (B,), one after the other."""
        for user, item, reward in zip(users, items, rewards, strict=True):
            self._update(0, user, self._draw(1, item, self._samples), reward)
            self._update(1, item, self._draw(0, user, self._samples), reward)

    def _draw(self, side: int, row: int, count: int) -> np.ndarray:
        return self._random.multivariate_normal(self.means[side][row], self.covariances[side][row], count)

    def _update(self, side: int, row: int, draws: np.ndarray, reward: float) -> None:
        old = self.precisions[side][row]
        new = old + self._beta * draws.T @ draws
        covariance = np.linalg.inv(new)
        rewards = np.repeat(reward, len(draws))
        self.means[side][row] = covariance @ (old @ self.means[side][row] + self._beta * draws.T @ rewards)
        self.precisions[side][row], self.covariances[side][row] = new, covariance


def simulated(
    environment: Environment, agent: SequentialBayes, periods: int, alone: bool = False
) -> Iterator[dict[str, float]]:
    """Yield the regret, mse and seconds of each period; `alone`: ALS takes no draws from the same stream."""
    for period in range(periods):
        users = environment.begin(period)
        if not period and not alone and isinstance(environment, OriginalWorld):
            environment.stream().items(len(users), environment.num_items)  # type: ignore[attr-defined]  of ALS
        begun = time.perf_counter()
        items, predicted = agent.recommend(users.numpy())
        seconds = time.perf_counter() - begun
        found = Recommendations(torch.from_numpy(items), torch.from_numpy(predicted), torch.from_numpy(predicted))
        rewards, mean = environment.step(users, found.items), environment.mean(users, found.items)
        begun = time.perf_counter()
        agent.learn(users.numpy(), items, rewards.numpy())
        yield {
            "regret": float((environment.best(users) - mean).mean()),
            "mse": float((found.predicted - mean).square().mean()),
            "distinct_items": len(np.unique(items)),
            "seconds": seconds + time.perf_counter() - begun,
        }


def original(periods: int, size: int = 1000, seed: int = 42) -> Iterator[dict[str, float]]:
    """Yield the periods of the notebook's experiment: its world, its agent, one stream."""
    world = OriginalWorld(seed, None, "cpu", users=size, items=size, features=10, noise=0.1)
    legacy = world.stream().legacy  # type: ignore[attr-defined]
    yield from simulated(world, SequentialBayes(size, size, legacy), periods)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, line in enumerate(original(5)):
        print(number, *(f"{name} {value:.6f}" for name, value in line.items()))
