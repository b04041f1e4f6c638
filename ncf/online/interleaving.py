"""Interleaving: show each session one list made of two or more rankings, and see whose items are clicked.

Rankings are integer arrays (R, L): the list of each of R sessions, best first, each item once, -1 where a ranker has no
further item. All sessions are drawn at once; what a list needs to be credited by is returned with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncf.stats.checks import Array, StatisticsError, positive, whole


@dataclass(frozen=True)
class Interleaved:
    """Lists of R sessions.

    Attributes:
        items: (R, k), -1 where the rankers have no further item.
        credit: (R, k, M), what a click at a position is worth to each of M rankers.
        method: how the lists were made.
    """

    items: Array
    credit: Array
    method: str


def team_draft(rankings: Sequence[Array], k: int, rng: np.random.Generator) -> Interleaved:
    """Return lists in which rankers take turns, in a new random order each round, to add their best item left.

    A click is worth 1 to the ranker that added the item. For two rankers, team draft (Radlinski, Kurup and Joachims
    2008, algorithm 2); for more, team-draft multileaving (Schuth et al. 2014). The order has to be drawn anew each
    round: with one ranker always first, clicks that fall with position prefer it. An item that several rankers show is
    credited to the one that took it: on abc against bca, clicks on c alone prefer neither.

    Args:
        rankings: (R, L) of each of M >= 2 rankers.
        k: length of the lists.
        rng: draws the orders.

    Raises StatisticsError for rankings that do not fit together or hold an item twice.
    """
    stacked, k = _checked(rankings), whole(k, "k", 1)
    m, sessions, _ = stacked.shape
    items, teams = np.full((sessions, k), -1), np.zeros((sessions, k), int)
    open_ = _Open(stacked)
    order = np.zeros((sessions, m), int)
    filled = np.zeros(sessions, int)
    for turn in range(m * k):  # a ranker without items passes
        if turn % m == 0:
            order = rng.permuted(np.broadcast_to(np.arange(m), (sessions, m)), axis=1)
        team = order[:, turn % m]
        chosen = np.where(filled < k, open_.best(team), -1)
        rows = np.flatnonzero(chosen >= 0)
        items[rows, filled[rows]], teams[rows, filled[rows]] = chosen[rows], team[rows]
        filled[rows] += 1
        open_.take(chosen)
        if (filled == k).all():
            break
    credit = np.eye(m)[teams] * (items >= 0)[..., None]
    return Interleaved(items, credit, "team draft")


def balanced(a: Array, b: Array, k: int, rng: np.random.Generator) -> Interleaved:
    """Return lists that agree, as far as possible, with both rankings at every depth (Joachims 2002).

    `credit` holds for each position whether the item is in the part of each ranking that could have been seen; use
    `balanced_preference`, since the credit of a click depends on the lowest one. Biased: on abcd against bcda, clicks
    at random prefer the second (Radlinski and Craswell 2013).

    Args:
        a: (R, L), the first ranking.
        b: (R, L), the second.
        k: length of the lists.
        rng: draws who begins, once a session.

    Raises StatisticsError as `team_draft`.
    """
    stacked, k = _checked([a, b]), whole(k, "k", 1)
    sessions = stacked.shape[1]
    first = rng.integers(0, 2, sessions)
    depth = np.zeros((2, sessions), int)  # how far each ranking has been read
    items, filled = np.full((sessions, k), -1), np.zeros(sessions, int)
    everyone = np.arange(sessions)
    length = stacked.shape[2]
    for _ in range(2 * length):
        turn = np.where(depth[0] == depth[1], first, (depth[1] < depth[0]).astype(int))
        at = depth[turn, everyone]
        able = (filled < k) & (at < length)
        chosen = np.where(able, stacked[turn, everyone, np.minimum(at, length - 1)], -1)
        new = able & (chosen >= 0) & ~(items == chosen[:, None]).any(1)
        items[everyone[new], filled[new]] = chosen[new]
        filled += new
        depth[turn, everyone] += able
    ranks = np.stack([_ranks(items, ranking) for ranking in stacked], -1)
    return Interleaved(items, ranks, "balanced")


def balanced_preference(lists: Interleaved, clicks: Array) -> Array:
    """Return clicks of the second ranking minus the first's (R,), among the items above the lowest clicked one.

    With c the lowest clicked item, the rankings are compared on their tops of the length at which c first appears in
    one of them (Joachims 2002). Raises StatisticsError for clicks of another shape, or lists that are not balanced.
    """
    if lists.method != "balanced":
        raise StatisticsError(f"balanced preference: expected balanced lists, got {lists.method}")
    clicked = _clicks(lists, clicks) > 0
    lowest = np.where(clicked.any(1), clicked.shape[1] - 1 - clicked[:, ::-1].argmax(1), 0)
    depth = lists.credit[np.arange(len(clicked)), lowest].min(-1)
    within = lists.credit <= depth[:, None, None]
    hits = (clicked[..., None] & within).sum(1)
    return np.asarray(hits[:, 1] - hits[:, 0], np.float64)


def probabilistic(a: Array, b: Array, k: int, rng: np.random.Generator, *, tau: float = 3.0) -> Interleaved:
    """Return lists drawn position by position from either ranking's softmax over ranks, 1 / rank^tau.

    A click is worth to each ranker the probability that it had drawn the item, given the list: the credit is averaged
    over all assignments that could have made it (Hofmann, Whiteson and de Rijke 2011, equation 4).

    Args:
        a: (R, L), the first ranking.
        b: (R, L), the second.
        k: length of the lists.
        rng: draws coins and items.
        tau: decay; large values all but forbid items from further down.

    Raises StatisticsError as `team_draft`, or for a tau that is not positive.
    """
    stacked, k, tau = _checked([a, b]), whole(k, "k", 1), positive(tau, "tau")
    pool = np.sort(np.concatenate(list(stacked), axis=1), axis=1)
    pool[:, 1:][pool[:, 1:] == pool[:, :-1]] = -1  # each item once
    weights = np.stack([_rank_weights(pool, ranking, tau) for ranking in stacked])  # (2, R, P)
    sessions = len(pool)
    items, credit = np.full((sessions, k), -1), np.zeros((sessions, k, 2))
    everyone = np.arange(sessions)
    for at in range(k):
        totals = weights.sum(-1)
        shares = weights / np.where(totals > 0, totals, 1)[..., None]
        coin = rng.integers(0, 2, sessions)
        coin = np.where(totals[coin, everyone] > 0, coin, 1 - coin)
        chances = shares[coin, everyone]
        column = _drawn(chances, rng)
        found = chances.sum(1) > 0
        items[:, at] = np.where(found, pool[everyone, column], -1)
        both = shares[:, everyone, column]
        credit[:, at] = (np.where(found, both, 0) / np.where(found, both.sum(0), 1)).T
        weights[:, everyone, column] = 0
    return Interleaved(items, credit, "probabilistic")


def preference(lists: Interleaved, clicks: Array) -> Array:
    """Return the credit (R, M) of each ranker from clicks (R, k), counts of clicks or 0 and 1.

    Raises StatisticsError for clicks of another shape, negative ones, or balanced lists.
    """
    if lists.method == "balanced":
        raise StatisticsError("preference: balanced lists are credited by balanced_preference")
    return np.asarray(np.einsum("rk,rkm->rm", _clicks(lists, clicks), lists.credit))


class _Open:
    """What each ranker can still add to each list."""

    def __init__(self, rankings: Array) -> None:
        self._rankings = rankings
        self._taken = rankings < 0
        self._everyone = np.arange(rankings.shape[1])

    def best(self, team: Array) -> Array:
        """Return the best item left to the ranker `team` (R,) of each list, -1 for none."""
        taken = self._taken[team, self._everyone]
        at = taken.argmin(1)
        found = self._rankings[team, self._everyone, at]
        return np.where(taken[self._everyone, at], -1, found)

    def take(self, items: Array) -> None:
        """Take `items` (R,) away from every ranker."""
        self._taken |= self._rankings == items[None, :, None]


def _checked(rankings: Sequence[Array]) -> Array:
    arrays = [np.asarray(ranking) for ranking in rankings]
    shapes = {array.shape for array in arrays}
    if len(arrays) < 2 or len(shapes) != 1 or arrays[0].ndim != 2 or not arrays[0].size:
        raise StatisticsError(f"rankings: expected two or more of one shape (sessions, length), got {sorted(shapes)}")
    if any(array.dtype.kind not in "iu" for array in arrays):
        raise StatisticsError("rankings: expected whole numbers that stand for items")
    stacked = np.stack(arrays).astype(np.int64)
    ordered = np.sort(stacked, axis=-1)
    if ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)).any():
        raise StatisticsError("rankings: expected each item once a list")
    return stacked


def _clicks(lists: Interleaved, clicks: Array) -> Array:
    found = np.asarray(clicks, np.float64)
    if found.shape != lists.items.shape or not np.isfinite(found).all() or (found < 0).any():
        raise StatisticsError(f"clicks: expected counts of shape {lists.items.shape}, got {found.shape}")
    return found


def _ranks(items: Array, ranking: Array) -> Array:
    """Return the position (R, k) of each item in a ranking (R, L), L where it is not in it."""
    same = items[:, :, None] == ranking[:, None, :]
    return np.where(same.any(-1) & (items >= 0), same.argmax(-1), ranking.shape[1])


def _rank_weights(pool: Array, ranking: Array, tau: float) -> Array:
    ranks = _ranks(pool, ranking)
    return np.where(ranks < ranking.shape[1], (1.0 + ranks) ** -tau, 0.0)


def _drawn(chances: Array, rng: np.random.Generator) -> Array:
    """Return a column (R,) for each row of chances (R, P), with these probabilities."""
    edges = np.cumsum(chances, axis=1)
    at = (rng.random(len(chances))[:, None] * edges[:, -1:] >= edges).sum(1)
    return np.minimum(at, chances.shape[1] - 1)
