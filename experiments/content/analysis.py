"""The registered comparisons, from users.csv.gz and variety.csv.gz alone."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from experiments.content.arms import arms, blocks, registered
from experiments.content.runs import METRICS, numbers
from experiments.content.variety import PLAIN
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.crossed import Mean, crossed_mean
from ncf.stats.estimate import estimate
from ncf.stats.findings import CORRECTIONS, FINDINGS, findings

ALIKE = "similarity by genre"


@dataclass(frozen=True)
class Change:
    """A relative change of a mean, with its interval and tests.

    Attributes:
        value: mean of the treatment / mean of the baseline - 1.
        ends: its interval, of the registered level.
        p: two-sided, of no change; corrected where it is part of a family.
        p_equivalent: of two one-sided tests that the change is within the registered region; likewise.
    """

    value: float
    ends: tuple[float, float]
    p: float
    p_equivalent: float

    def __str__(self) -> str:
        """Return the change and its interval."""
        return f"{self.value:+.1%} [{self.ends[0]:+.1%}, {self.ends[1]:+.1%}]"


@dataclass(frozen=True)
class Comparison:
    """A registered comparison and what it found.

    Attributes:
        question: of the registration.
        treatment: an arm.
        baseline: an arm.
        error: "users" or "both", of `change`.
        means: of the baseline and of the treatment.
        change: of the registered metric; p-values corrected.
        other: the same change with the other error.
        hits: of HR@10, with the registered error.
        valid: relative change of the registered metric on validation, where both were chosen; None if nothing was.
        finding: "better", "worse", "equivalent" or "undecided".
    """

    question: str
    treatment: str
    baseline: str
    error: str
    means: tuple[float, float]
    change: Change
    other: Change
    hits: Change
    valid: float | None
    finding: str


@dataclass(frozen=True)
class Cost:
    """What a re-ranker's lists cost at the registered target; without `weight`, it never gets there.

    Attributes:
        rerank: its name.
        weight: the largest lambda whose lists are that much less alike.
        alike: the relative change of the similarity by genre, there or where it is lowest.
        change: of NDCG@10; p-values corrected.
        finding: as that of a comparison.
    """

    rerank: str
    weight: float | None
    alike: float
    change: Change | None = None
    finding: str = "does not get there"


def by_users(treatment: Array, baseline: Array, users: Array) -> Change:
    """Return the change of (N,) against (N,), rows of `users` (N,) that count as clusters, by the delta method."""
    ratio, influence = _influence(treatment, baseline)
    found = estimate(
        ratio - 1, influence, estimand="relative change", method="delta", level=_level(), clusters=users
    )  # fmt: skip
    margin = registered()["smallest_effect"]
    return Change(found.value, (found.low, found.high), found.p(), found.p_equivalent((-margin, margin)))


def by_both(treatment: Array, baseline: Array) -> Change:
    """Return the change of (blocks, users) against the same, with two crossed random effects, by the delta method."""
    ratio, influence = _influence(treatment, baseline)
    margin, change = registered()["smallest_effect"], influence + ratio - 1
    found = crossed_mean(change)
    inside = max(_above_zero(crossed_mean(margin + change)), _above_zero(crossed_mean(margin - change)))
    return Change(found.value, found.ends(_level()), found.p, inside)


def comparisons(users: pd.DataFrame, results: pd.DataFrame) -> list[Comparison]:
    """Return every registered comparison, its p-values corrected over all of them.

    Raises:
        StatisticsError: a block is missing, or the two arms were not measured on the same users.
    """
    raw = [_compared(users, results, **one) for one in registered()["comparisons"]]
    changes, found = _family([each.change for each in raw])
    return [replace(each, change=c, finding=f) for each, c, f in zip(raw, changes, found, strict=True)]


def costs(variety: pd.DataFrame) -> list[Cost]:
    """Return what each registered re-ranker costs, corrected over those that get to the target.

    Raises StatisticsError if a block is missing.
    """
    _refuse_missing(variety["block"], blocks("leave_one_out"), PLAIN)
    alike, plan = changes_of(variety, ALIKE), registered()["variety"]
    raw = []
    for name in plan["rerankers"]:
        there = alike[name][alike[name] <= -plan["target"]]
        if there.empty:
            raw.append(Cost(name, None, float(alike[name].min())))
        else:
            weight = float(there.index.max())
            raw.append(Cost(name, weight, float(there[weight]), ndcg_change(variety, name, weight)))
    changes, found = _family([each.change for each in raw if each.change is not None])
    corrected = iter(zip(changes, found, strict=True))
    return [
        each if each.change is None else replace(each, **dict(zip(("change", "finding"), next(corrected))))
        for each in raw
    ]


def changes_of(variety: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    """Return, of each re-ranker, the relative change by lambda of the mean of `column` over blocks."""
    means = variety.groupby(["rerank", "lambda"])[column].mean()
    plain = float(means[PLAIN].iloc[0])
    return {name: means[name] / plain - 1 for name in registered()["variety"]["rerankers"]}


def ndcg_change(variety: pd.DataFrame, rerank: str, weight: float) -> Change:
    """Return the change of NDCG@10 of a re-ranker's lists, uncorrected."""
    sides = []
    for name, at in ((rerank, weight), (PLAIN, 1.0)):
        own = variety[(variety["rerank"] == name) & (variety["lambda"] == at)].sort_values("block")
        sides.append([numbers(text) for text in own["ndcg"]])
        users = np.concatenate([numbers(text) for text in own["users"]])
    return by_users(np.concatenate(sides[0]), np.concatenate(sides[1]), users)


