"""Estimators of what a policy would have earned, from a log of another.

Each is a pure function of `Rounds`; its estimate carries one influence value a round, from which the interval follows.
`r` reward, `w` = pi(a) / p importance weight, `q` the reward model, `q_pi` its mean over the policy's actions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ncf.errors import ConfigError
from ncf.off_policy.diagnostics import largest
from ncf.off_policy.rounds import Rounds
from ncf.stats.estimate import Estimate, estimate, mean_estimate

ESTIMAND = "policy value"
_BIAS = "its bias is not in the interval"


def replay(rounds: Rounds) -> Estimate:
    """Return the mean reward of the rounds in which the policy agrees with the log (Li et al. 2011).

    A stochastic policy agrees in part, by its probability. Right only if the log was drawn uniformly at random.
    """
    low, high = rounds.pscore.min(), rounds.pscore.max()
    uneven = f"the log is not uniform (propensities from {low:.3g} to {high:.3g}), which replay requires: biased"
    return _ratio(rounds, rounds.chosen, "replay").noting(*([uneven] if high > low * (1 + 1e-9) else []))


def ips(rounds: Rounds) -> Estimate:
    """Return the mean of w r, inverse propensity scoring (Horvitz and Thompson 1952). Unbiased."""
    return _mean(rounds, rounds.weight * rounds.reward, "IPS")


def clipped_ips(rounds: Rounds, clip: float) -> Estimate:
    """Return the mean of min(w, clip) r (Ionides 2008): less variance, and biased downwards for positive rewards.

    Raises ConfigError unless `clip` is positive.
    """
    _least(clip, "clip", open_=True)
    found = _mean(rounds, np.minimum(rounds.weight, clip) * rounds.reward, f"clipped IPS ({clip:.4g})")
    cut = float((rounds.weight > clip).mean())
    return found.noting(*_biased(cut, "clips"), clip=clip)


def snips(rounds: Rounds) -> Estimate:
    """Return sum w r / sum w, self-normalised IPS (Swaminathan and Joachims 2015): bounded by the rewards."""
    return _ratio(rounds, rounds.weight, "SNIPS")


def dm(rounds: Rounds) -> Estimate:
    """Return the mean of q_pi, the direct method: as good as the reward model is right."""
    return _switched(rounds, np.zeros(len(rounds)), "DM").noting(f"rests on the reward model alone: {_BIAS}")


def dr(rounds: Rounds) -> Estimate:
    """Return the mean of q_pi + w (r - q), doubly robust (Dudík et al. 2011). Unbiased where q is of other rounds."""
    return _switched(rounds, rounds.weight, "DR")


def sndr(rounds: Rounds) -> Estimate:
    """Return mean q_pi + sum w (r - q) / sum w, self-normalised doubly robust (Thomas and Brunskill 2016)."""
    q_logged, q_policy = rounds.model()
    weight = rounds.weight
    residual = rounds.reward - q_logged
    correction = _divided(weight @ residual, weight.sum())
    influence = q_policy + _divided(weight, weight.mean()) * (residual - correction)
    return _estimate(rounds, float(q_policy.mean() + correction), influence, "SNDR")


def switch_dr(rounds: Rounds, tau: float) -> Estimate:
    """Return DR that corrects only rounds of weight at most `tau` (Wang et al. 2017): 0 is DM, infinity DR.

    Raises ConfigError unless `tau` is at least 0.
    """
    _least(tau, "tau")
    weight = rounds.weight
    found = _switched(rounds, np.where(weight <= tau, weight, 0), f"SWITCH-DR (tau {tau:.4g})")
    return found.noting(*_biased(float((weight > tau).mean()), "leaves to the model"), tau=tau)


def dr_os(rounds: Rounds, lambda_: float) -> Estimate:
    """Return DR with optimistic shrinkage, w -> lambda w / (w² + lambda) (Su et al. 2020): 0 is DM, infinity DR.

    Raises ConfigError unless `lambda_` is at least 0.
    """
    _least(lambda_, "lambda")
    weight = rounds.weight
    shrunken = weight if np.isinf(lambda_) else _divided(lambda_ * weight, weight**2 + lambda_)
    found = _switched(rounds, shrunken, f"DRos (lambda {lambda_:.4g})")
    return found.noting(*([] if np.isinf(lambda_) else [f"shrinks all weights: {_BIAS}"]), **{"lambda": lambda_})


def mrdr(rounds: Rounds) -> Estimate:
    """Return DR of rounds whose model was fitted by `reward_models.mrdr_weights` (Farajtabar et al. 2018)."""
    return _switched(rounds, rounds.weight, "MRDR")


@dataclass(frozen=True)
class Estimator:
    """An estimator as the command names it.

    Attributes:
        function: of the rounds, and of the parameter if there is one.
        model: whether it needs a reward model.
        parameter: the option that holds its threshold or shrinkage; None: it has none.
    """

    function: Callable[..., Estimate]
    model: bool
    parameter: str | None = None


ESTIMATORS = {
    "replay": Estimator(replay, False),
    "ips": Estimator(ips, False),
    "clipped_ips": Estimator(clipped_ips, False, "clip"),
    "snips": Estimator(snips, False),
    "dm": Estimator(dm, True),
    "dr": Estimator(dr, True),
    "sndr": Estimator(sndr, True),
    "switch_dr": Estimator(switch_dr, True, "tau"),
    "dr_os": Estimator(dr_os, True, "lambda"),
    "mrdr": Estimator(mrdr, True),
}


def _mean(rounds: Rounds, values: np.ndarray, method: str) -> Estimate:
    found = mean_estimate(
        values, estimand=ESTIMAND, method=method, level=rounds.level, clusters=rounds.clusters, weights=rounds.weight
    )
    return found.noting(**largest(rounds.weight))


def _estimate(rounds: Rounds, value: float, influence: np.ndarray, method: str) -> Estimate:
    found = estimate(
        value, influence, estimand=ESTIMAND, method=method, level=rounds.level, clusters=rounds.clusters,
        weights=rounds.weight,
    )  # fmt: skip
    return found.noting(**largest(rounds.weight))


def _ratio(rounds: Rounds, weight: np.ndarray, method: str) -> Estimate:
    """Return sum w r / sum w with the influence of a ratio, w (r - value) / mean w."""
    value = float(_divided(weight @ rounds.reward, weight.sum()))
    return _estimate(rounds, value, _divided(weight, weight.mean()) * (rounds.reward - value), method)


def _switched(rounds: Rounds, used: np.ndarray, method: str) -> Estimate:
    """Return the mean of q_pi + `used` (r - q).

    A model fitted on these rounds is itself an estimate. To first order, that of a saturated model adds
    (w - used) (r - q) to the influence of each round, so that the error is that of DR (Chernozhukov et al. 2018).
    """
    q_logged, q_policy = rounds.model()
    residual = rounds.reward - q_logged
    values = q_policy + used * residual
    influence = q_policy + rounds.weight * residual if rounds.fitted else values
    return _estimate(rounds, float(values.mean()), influence, method)


def _biased(share: float, what: str) -> list[str]:
    return [f"{what} {share:.2%} of rounds: {_BIAS}"] if share else []


def _divided(value: np.ndarray | float, by: np.ndarray | float) -> np.ndarray:
    """Return the quotient, 0 where the divisor is: nothing weighs, or nothing is left."""
    return np.divide(value, by, out=np.zeros(np.broadcast(value, by).shape), where=np.asarray(by) != 0)


def _least(value: float, name: str, open_: bool = False) -> None:
    if not (value > 0 if open_ else value >= 0):  # refuses NaN too
        raise ConfigError(f"{name}: expected a number {'above' if open_ else 'of at least'} 0, got {value}")
