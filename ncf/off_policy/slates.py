"""What a policy that shows lists would have earned: the sum of the rewards of a list, from a log of lists.

`N` lists of `K` positions. Weights of a position come in two kinds: *marginal*, of the item at its position whatever
lies above it, and *conditional*, given what lies above it, whose product over positions is the weight of the list.
"""

from dataclasses import dataclass

import numpy as np

from ncf.errors import DataError
from ncf.off_policy.diagnostics import largest
from ncf.stats.estimate import Estimate, mean_estimate

ESTIMAND = "policy value of a list"


@dataclass(frozen=True, eq=False)
class Slates:
    """A log of lists; (N, K) float64 each, a position that a list does not have with reward 0 and weight 1.

    Attributes:
        reward: of each position.
        weight: pi / p of each position.
        level: nominal coverage of intervals.
        clusters: (N,) of any kind, lists that depend on each other; None: none do.

    Raises:
        DataError: shapes that differ, fewer than 2 lists, rewards that are not finite or weights below 0.
    """

    reward: np.ndarray
    weight: np.ndarray
    level: float = 0.95
    clusters: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check the lists."""
        if self.reward.ndim != 2 or self.reward.shape != self.weight.shape or len(self.reward) < 2:
            raise DataError(
                f"lists: expected rewards and weights (N, K) of at least 2 lists, found {self.reward.shape} and "
                f"{self.weight.shape}"
            )
        bad = ~(np.isfinite(self.reward) & np.isfinite(self.weight) & (self.weight >= 0)).all(axis=1)
        if bad.any():
            raise DataError(f"list {int(np.flatnonzero(bad)[0]) + 1:,}: expected finite rewards and weights from 0")

    @property
    def above(self) -> np.ndarray:
        """Products (N, K) of the weights of each position and those above it: the cascade's weights."""
        return np.cumprod(self.weight, axis=1)


def slate_ips(slates: Slates) -> Estimate:
    """Return IPS of whole lists, product of all conditional weights: unbiased whatever users look at."""
    whole = slates.above[:, -1]
    return _estimate(slates, whole * slates.reward.sum(axis=1), whole, "list IPS")


def independent_ips(slates: Slates) -> Estimate:
    """Return the mean of sum_k w_k r_k of marginal weights (Li et al. 2018).

    Right if a position's reward depends on its own item alone.
    """
    return _estimate(slates, (slates.weight * slates.reward).sum(axis=1), slates.weight, "independent IPS")


def reward_interaction_ips(slates: Slates) -> Estimate:
    """Return the mean of sum_k w_1...w_k r_k of conditional weights (McInerney et al. 2020).

    Right if users look from the top, so that a position's reward depends on its item and those above.
    """
    return _estimate(slates, (slates.above * slates.reward).sum(axis=1), slates.above, "reward-interaction IPS")


def cascade_dr(slates: Slates, q_logged: np.ndarray, q_policy: np.ndarray) -> Estimate:
    """Return cascade doubly robust: sum_k w_1...w_k (r_k - Q_k) + w_1...w_{k-1} E_pi[Q_k] (Kiyohara et al. 2022).

    Right where `reward_interaction_ips` is; Q only takes variance away.

    Args:
        slates: with conditional weights.
        q_logged: (N, K), predicted sum of the rewards from position k on, given the items down to k.
        q_policy: (N, K), its mean over the policy's choices at k, given the items above k.

    Raises:
        DataError: another shape, or predictions that are not finite.
    """
    for name, values in (("q_logged", q_logged), ("q_policy", q_policy)):
        if np.shape(values) != slates.reward.shape or not np.isfinite(values).all():
            raise DataError(f"{name}: expected finite predictions {slates.reward.shape}, found {np.shape(values)}")
    before = np.column_stack([np.ones(len(slates.reward)), slates.above[:, :-1]])
    values = (slates.above * (slates.reward - q_logged) + before * q_policy).sum(axis=1)
    return _estimate(slates, values, slates.above, "cascade DR")


def cascade_tables(
    slates: Slates, item: np.ndarray, policy: np.ndarray, there: np.ndarray, train: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `q_logged` and `q_policy` (N, K) of a table by position and item, fitted from the last position up.

    Q_k of an item is the mean of r_k + E_pi[Q_{k+1}] with weights w_1...w_{k-1}, and one more list of the overall mean.
    Where lists above matter to users, the table leaves that out and cascade DR corrects it.

    Args:
        slates: with conditional weights.
        item: (N, K) int in [0, A).
        policy: (N, K, A), probabilities of the policy at each position given what the list shows above.
        there: (N, K) bool, positions that a list has.
        train: (N,) bool, lists to fit on; all are predicted.
    """
    lists, places = item.shape
    actions = policy.shape[2]
    q_logged, q_policy, later = np.zeros((lists, places)), np.zeros((lists, places)), np.zeros(lists)
    before = np.column_stack([np.ones(lists), slates.above[:, :-1]]) * there * train[:, None]
    for k in reversed(range(places)):
        weight = before[:, k] / (before[:, k].sum() / max(1, (there[:, k] & train).sum()) or 1.0)
        target = slates.reward[:, k] + later
        count, total = (np.bincount(item[:, k], v, actions) for v in (weight, weight * target))
        mean = total.sum() / count.sum() if count.sum() else 0.0
        table = (total + mean) / (count + 1)
        q_logged[:, k] = np.where(there[:, k], table[item[:, k]], 0)
        q_policy[:, k] = np.where(there[:, k], policy[:, k] @ table, 0)
        later = q_policy[:, k]
    return q_logged, q_policy


def _estimate(slates: Slates, values: np.ndarray, weight: np.ndarray, method: str) -> Estimate:
    """Return the mean of `values` (N,); the effective size is that of the position where it is least."""
    by_position = weight.reshape(len(values), -1)
    sizes = [float(w.sum() ** 2 / (w @ w)) if w.any() else 0.0 for w in by_position.T]
    worst = by_position[:, int(np.argmin(sizes))]
    found = mean_estimate(
        values, estimand=ESTIMAND, method=method, level=slates.level, clusters=slates.clusters,
        weights=worst if worst.any() else None,
    )  # fmt: skip
    return found.noting(**largest(worst))
