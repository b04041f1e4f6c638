"""One analysis of lists: what a log of whole lists says of a policy that shows lists."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ncf.data.feedback import LoggedFeedback
from ncf.errors import ConfigError, DataError
from ncf.off_policy import slates
from ncf.off_policy.analysis import Analysis, Settings, clusters, mean_of, rewards
from ncf.off_policy.diagnostics import effective_rounds, largest, refuse_low, uneven
from ncf.off_policy.policies import without_replacement
from ncf.off_policy.policy_files import Policy, codes_of, places
from ncf.off_policy.reward_models import folds_of
from ncf.off_policy.rounds import distributions
from ncf.off_policy.slates import Slates
from ncf.stats.estimate import Estimate

ESTIMATORS = ("list_ips", "independent_ips", "reward_interaction_ips", "cascade_dr")


@dataclass(frozen=True, eq=False)
class Lists:
    """A log arranged by list; (N, K) each.

    Attributes:
        reward: 0 where a list has no such position.
        item: index of the item, 0 where there is none.
        pscore: 1 where there is none.
        policy: (N, K, A), chances of every item there, before anything is shown.
        there: whether the list has the position.
        first: (N,), the row of the log in which each list begins.
        of: (rows,), the list of each row of the log.
    """

    reward: np.ndarray
    item: np.ndarray
    pscore: np.ndarray
    policy: np.ndarray
    there: np.ndarray
    first: np.ndarray
    of: np.ndarray


def arrange(feedback: LoggedFeedback, policy: Policy) -> Lists:
    """Return the log by list, in the order of its lists' first rows.

    Raises DataError if the log names no lists or positions, or a list has a position twice.
    """
    if feedback.slate is None or feedback.position is None:
        raise DataError(f"{feedback.label}: expected columns slate and position (slate=, position=), found not both")
    of, _ = pd.factorize(feedback.slate)
    place = places(feedback)
    n, k = int(of.max()) + 1, int(place.max()) + 1
    if (double := pd.Series(of * k + place).duplicated().to_numpy()).any():
        row = int(np.flatnonzero(double)[0])
        raise DataError(
            f"{feedback.label}, row {row + 1:,}: expected each position once in a list, found position "
            f"{feedback.position[row]} of list {feedback.slate[row]} again"
        )
    item, chances = codes_of(policy.items, feedback), distributions(policy.chances)
    found = Lists(
        np.zeros((n, k)), np.zeros((n, k), np.int64), np.ones((n, k)), np.zeros((n, k, chances.actions)),
        np.zeros((n, k), bool), np.unique(of, return_index=True)[1], of,
    )  # fmt: skip
    for table, values in ((found.reward, rewards(feedback)), (found.item, item), (found.pscore, feedback.propensity)):
        table[of, place] = values
    found.policy[of, place] = chances.rounds()
    found.there[of, place] = True
    return found


def analyse_lists(
    feedback: LoggedFeedback, policy: Policy, settings: Settings, estimators: tuple[str, ...], *, distinct: bool,
    on_policy: LoggedFeedback | None = None,
) -> Analysis:  # fmt: skip
    """Return what a log of lists says of the sum of a list's rewards under the policy.

    Args:
        feedback: with lists, positions and rewards; its propensities are those of a position given what is above it.
        policy: chances of items at each position as if nothing had been shown above.
        settings: of the rounds' analysis.
        estimators: names in `ESTIMATORS`; none: all that are right for the policy.
        distinct: the policy never shows an item twice in a list, so that items above leave theirs to the others;
            independent IPS, of propensities whatever lies above, is then out.
        on_policy: the evaluated policy's own log, or None.

    Raises:
        DataError: as `arrange`, too few lists speak for the policy, or a list lies in two clusters.
        ConfigError: an unknown estimator, or a cluster that the log does not have.
    """
    known = tuple(name for name in ESTIMATORS if not (distinct and name == "independent_ips"))
    for name in estimators or known:
        if name not in known:
            raise ConfigError(f"estimators: expected some of {', '.join(known)} for these lists, got {name!r}")
    lists = arrange(feedback, policy)
    given = without_replacement(lists.policy, lists.item, lists.there) if distinct else lists.policy
    chosen = np.take_along_axis(given, lists.item[:, :, None], 2)[:, :, 0]
    log = Slates(
        lists.reward, np.where(lists.there, chosen / lists.pscore, 1.0), settings.level,
        _clusters(feedback, lists, settings.cluster),
    )  # fmt: skip
    refuse_low(log.above[:, -1], allowed=settings.allow_low_ess)
    functions: dict[str, Callable[[], Estimate]] = {
        "list_ips": lambda: slates.slate_ips(log),
        "independent_ips": lambda: slates.independent_ips(log),
        "reward_interaction_ips": lambda: slates.reward_interaction_ips(log),
        "cascade_dr": lambda: slates.cascade_dr(log, *_tables(log, lists, settings, given)),
    }
    said = ["propensities are taken for those of an item given the items above it in its list"]
    if not distinct:
        said.append("independent IPS takes them, and the policy, for what is above not to matter")
    if settings.folds == 1 and "cascade_dr" in (estimators or known):
        said.append("cascade DR: a reward model that saw the lists (folds=1) makes it too sure of itself")
    whole = log.above[:, -1]
    said += uneven(whole)
    return Analysis(
        [functions[name]() for name in estimators or known], len(whole), effective_rounds(whole), largest(whole), said,
        mean_of(None if on_policy is None else totals(on_policy), settings.level),
    )  # fmt: skip


def totals(feedback: LoggedFeedback) -> np.ndarray:
    """Return the sum of each list's rewards, (N,). Raises DataError if the log has no rewards or names no lists."""
    if feedback.slate is None:
        raise DataError(f"{feedback.label}: expected a column slate (slate=), found none")
    return np.bincount(pd.factorize(feedback.slate)[0], rewards(feedback))


def _clusters(feedback: LoggedFeedback, lists: Lists, name: str | None) -> np.ndarray | None:
    """Return the cluster (N,) of each list. Raises DataError for a list that lies in two."""
    if (values := clusters(feedback, name)) is None:
        return None
    own = values[lists.first]
    if (other := values != own[lists.of]).any():
        row = int(np.flatnonzero(other)[0])
        raise DataError(
            f"{feedback.label}, row {row + 1:,}: expected one {name} in list {feedback.slate[row]}, found "  # type: ignore[index]
            f"{own[lists.of[row]]} and {values[row]}"
        )
    return own


def _tables(log: Slates, lists: Lists, settings: Settings, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions for each fold of lists from the others."""
    fold = folds_of(len(lists.reward), settings.folds, settings.seed)
    found = np.zeros((2, *lists.reward.shape))
    for number in range(settings.folds):
        own = fold == number
        train = ~own if settings.folds > 1 else own
        found[:, own] = np.stack(slates.cascade_tables(log, lists.item, policy, lists.there, train))[:, own]
    return found[0], found[1]
