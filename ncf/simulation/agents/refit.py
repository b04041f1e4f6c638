"""Any model of this package as an agent: refitted to all that was rewarded, every few periods."""

import hashlib
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ncf import models
from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError
from ncf.losses import BCE
from ncf.simulation.base import Agent, Recommendations, State, at_random
from ncf.simulation.interactions import Interactions
from ncf.simulation.policies import Epsilon, Temperature, greedy
from ncf.training.batches import Batches
from ncf.training.samplers import uniform
from ncf.training.step import PlainStep


class Refit(Agent):
    """Recommends at random until the first fit, then greedily by scores, or as `epsilon` and `temperature` say.

    Args:
        model: its name and settings, as in conf/model.
        every: periods between two fits.
        threshold: pairs whose mean reward is lower are no positives; None: all are. Models that use ratings get the
            mean reward of each pair.
        epochs: of a model trained by gradient: it is trained anew, by binary cross-entropy and Adam.
        neg_ratio: negatives for each of its positives.
        batch_size: rows of its batches, positives and negatives together.
        lr: its learning rate.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, model: dict[str, Any],
        every: Annotated[int, Field(ge=1)], threshold: float | None, epochs: Annotated[int, Field(ge=1)],
        neg_ratio: Annotated[int, Field(ge=1, le=10_000)], batch_size: Annotated[int, Field(ge=2)],
        lr: Annotated[float, Field(gt=0)], epsilon: Epsilon, temperature: Temperature,
    ) -> None:  # fmt: skip
        super().__init__(num_users, num_items, seed, device)
        self._make: partial[models.Recommender] = component("agent.model", models.MODELS, model)
        if self._make.func is models.PretrainedNeuMF:
            raise ConfigError("agent.model.name: expected a model that needs no other runs, got 'neumf_pretrained'")
        self._every, self._threshold, self._epsilon, self._temperature = every, threshold, epsilon, temperature
        self._epochs, self._neg_ratio, self._batch_size, self._lr = epochs, neg_ratio, batch_size, lr
        self.seen = Interactions(num_users, num_items)
        self.model: models.Recommender | None = None

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        if self.model is None:
            return at_random(users, self.num_items, stream)
        return greedy(self._score(users), stream, self._epsilon, self._temperature)

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self.seen.add(users.cpu(), items.cpu(), rewards.cpu())
        if (self.periods + 1) % self._every == 0:
            with torch.enable_grad():
                self._fit()

    def _fit(self) -> None:
        """Fit the model anew; without a positive, do nothing."""
        split = self._split()
        if not len(split.train):
            return
        model = models.build(self._make, self.num_users, self.num_items, generator(self.seed, "initialisation"))
        if isinstance(model, models.NonGradientRecommender):
            model.fit(split)
        else:
            self._train(model, split.train)
        self.model = model.to(self.device).eval()

    def _train(self, model: models.Recommender, train: Pairs) -> None:
        """Train a model by gradient."""
        assert isinstance(model, models.GradientRecommender)
        model.to(self.device).train()
        sampler = uniform(train, self.num_users, self.num_items, self.device)
        batches = Batches(train, sampler, self._neg_ratio, self._batch_size, self.seed, self.device)
        step = PlainStep(model, BCE(), torch.optim.Adam(model.parameters(), lr=self._lr))
        for epoch in range(1, self._epochs + 1):
            for number, batch in enumerate(batches.epoch(epoch)):
                step.at(epoch, number, batches)
                step(batch)
        step.flush()

    def _split(self) -> Split:
        """Return the positives as a split, all of them in train."""
        rows = self.seen.by_user()
        means = (rows.sums / rows.counts).numpy()
        users = np.repeat(np.arange(self.num_users), rows.starts.diff().numpy())
        kept = np.ones(len(means), bool) if self._threshold is None else means >= self._threshold
        train = Pairs(users[kept], rows.others.numpy()[kept], ratings=means[kept].astype(np.float32))
        none = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), ratings=np.zeros(0, np.float32))
        digest = hashlib.sha256(train.users.tobytes() + train.items.tobytes() + means.tobytes()).hexdigest()
        ids = np.arange(self.num_users), np.arange(self.num_items)
        return Split(
            train, none, none, self.num_users, self.num_items, *ids, None, None, "simulation", digest, in_time=False
        )

    def _score(self, users: Tensor) -> Tensor:
        if self.model is None:
            return torch.zeros(len(users), self.num_items, device=self.device)
        scores = self.model.score(users)
        if not scores.isfinite().all():
            raise DataError(
                f"agent.model: expected finite scores of every item, got NaN or inf in period {self.periods}"
            )
        return scores

    def _state(self) -> State:
        fitted = {} if self.model is None else self.model.state_dict()
        return {**self.seen.state(), **{f"model.{name}": value for name, value in fitted.items()}}

    def _load(self, state: State) -> None:
        self.seen.load({name: state[name].cpu() for name in ("keys", "counts", "sums", "totals")})
        fitted = {
            name.removeprefix("model."): value.cpu() for name, value in state.items() if name.startswith("model.")
        }
        if not fitted:
            return
        model = models.build(self._make, self.num_users, self.num_items, generator(self.seed, "initialisation"))
        if isinstance(model, models.NonGradientRecommender):
            model.restore(fitted)
        else:
            model.load_state_dict(fitted)
        self.model = model.to(self.device).eval()
