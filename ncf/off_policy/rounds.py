"""What every estimator needs of a log: a few numbers for each round, whatever the policy and the reward model."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ncf.errors import DataError
from ncf.off_policy.per_action import PerAction, expected, per_action

_ONE = 1e-5  # by which probabilities may miss a sum of one: float32 does
_LARGEST = 1e100  # weight, whose square still is a number


@dataclass(frozen=True, eq=False)
class Rounds:
    """A log seen by a policy to be evaluated; (N,) float64 each.

    Attributes:
        reward: what came back.
        pscore: probability of the logged action under the policy that logged.
        chosen: and under the policy to be evaluated.
        q_logged: the reward model's prediction for the logged action, or None without a model.
        q_policy: and its mean over the actions of the policy to be evaluated.
        fitted: whether the model was fitted on these rounds, so that its noise counts towards the error.
        clusters: (N,) of any kind, rounds that depend on each other (a user's, a list's); None: none do.
        level: nominal coverage of intervals.
    """

    reward: np.ndarray
    pscore: np.ndarray
    chosen: np.ndarray
    q_logged: np.ndarray | None = None
    q_policy: np.ndarray | None = None
    fitted: bool = False
    clusters: np.ndarray | None = None
    level: float = 0.95

    def __len__(self) -> int:
        """Return the number of rounds."""
        return len(self.reward)

    @property
    def weight(self) -> np.ndarray:
        """Importance weights (N,): how much more often the evaluated policy would have done the same."""
        return self.chosen / self.pscore

    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `q_logged` and `q_policy`. Raises DataError without a reward model."""
        if self.q_logged is None or self.q_policy is None:
            raise DataError("q_hat: expected a reward model's predictions, which this estimator needs, found none")
        return self.q_logged, self.q_policy

    def with_model(self, q_hat: PerAction, policy: PerAction, action: np.ndarray, *, fitted: bool) -> "Rounds":
        """Return the rounds with a reward model's predictions."""
        return replace(self, q_logged=q_hat.at(action), q_policy=expected(policy, q_hat), fitted=fitted)


def rounds(
    reward: np.ndarray, action: np.ndarray, pscore: np.ndarray, action_dist: np.ndarray | PerAction,
    q_hat: np.ndarray | PerAction | None = None, position: np.ndarray | None = None, *, fitted: bool = False,
    clusters: np.ndarray | None = None, level: float = 0.95, label: Callable[[int], str] | None = None,
) -> Rounds:  # fmt: skip
    """Return what the estimators need, after checking it.

    Args:
        reward: (N,).
        action: (N,) int in [0, A).
        pscore: (N,) in (0, 1], of the logged action under the policy that logged.
        action_dist: probabilities of the policy to be evaluated: (A,), (A, P), (N, A), (N, A, P) or a `PerAction`.
        q_hat: predicted rewards, likewise; None: estimators that need them are out.
        position: (N,) int in [0, P), or None.
        fitted: whether `q_hat` comes from these very rounds.
        clusters: (N,), rounds that depend on each other, or None.
        level: nominal coverage of intervals.
        label: names round i in errors; None: "row i + 1".

    Raises:
        DataError: lengths differ, a reward is not finite, a propensity is not in (0, 1], an action is out of range, or
            a policy has a negative probability or does not sum to one; names the first round.
    """
    n, named = len(reward), label or (lambda i: f"row {i + 1:,}")
    reward, pscore = np.asarray(reward, np.float64), np.asarray(pscore, np.float64)
    action = np.asarray(action)
    for name, values in (("reward", reward), ("action", action), ("pscore", pscore)):
        if values.shape != (n,):
            raise DataError(f"{name}: expected one for each of {n:,} rounds, found shape {values.shape}")
    if n < 2:
        raise DataError(f"expected at least 2 rounds, found {n}")
    _refuse(~np.isfinite(reward), reward, "a finite reward", named)
    _refuse(~((pscore > 0) & (pscore <= 1)), pscore, "a propensity above 0 and at most 1", named)
    policy = distributions(per_action(action_dist, n, position), named)
    if action.dtype.kind not in "iu":
        raise DataError(f"action: expected whole numbers, found {action.dtype}")
    _refuse((action < 0) | (action >= policy.actions), action, f"an action in [0, {policy.actions})", named)
    chosen = policy.at(action)
    _refuse(chosen > _LARGEST * pscore, pscore, f"a propensity that gives a weight of at most {_LARGEST:g}", named)
    found = Rounds(reward, pscore, chosen, clusters=clusters, level=level)
    if q_hat is None:
        return found
    model = per_action(q_hat, n, position)
    if model.actions != policy.actions:
        raise DataError(f"q_hat: expected predictions for {policy.actions} actions, found {model.actions}")
    if not np.isfinite(model.values).all():
        raise DataError("q_hat: expected finite predictions, found NaN or inf")
    return found.with_model(model, policy, action, fitted=fitted)


def distributions(policy: PerAction, named: Callable[[int], str] | None = None) -> PerAction:
    """Return `policy`. Raises DataError, naming the first round, unless its rows are probabilities that sum to one."""
    named = named or (lambda i: f"row {i + 1:,}")
    low = policy.values.min(axis=1)
    _refuse(~(low >= 0)[policy.row], low[policy.row], "a policy without negative probabilities", named)
    total = policy.values.sum(axis=1)
    _refuse(~(np.abs(total - 1) <= _ONE)[policy.row], total[policy.row], "a policy that sums to 1", named)
    return policy


def _refuse(bad: np.ndarray, values: np.ndarray, wanted: str, named: Callable[[int], str]) -> None:
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise DataError(f"{named(i)}: expected {wanted}, found {values[i]:.12g}")
