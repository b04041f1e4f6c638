"""Predictions of ratings without learning of factors: means, and biases of users and items."""

import numpy as np

from ncf.data.split import Pairs

ROUNDS = 30


def ratings_of(pairs: Pairs) -> np.ndarray:
    """(N,) float64."""
    assert pairs.ratings is not None
    return pairs.ratings.astype(np.float64)


def mean(train: Pairs, asked: Pairs) -> np.ndarray:
    """Predict (N,) float64: the mean rating."""
    return np.full(len(asked), ratings_of(train).mean())


def item_mean(train: Pairs, asked: Pairs) -> np.ndarray:
    """Predict (N,) float64: the item's mean rating, or the mean of all for an item without any."""
    return _means(train.items, train, asked.items)


def user_mean(train: Pairs, asked: Pairs) -> np.ndarray:
    """Predict (N,) float64: the user's mean rating."""
    return _means(train.users, train, asked.users)


def biases(train: Pairs, asked: Pairs, l2: float) -> np.ndarray:
    """Predict (N,) float64: mean + b_u + b_i, fitted in turn, each shrunk as by `l2` ratings of 0 (Koren 2010)."""
    values = ratings_of(train)
    overall = values.mean()
    users = int(max(train.users.max(), asked.users.max())) + 1
    items = int(max(train.items.max(), asked.items.max())) + 1
    user, item = np.zeros(users), np.zeros(items)
    for _ in range(ROUNDS):
        item = _shrunk(train.items, values - overall - user[train.users], items, l2)
        user = _shrunk(train.users, values - overall - item[train.items], users, l2)
    return overall + user[asked.users] + item[asked.items]


def _shrunk(groups: np.ndarray, values: np.ndarray, count: int, l2: float) -> np.ndarray:
    sizes = np.bincount(groups, minlength=count)
    sums = np.bincount(groups, values, minlength=count)
    return np.divide(sums, sizes + l2, out=np.zeros(count), where=sizes > 0)


def _means(groups: np.ndarray, train: Pairs, asked: np.ndarray) -> np.ndarray:
    values = ratings_of(train)
    sizes = np.bincount(groups, minlength=int(asked.max()) + 1)
    sums = np.bincount(groups, values, minlength=len(sizes))
    return np.divide(sums, sizes, out=np.full(len(sizes), values.mean()), where=sizes > 0)[asked]
