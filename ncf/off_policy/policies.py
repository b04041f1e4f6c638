"""Policies to be evaluated, as probabilities of each action: uniform, empirical, Thompson sampling, from scores."""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from ncf.errors import ConfigError, DataError
from ncf.off_policy.per_action import PerAction

_AT_ONCE = 10_000  # draws of Thompson sampling


def uniform(n: int, actions: int) -> PerAction:
    """Return the policy that shows each of A actions equally often, in N rounds. Raises ConfigError without any."""
    if actions < 1:
        raise ConfigError(f"actions: expected at least 1, got {actions}")
    return PerAction(np.full((1, actions), 1 / actions), np.zeros(n, np.int64))


def empirical(action: np.ndarray, actions: int, position: np.ndarray | None = None) -> PerAction:
    """Return the policy that shows each action as often as the log does, at each position.

    Args:
        action: (N,) int in [0, A).
        actions: A.
        position: (N,) int in [0, P), or None.
    """
    place = np.zeros(len(action), np.int64) if position is None else position
    counts = np.zeros((int(place.max(initial=0)) + 1, actions))
    np.add.at(counts, (place, action), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return PerAction(np.divide(counts, totals, out=np.full_like(counts, 1 / actions), where=totals > 0), place)


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (G, A) proportional to exp(score / temperature) of scores (G, A); -inf is never shown.

    Raises:
        ConfigError: the temperature is not positive.
        DataError: a score is NaN or inf, or no action of a row may be shown.
    """
    if not 0 < temperature < np.inf:
        raise ConfigError(f"temperature: expected a number above 0, got {temperature}")
    scaled = (_sound(scores) - scores.max(axis=1, keepdims=True)) / temperature
    odds = np.exp(scaled)
    return odds / odds.sum(axis=1, keepdims=True)


def epsilon_greedy(scores: np.ndarray, epsilon: float) -> np.ndarray:
    """Return probabilities (G, A): the best action, else, with probability `epsilon`, any one that may be shown.

    Of equal scores the first counts as the best.

    Raises:
        ConfigError: epsilon is not in [0, 1].
        DataError: as `softmax`.
    """
    if not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon: expected a number in [0, 1], got {epsilon}")
    allowed = _sound(scores) > -np.inf
    chances = epsilon * allowed / allowed.sum(axis=1, keepdims=True)
    chances[np.arange(len(scores)), scores.argmax(axis=1)] += 1 - epsilon
    return chances


def bernoulli_thompson(
    alpha: np.ndarray, beta: np.ndarray, positions: int, *, draws: int = 100_000, seed: int = 12345
) -> np.ndarray:
    """Return how often each action comes first, second, ... of `draws` draws from beta distributions, (A, P).

    The stream is that of obp's BernoulliTS, so that the Open Bandit Dataset's policy has the published probabilities.

    Args:
        alpha: (A,).
        beta: (A,).
        positions: P, at most A.
        draws: of every action.
        seed: of NumPy's legacy generator.

    Raises:
        ConfigError: more positions than actions.
    """
    if not 1 <= positions <= len(alpha):
        raise ConfigError(f"positions: expected 1 to {len(alpha)}, got {positions}")
    stream = np.random.RandomState(seed)
    counts = np.zeros((len(alpha), positions))
    for start in range(0, draws, _AT_ONCE):
        drawn = stream.beta(alpha, beta, size=(min(_AT_ONCE, draws - start), len(alpha)))
        best = np.argsort(drawn, axis=1)[:, ::-1][:, :positions]
        for place in range(positions):
            counts[:, place] += np.bincount(best[:, place], minlength=len(alpha))
    return counts / draws


def without_replacement(chance: np.ndarray, item: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
    """Return the chances (N, K, A) of a list's items given those above them, which are not shown again (Plackett 1975).

    Args:
        chance: (N, K, A), the policy at each position as if nothing had been shown yet.
        item: (N, K), what was shown.
        there: (N, K) bool, positions that a list has; None: all.
    """
    left, lists = chance.copy(), np.arange(len(chance))
    for place in range(1, item.shape[1]):
        for above in range(place):
            left[lists, place, item[:, above]] *= 0 if there is None else ~there[:, above]
        total = left[:, place].sum(axis=1, keepdims=True)
        left[:, place] = np.divide(left[:, place], total, out=np.zeros_like(left[:, place]), where=total > 0)
    return left


def draw_lists(
    scores: np.ndarray, k: int, temperature: float, streams: Sequence[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Return items (B, K) of lists drawn without replacement from softmax(scores / temperature), and propensities.

    The k largest of scores / temperature plus Gumbel noise are such a draw (Kool et al. 2019). The propensity of an
    item is its chance at its position given the items above it: exp(s / t) over the sum of all that were left.

    Args:
        scores: (B, I), -inf for what a list may not show.
        k: items of a list; fewer where no more may be shown: such places have propensity 0.
        temperature: above 0.
        streams: of the noise of each list, B.

    Raises:
        ConfigError: the temperature is not positive.
        DataError: a score is NaN or inf, or a list may show nothing.
    """
    if not 0 < temperature < np.inf:
        raise ConfigError(f"temperature: expected a number above 0, got {temperature}")
    scaled = _sound(scores).astype(np.float64) / temperature
    noisy = scaled + np.array([stream.gumbel(size=scores.shape[1]) for stream in streams])
    k = min(k, scores.shape[1])
    items = np.argsort(-noisy, axis=1, kind="stable")[:, :k]
    propensity, lists = np.zeros(items.shape), np.arange(len(items))
    for place in range(k):
        chosen = scaled[lists, items[:, place]]
        open_ = chosen > -np.inf
        propensity[open_, place] = np.exp(chosen[open_] - logsumexp(scaled[open_], axis=1))
        scaled[lists, items[:, place]] = -np.inf
    return items, propensity


def _sound(scores: np.ndarray) -> np.ndarray:
    highest = scores.max(axis=1)
    if not (sound := np.isfinite(highest)).all():  # NaN if any score is
        row = int(np.flatnonzero(~sound)[0])
        raise DataError(f"scores: expected finite numbers, or -inf for what is never shown, found {highest[row]} in "
                        f"row {row + 1:,}")  # fmt: skip
    return scores
