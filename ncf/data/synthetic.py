"""Synthetic interactions of any size, with latent factors, item popularity and user activity.

User u likes the `n_u` items of highest utility `popularity_i + taste * <p_u, q_i> + Gumbel noise`, which is a draw
without replacement from the softmax of the first two terms (Gumbel top-k; Kool et al. 2019, eq. 5). Factors are
small integers, so that inner products are exact in float32 whatever the order of summation.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ncf.core.rng import generator
from ncf.core.roles import MACHINE
from ncf.data.cache import cached
from ncf.data.features import FeatureDigest, FeaturePath, with_features
from ncf.data.interactions import Counts, Interactions, Least, core, digest_of
from ncf.errors import ConfigError

_USERS_AT_ONCE = 256
_LEVELS = 65536  # of the Gumbel noise, which is looked up in a table
_LARGEST_FACTOR = 127
_START, _SPAN = 1_000_000_000, 10 * 365 * 86_400  # seconds: first positives fall in these ten years
_LIFETIME = 90 * 86_400  # seconds: a user's positives fall in this span

Count = Annotated[int, Field(ge=2, le=1_000_000_000)]


def synthetic(
    *,
    root: Annotated[str, MACHINE],
    seed: Annotated[int, Field(ge=0, lt=2**63)],
    users: Count,
    items: Count,
    interactions: Count,
    factors: Annotated[int, Field(ge=1, le=256)],
    taste: Annotated[float, Field(ge=0, le=100)],
    popularity_skew: Annotated[float, Field(ge=0, le=10)],
    activity_skew: Annotated[float, Field(ge=0, le=10)],
    min_user_positives: Least,
    min_item_positives: Least,
    item_features: FeaturePath,
    item_features_sha256: FeatureDigest,
    user_features: FeaturePath,
    user_features_sha256: FeatureDigest,
) -> Interactions:
    """Draw distinct (user, item) pairs with timestamps; items that nobody likes are dropped.

    Raises:
        ConfigError: `interactions` is less than one per user, or more than half of the items per user.
    """
    own = {key: value for key, value in locals().items() if not key.startswith(("min_", "item_f", "user_f"))}
    settings = own | {"root": None}
    if not users <= interactions <= users * (items // 2):
        raise ConfigError(
            f"data.interactions: expected {users} to {users * (items // 2)} (1 to half of the items per user), "
            f"got {interactions}"
        )

    def build() -> Interactions:
        activity = _activity(users, interactions, items // 2, activity_skew, seed)
        popularity = _popularity(items, popularity_skew, seed)
        liked, times = _draw(activity, popularity, factors, taste, seed)
        return _assemble(activity, liked, times, items)

    drawn = cached(Path(root), "synthetic", digest_of(synthetic=settings), build)
    data = core(drawn, min_user_positives, min_item_positives)
    return with_features(data, (item_features, item_features_sha256), (user_features, user_features_sha256))


def _activity(users: int, total: int, most: int, skew: float, seed: int) -> np.ndarray:
    """Return (U,) positives per user: a power of the user's rank, between `least` and `most`, summing to `total`."""
    least = min(3, total // users)
    weights = (np.arange(users) + 1 + 0.01 * users) ** -skew
    low, high = 0.0, most / weights.min()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(weights * middle, least, most).sum() < total else (low, middle)
    counts = np.clip(weights * low, least, most).astype(np.int64)
    counts[np.flatnonzero(counts < most)[: total - counts.sum()]] += 1
    order = torch.randperm(users, generator=generator(seed, "synthetic", epoch=0)).numpy()
    return counts[order]


def _popularity(items: int, skew: float, seed: int) -> np.ndarray:
    """Return (I,) float32 log-weights -skew * log(rank + 10), ranks being a random order from 0."""
    order = torch.randperm(items, generator=generator(seed, "synthetic", epoch=1)).numpy()
    return np.round(-skew * np.log(order + 10.0), 4).astype(np.float32)


def _draw(
    activity: np.ndarray, popularity: np.ndarray, factors: int, taste: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return item and time (N,) of every positive, ordered by user."""
    noise = np.round(-np.log(-np.log((np.arange(_LEVELS) + 0.5) / _LEVELS)), 4).astype(np.float32)
    item_factors = _integers(len(popularity), factors, generator(seed, "synthetic", epoch=2))
    scale = np.float32(taste / (np.sqrt(factors) * _LARGEST_FACTOR * (_LARGEST_FACTOR + 1) / 3))
    liked, times = np.empty(activity.sum(), np.int64), np.empty(activity.sum(), np.int64)
    done = 0
    for block, start in enumerate(range(0, len(activity), _USERS_AT_ONCE)):
        counts = activity[start : start + _USERS_AT_ONCE]
        stream = generator(seed, "synthetic", epoch=3, block=block)
        utility = _integers(len(counts), factors, stream) @ item_factors.T
        utility *= scale
        utility += popularity
        utility += noise[_levels(utility.shape, stream)]
        end = done + counts.sum()
        liked[done:end] = np.concatenate([_highest(row, count) for row, count in zip(utility, counts)])
        first = torch.randint(_START, _START + _SPAN, (len(counts),), generator=stream).numpy()
        times[done:end] = np.repeat(first, counts)
        times[done:end] += torch.randint(0, _LIFETIME, (int(counts.sum()),), generator=stream).numpy()
        done = end
    return liked, times


def _integers(rows: int, factors: int, stream: torch.Generator) -> np.ndarray:
    """Return (rows, factors) float32, integers uniform in [-127, 127]."""
    return torch.randint(-_LARGEST_FACTOR, _LARGEST_FACTOR + 1, (rows, factors), generator=stream).float().numpy()


def _levels(shape: tuple[int, ...], stream: torch.Generator) -> np.ndarray:
    """Return uniform 16-bit integers of this shape, four from each 64 random bits."""
    size = int(np.prod(shape))
    words = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=stream)
    return words.numpy().view(np.uint16)[:size].reshape(shape)


def _highest(utility: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` items of highest utility (I,), in ascending order."""
    threshold = np.partition(utility, len(utility) - count)[len(utility) - count]
    chosen = np.flatnonzero(utility >= threshold)
    surplus = len(chosen) - count
    return np.delete(chosen, np.flatnonzero(utility[chosen] == threshold)[:surplus]) if surplus else chosen


def _assemble(activity: np.ndarray, liked: np.ndarray, times: np.ndarray, items: int) -> Interactions:
    seen = np.zeros(items, bool)
    seen[liked] = True
    users = np.repeat(np.arange(len(activity)), activity)
    content = hashlib.sha256(activity.tobytes() + liked.tobytes())
    content.update(times.tobytes())
    return Interactions(
        users, (np.cumsum(seen) - 1)[liked], np.ones(len(liked), np.float32), times, np.arange(len(activity)),
        np.flatnonzero(seen), None, None, "synthetic", digest_of(synthetic=content.hexdigest()),
        Counts(len(liked), len(activity), items),
    )  # fmt: skip
