"""Models of the reward of each action, fitted on the log, if asked for on other rounds than they predict.

All give a `PerAction` of predictions. One model is fitted for each position, as the literature on the Open Bandit
Dataset does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from ncf.core.memory import available
from ncf.errors import ConfigError, DataError
from ncf.off_policy.per_action import PerAction
from ncf.off_policy.regressions import Cells, logistic, ridge

_MOST_OF_MEMORY = 0.5


@dataclass(frozen=True, eq=False)
class Log:
    """What a reward model is fitted on.

    Attributes:
        reward: (N,) float64.
        action: (N,) int in [0, actions).
        actions: A.
        position: (N,) int in [0, P); zeros where there is one position.
        context: (N, F) numbers, or None: nothing is known of a round but its action.
        action_context: (A, G) float64, or None: actions are told apart by one indicator each.
        weight: (N,) by which rounds count in the fit, or None: all alike.
        scores: a finished model's scores, of which the reward is a function, or None.
    """

    reward: np.ndarray
    action: np.ndarray
    actions: int
    position: np.ndarray
    context: np.ndarray | None = None
    action_context: np.ndarray | None = None
    weight: np.ndarray | None = None
    scores: PerAction | None = None

    def __len__(self) -> int:
        """Return the number of rounds."""
        return len(self.reward)


class RewardModel(Protocol):
    """Fits on the rounds of a log where `train` (N,) is true, and predicts every round."""

    def __call__(self, log: Log, train: np.ndarray) -> PerAction:
        """Return predictions (N rounds, A actions)."""


def tabular(log: Log, train: np.ndarray) -> PerAction:
    """Return the mean reward of each action at each position, with one more round of the overall mean: (s + m)/(n + 1).

    Actions that were never shown are predicted at the mean m.
    """
    weight = np.zeros(len(log))
    weight[train] = _relative(log, train)
    cells = log.position * log.actions + log.action
    size = (int(log.position.max(initial=0)) + 1) * log.actions
    count = np.bincount(cells, weight, size)
    total = np.bincount(cells, weight * log.reward, size)
    mean = total.sum() / count.sum()
    return PerAction(((total + mean) / (count + 1)).reshape(-1, log.actions), log.position)


@dataclass(frozen=True)
class Linear:
    """Ridge or logistic regression on context and action, one model a position.

    Attributes:
        fit: of cells and `l2`, `ridge` or `logistic`.
        link: from the linear predictor to the reward.
        l2: penalty on all coefficients but the intercept.
    """

    fit: Callable[[Cells, float], np.ndarray]
    link: Callable[[np.ndarray], np.ndarray]
    l2: float = 1.0

    def __call__(self, log: Log, train: np.ndarray) -> PerAction:
        """Return predictions of every round from a fit on the rounds where `train` (N,) is true."""
        if log.scores is not None:
            return self._of_scores(log, log.scores, train)
        actions, context, own = _features(log)
        whose, place, row = _groups(log, own)
        values = np.empty((len(whose), log.actions))
        for position in np.unique(place):
            beta = self.fit(self._cells(log, context, own, actions, train & (log.position == position)), self.l2)
            inner = context @ beta[: context.shape[1]] + beta[-1]
            mine = place == position
            values[mine] = self.link(inner[whose[mine], None] + actions @ beta[context.shape[1] : -1])
        return PerAction(values, row)

    def _cells(self, log: Log, context: np.ndarray, own: np.ndarray, actions: np.ndarray, rows: np.ndarray) -> Cells:
        if not rows.any():
            raise DataError("reward model: expected rounds at every position in every fold, found none; fewer folds do")
        cell, of = np.unique(own[rows] * log.actions + log.action[rows], return_inverse=True)
        whose, action = np.divmod(cell, log.actions)
        features = np.column_stack([context[whose], actions[action], np.ones(len(cell))])
        return Cells(features, *_sums(log, rows, of.ravel(), len(cell)))

    def _of_scores(self, log: Log, scores: PerAction, train: np.ndarray) -> PerAction:
        """Return the reward as a function of a model's scores, fitted as its only feature."""
        x = scores.at(log.action)[train]
        cells = Cells(np.column_stack([x, np.ones(len(x))]), *_sums(log, train, np.arange(len(x)), len(x)))
        beta = self.fit(cells, self.l2)
        return PerAction(self.link(scores.values * beta[0] + beta[1]), scores.row)


