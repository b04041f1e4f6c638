"""Splits and scorers small enough to check by hand."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf import evaluation
from ncf.evaluation import Scorer, Targets


@dataclass(frozen=True)
class Part:
    users: np.ndarray
    items: np.ndarray


@dataclass(frozen=True)
class TinySplit:
    train: Part
    valid: Part
    test: Part
    num_users: int
    num_items: int

    @property
    def user_ids(self) -> np.ndarray:
        return np.array([f"u{index}" for index in range(self.num_users)])

    @property
    def item_ids(self) -> np.ndarray:
        return np.array([f"i{index}" for index in range(self.num_items)])


def part(pairs: list[tuple[int, int]]) -> Part:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Part(users, items)


def split(num_users: int, num_items: int, seed: int = 0) -> TinySplit:
    """Each user: a random order of items, the last is test, the one before validation, some others train."""
    rng = np.random.default_rng(seed)
    train, valid, test = [], [], []
    for user in rng.permutation(num_users):
        order = rng.permutation(num_items).tolist()
        test.append((user, order[0]))
        valid.append((user, order[1]))
        train += [(user, item) for item in order[2 : 2 + rng.integers(1, num_items - 1)]]
    return TinySplit(part(train), part(valid), part(test), num_users, num_items)


def table(logits: Tensor) -> Scorer:
    """A scorer that looks users up in logits (..., U, I)."""
    return lambda users: logits[..., users, :]


def constant(num_users: int, num_items: int, value: float = 0.0) -> Tensor:
    return torch.full((num_users, num_items), value)


def targets_of_test(tiny: TinySplit) -> Targets:
    return evaluation.test_targets(tiny, "cpu")


def targets_of_validation(tiny: TinySplit) -> Targets:
    return evaluation.validation_targets(tiny, "cpu")
