"""One analysis: what a log says of a policy, by every estimator that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ncf.data.feedback import LoggedFeedback
from ncf.errors import ConfigError, DataError
from ncf.off_policy import reward_models
from ncf.off_policy.diagnostics import effective_rounds, largest, notes, refuse_low
from ncf.off_policy.estimators import ESTIMAND, ESTIMATORS, Estimator
from ncf.off_policy.per_action import PerAction
from ncf.off_policy.policy_files import Policy, codes_of, places
from ncf.off_policy.reward_models import Log, RewardModel, cross_fitted, folds_of, mrdr_weights
from ncf.off_policy.rounds import Rounds, rounds
from ncf.off_policy.tuning import tuned
from ncf.stats.estimate import Estimate, mean_estimate

ON_POLICY = "on-policy mean"
_FEW, _SHARE = 10, 0.05  # rounds of an action, and what the policy shows of such actions


@dataclass(frozen=True)
class Settings:
    """How to analyse.

    Attributes:
        estimators: names in `ESTIMATORS`.
        model: of the reward.
        folds: the model predicts each fold from the others; 1: it predicts the rounds that it has seen.
        seed: of the folds.
        parameters: values of "clip", "tau" and "lambda", an estimate for each; none: chosen from the data.
        level: nominal coverage of intervals.
        cluster: field of the log by which rounds depend on each other, such as "user"; None: they do not.
        allow_low_ess: show estimates that rest on a handful of rounds.
    """

    estimators: tuple[str, ...] = tuple(ESTIMATORS)
    model: RewardModel = reward_models.tabular
    folds: int = 1
    seed: int = 12345
    parameters: dict[str, list[float]] = field(default_factory=dict)
    level: float = 0.95
    cluster: str | None = None
    allow_low_ess: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError for an unknown estimator."""
        if not self.estimators:
            raise ConfigError(f"estimators: expected some of {', '.join(ESTIMATORS)}, got none")
        for name in self.estimators:
            if name not in ESTIMATORS:
                raise ConfigError(f"estimators: expected some of {', '.join(ESTIMATORS)}, got {name!r}")
        if not 0 < self.level < 1:
            raise ConfigError(f"level: expected a number between 0 and 1, got {self.level:g}")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a log says of a policy.

    Attributes:
        estimates: one for each estimator and parameter.
        rounds: number of rounds, or of lists.
        effective: effective sample size of the weights.
        largest: the largest weight and its share of all.
        notes: what a reader has to know.
        on_policy: mean reward of the evaluated policy's own log, where there is one.
    """

    estimates: list[Estimate]
    rounds: int
    effective: float
    largest: dict[str, float]
    notes: list[str]
    on_policy: Estimate | None = None


def analyse(
    feedback: LoggedFeedback, policy: Policy, settings: Settings, *, action_context: np.ndarray | None = None,
    scores: PerAction | None = None, on_policy: np.ndarray | None = None,
) -> Analysis:  # fmt: skip
    """Return what the log says of the policy.

    Args:
        feedback: with rewards.
        policy: to evaluate, over a catalogue that holds every logged item.
        settings: how.
        action_context: (A, G) features of the policy's items for the reward model, or None.
        scores: a finished model's, over the policy's items, for a reward model that is a function of them; or None.
        on_policy: (M,) rewards of the evaluated policy's own log, or None.

    Raises:
        DataError: the log lacks rewards or an item, the policy is no distribution, too few rounds speak for it.
        ConfigError: a setting is out of range.
    """
    reward = rewards(feedback)
    action, place = codes_of(policy.items, feedback), places(feedback)
    seen = rounds(
        reward, action, feedback.propensity, policy.chances, clusters=clusters(feedback, settings.cluster),
        level=settings.level, label=lambda i: f"{feedback.label}, row {i + 1:,}",
    )  # fmt: skip
    refuse_low(seen.weight, allowed=settings.allow_low_ess)
    log = Log(reward, action, policy.chances.actions, place, feedback.context, action_context, scores=scores)
    said = [*notes(seen.weight, policy.chances, action), *_of_repeats(feedback)]
    if any(ESTIMATORS[name].model for name in settings.estimators) and settings.folds == 1:
        said += _of_few(policy.chances, action)
    return Analysis(
        _estimates(seen, log, policy.chances, settings), len(feedback), effective_rounds(seen.weight),
        largest(seen.weight), said, mean_of(on_policy, settings.level),
    )  # fmt: skip


def rewards(feedback: LoggedFeedback) -> np.ndarray:
    """Return the rewards (N,). Raises DataError if the log waits for them."""
    if feedback.reward is None:
        raise DataError(f"{feedback.label}: expected rewards, found a log without; reward= names their column")
    return feedback.reward


def mean_of(reward: np.ndarray | None, level: float) -> Estimate | None:
    """Return the mean of the rewards (M,) of the policy's own log, None without one."""
    return None if reward is None else mean_estimate(reward, estimand=ESTIMAND, method=ON_POLICY, level=level)


