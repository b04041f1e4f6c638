"""A small world with a known truth, and the published figures of the Open Bandit Dataset."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncf.off_policy import policies
from ncf.off_policy.per_action import PerAction
from ncf.off_policy.rounds import Rounds, rounds

REFERENCE = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class World:
    """Contexts and actions with chances of a reward, a policy that logs and one to evaluate; (C, A) each."""

    chance: np.ndarray
    logging: np.ndarray
    policy: np.ndarray

    @property
    def value(self) -> float:
        """What the policy earns."""
        return float((self.policy * self.chance).sum(axis=1).mean())

    def draw(self, stream: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Contexts, actions, rewards and propensities (n,) of a log."""
        context = stream.integers(0, len(self.chance), n)
        below = self.logging.cumsum(axis=1)[context] < stream.random(n)[:, None]
        action = np.minimum(below.sum(axis=1), self.chance.shape[1] - 1)
        reward = (stream.random(n) < self.chance[context, action]).astype(float)
        return context, action, reward, self.logging[context, action]

    def log(self, stream: np.random.Generator, n: int, q: np.ndarray | None = None) -> Rounds:
        """A log as estimators see it, with predictions q (C, A) for each context."""
        context, action, reward, pscore = self.draw(stream, n)
        q_hat = None if q is None else PerAction(q, context)
        return rounds(reward, action, pscore, PerAction(self.policy, context), q_hat)


@pytest.fixture(scope="session")
def world() -> World:
    stream = np.random.default_rng(4)
    scores = stream.normal(size=(4, 5))
    chance = 1 / (1 + np.exp(0.5 - scores))
    logging = policies.softmax(0.7 * stream.normal(size=(4, 5)), 1.0)
    return World(chance, logging, policies.softmax(scores, 1.0))


@pytest.fixture(scope="session")
def published() -> list[dict[str, Any]]:
    return json.loads((REFERENCE / "obd_off_policy.json").read_text())["cases"]