@dataclass(frozen=True)
class ScikitLearn:
    """Any estimator with scikit-learn's `fit` and `predict` (or `predict_proba`, of classes 0 and 1).

    Attributes:
        make: returns a new one for each position and fold, such as `lambda: GradientBoostingRegressor(max_depth=3)`.
    """

    make: Callable[[], Any]

    def __call__(self, log: Log, train: np.ndarray) -> PerAction:
        """Return predictions of every round from a fit on the rounds where `train` (N,) is true."""
        actions, context, own = _features(log)
        whose, place, row = _groups(log, own)
        values = np.empty((len(whose), log.actions))
        for position in np.unique(place):
            rows, mine = train & (log.position == position), place == position
            features = np.column_stack([context[own[rows]], actions[log.action[rows]]])
            weights = {} if log.weight is None else {"sample_weight": _relative(log, rows)}
            model = self.make()
            model.fit(features, log.reward[rows], **weights)
            for action in range(log.actions):
                known = context[whose[mine]]
                x = np.column_stack([known, np.broadcast_to(actions[action], (len(known), actions.shape[1]))])
                values[mine, action] = model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else (
                    model.predict(x))  # fmt: skip
        return PerAction(values, row)


def named(name: str, l2: float = 1.0) -> RewardModel:
    """Return the model that a command names. Raises ConfigError for another name."""
    models: dict[str, RewardModel] = {
        "tabular": tabular,
        "ridge": Linear(ridge, _identity, l2),
        "logistic": Linear(logistic, expit, l2),
    }
    if name not in models:
        raise ConfigError(f"reward_model: expected one of {', '.join(models)}, got {name!r}")
    return models[name]


def folds_of(n: int, folds: int, seed: int = 12345) -> np.ndarray:
    """Return the fold (N,) of each round, those of scikit-learn's KFold(shuffle=True, random_state=seed).

    Raises ConfigError unless there are 1 to N folds, or for a seed that NumPy's legacy generator does not take.
    """
    if not 1 <= folds <= n:
        raise ConfigError(f"folds: expected 1 to {n:,}, got {folds}")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed: expected a whole number from 0 to {2**32 - 1}, got {seed}")
    order = np.arange(n)
    np.random.RandomState(seed).shuffle(order)
    sizes = np.full(folds, n // folds)
    sizes[: n % folds] += 1
    fold = np.empty(n, np.int64)
    fold[order] = np.repeat(np.arange(folds), sizes)
    return fold


def cross_fitted(model: RewardModel, log: Log, fold: np.ndarray) -> PerAction:
    """Return predictions (N rounds, A) of each round by a model that was fitted on the other folds.

    Args:
        model: to fit.
        log: to fit on and to predict.
        fold: (N,) int in [0, K); of one fold alone, the model predicts the rounds that it has seen.
    """
    count = int(fold.max()) + 1
    if count == 1:
        return model(log, np.ones(len(log), bool))
    values, row, offset = [], np.empty(len(log), np.int64), 0
    for number in range(count):
        own = fold == number
        found = model(log, ~own)
        used, index = np.unique(found.row[own], return_inverse=True)  # only what this fold reads is kept
        values.append(found.values[used])
        row[own] = index.ravel() + offset
        offset += len(used)
    return PerAction(np.concatenate(values), row)


def mrdr_weights(chosen: np.ndarray, pscore: np.ndarray) -> np.ndarray:
    """Return weights (N,) pi (1 - p) / p² under which a fit has the least variance of DR (Farajtabar et al. 2018).

    They are exact for deterministic policies; for others obp uses them too. Where all are 0, all rounds count alike.
    """
    weight = chosen * (1 - pscore) / pscore**2
    return weight if weight.any() else np.ones(len(weight))


def distinct(log: Log) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct contexts (C, F) float64, and which one each round has, (N,)."""
    if log.context is None:
        return np.empty((1, 0)), np.zeros(len(log), np.int64)
    rows = np.ascontiguousarray(log.context)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, of = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first].astype(np.float64), of.ravel()


def _relative(log: Log, rows: np.ndarray) -> np.ndarray:
    """Return the weights of `rows` (N,) bool, with mean 1; where none of them weighs anything, all count alike."""
    weight = None if log.weight is None else log.weight[rows]
    return np.ones(int(rows.sum())) if weight is None or not weight.any() else weight / weight.mean()


def _sums(log: Log, rows: np.ndarray, cell: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    weight = _relative(log, rows)
    return np.bincount(cell, weight, cells), np.bincount(cell, weight * log.reward[rows], cells)


def _features(log: Log) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the features of actions (A, F) and of distinct contexts (C, D), and each round's context (N,)."""
    actions = np.eye(log.actions) if log.action_context is None else log.action_context
    return actions, *distinct(log)


def _groups(log: Log, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return context (G,) and position (G,) of every pair of both that occurs, and the pair of each round (N,)."""
    places = log.position.max() + 1
    group, row = np.unique(own * places + log.position, return_inverse=True)
    _refuse_size(len(group) * log.actions)
    return *np.divmod(group, places), row.ravel()


def _refuse_size(numbers: int) -> None:
    if 8 * numbers > _MOST_OF_MEMORY * available():
        raise DataError(
            f"reward model: {numbers:,} predictions need {8 * numbers / 2**30:.1f} GiB, more than there is; "
            "reward_model=tabular needs no context"
        )


def _identity(values: np.ndarray) -> np.ndarray:
    return values