def _estimates(seen: Rounds, log: Log, policy: PerAction, settings: Settings) -> list[Estimate]:
    """Return the estimates in the order asked for; a reward model is fitted only if one is needed."""
    fold, models = folds_of(len(log), settings.folds, settings.seed), {}
    found: list[Estimate] = []
    for name in settings.estimators:
        estimator, kind = ESTIMATORS[name], name == "mrdr"
        if estimator.model and kind not in models:
            weight = mrdr_weights(seen.chosen, seen.pscore) if kind else None
            fitted = cross_fitted(settings.model, replace(log, weight=weight), fold)
            models[kind] = seen.with_model(fitted, policy, log.action, fitted=True)
        found += _of_one(estimator, models[kind] if estimator.model else seen, settings.parameters)
    return found


def _of_one(estimator: Estimator, seen: Rounds, parameters: dict[str, list[float]]) -> list[Estimate]:
    if estimator.parameter is None:
        return [estimator.function(seen)]
    if values := parameters.get(estimator.parameter):
        return [estimator.function(seen, value) for value in values]
    return [tuned(seen, estimator.function, estimator.parameter)]


def clusters(feedback: LoggedFeedback, name: str | None) -> np.ndarray | None:
    """Return the cluster (N,) of each row. Raises ConfigError for a column that is none, or that the log lacks."""
    if name is None:
        return None
    values = getattr(feedback, name, None)
    if values is None or name not in ("user", "slate", "time", "policy"):
        raise ConfigError(f"cluster: expected a column that the log has (user, slate, time, policy), got {name!r}")
    return np.asarray(values)


def _of_repeats(feedback: LoggedFeedback) -> list[str]:
    again = feedback.repeated()
    return [f"{again:,} rows repeat an earlier one in every column; the intervals take them for news"] if again else []


def _of_few(policy: PerAction, action: np.ndarray) -> list[str]:
    counts = np.bincount(policy.row, minlength=len(policy.values))
    few = np.bincount(action, minlength=policy.actions) < _FEW
    share = float(counts @ policy.values[:, few].sum(axis=1)) / len(action)
    if share <= _SHARE:
        return []
    return [
        f"{share:.1%} of what the policy shows has fewer than {_FEW} rounds in the log: a reward model that saw them "
        "(folds=1) makes DR too sure of itself; folds=3 fits it on others"
    ]


def names(text: str | None) -> tuple[str, ...]:
    """Return the names in a list such as [ips,snips] or ips,snips; all estimators for None."""
    if text is None:
        return tuple(ESTIMATORS)
    return tuple(name.strip() for name in text.strip("[]() ").split(",") if name.strip())


def values(text: str | None, name: str) -> Sequence[float]:
    """Return the numbers in a list such as 1,10,inf; none for None. Raises ConfigError for anything else."""
    if text is None:
        return []
    try:
        return [float(value) for value in text.strip("[]() ").split(",")]
    except ValueError:
        raise ConfigError(f"{name}: expected numbers such as 1,10,inf, got {text!r}") from None