def table_of(users: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """Return a metric of an arm, a row a block and a column a user; NaN where a block does not have the user.

    Raises StatisticsError if a block is missing.
    """
    own = users[users["arm"] == arm].sort_values("block")
    _refuse_missing(own["block"], blocks(arms()[arm].split), arm)
    rows = {
        block: pd.Series(numbers(values), index=numbers(ids).astype(int))
        for block, ids, values in zip(own["block"], own["users"], own[metric], strict=True)
    }
    return pd.DataFrame(rows).T


def _compared(
    users: pd.DataFrame, results: pd.DataFrame, question: str, treatment: str, baseline: str, error: str
) -> Comparison:
    both: dict[str, dict[str, Change]] = {}
    for metric in METRICS:
        t, b = (table_of(users, arm, metric) for arm in (treatment, baseline))
        if not t.columns.equals(b.columns) or not (t.isna() == b.isna()).to_numpy().all():
            raise StatisticsError(f"{treatment}, {baseline}: expected the same users in each block")
        both[metric] = _both_errors(t, b)
    metric, other = registered()["metric"], {"users": "both", "both": "users"}[error]
    sides = [table_of(users, arm, metric) for arm in (baseline, treatment)]
    if error == "both":  # which is over the users of all blocks
        sides = [side.dropna(axis=1) for side in sides]
    means = [float(np.nanmean(side.to_numpy())) for side in sides]
    return Comparison(
        question, treatment, baseline, error, (means[0], means[1]), both[metric][error], both[metric][other],
        both["hit@10"][error], _on_validation(results, treatment, baseline), "",
    )  # fmt: skip


def _both_errors(t: pd.DataFrame, b: pd.DataFrame) -> dict[str, Change]:
    there = t.notna().to_numpy()
    whole = there.all(0)  # users of all blocks
    owners = np.broadcast_to(t.columns.to_numpy(), t.shape)[there]
    return {
        "users": by_users(t.to_numpy()[there], b.to_numpy()[there], owners),
        "both": by_both(t.to_numpy()[:, whole], b.to_numpy()[:, whole]),
    }


def _on_validation(results: pd.DataFrame, treatment: str, baseline: str) -> float | None:
    chosen = results[results["chosen"].astype(bool)]
    first, second = (chosen.loc[chosen["arm"] == arm, "valid/ndcg@10"].mean() for arm in (treatment, baseline))
    return None if np.isnan(first) or np.isnan(second) else float(first / second - 1)


def _influence(treatment: Array, baseline: Array) -> tuple[float, Array]:
    """Return the ratio of the means, and how far each pair pulls it from there."""
    ratio = float(treatment.mean() / baseline.mean())
    return ratio, (treatment - ratio * baseline) / baseline.mean()


def _above_zero(mean: Mean) -> float:
    """Return the one-sided p of a mean of 0 or less."""
    return mean.p / 2 if mean.value > 0 else 1 - mean.p / 2


def _level() -> float:
    level: float = registered()["interval_level"]
    return level


def _family(changes: list[Change]) -> tuple[list[Change], list[str]]:
    """Return the changes with corrected p-values, and the findings."""
    if not changes:
        return [], []
    p, p_equivalent = (np.array([getattr(each, name) for each in changes]) for name in ("p", "p_equivalent"))
    plan = registered()
    correct = CORRECTIONS[plan["correction"]]
    direction = np.sign([each.value for each in changes])
    _, found = findings(direction, p, p_equivalent, plan["alpha"], plan["correction"])
    both = zip(changes, correct(p), correct(p_equivalent), strict=True)
    corrected = [replace(each, p=float(one), p_equivalent=float(other)) for each, one, other in both]
    return corrected, [FINDINGS[int(each)] for each in found]


def _refuse_missing(found: pd.Series, wanted: list[int], what: str) -> None:
    if missing := sorted(set(wanted) - set(found)):
        raise StatisticsError(
            f"{what}: expected every block, {', '.join(map(str, missing))} missing; run the experiment first"
        )
