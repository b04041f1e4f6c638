"""The protocol of the published NCF numbers: every rating is a positive, 1 + 99 candidates, @10.

Each model is measured with two choices of settings: `MAIN`, tuned under the page's own protocol, and `OWN`, tuned under
this one; and under each of `rankings.RANKINGS`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations

import pandas as pd
from omegaconf import OmegaConf
from scipy.stats import kendalltau

from experiments.baselines import runs
from experiments.baselines.arms import ARMS, HERE, METRICS, PROTOCOL, PUBLISHED, RETUNED, ROOT, Arm
from experiments.baselines.comparisons import compared
from experiments.baselines.rankings import RANKINGS, Values, per_user

LITERATURE = HERE / "literature.yaml"
MAIN, OWN = "main", "own"
_SEEDS = 5  # 42 to 46, those of the project's reference runs

Measured = dict[str, dict[str, Values]]
"""choice of settings -> model -> its values."""


@cache
def reference() -> dict:
    """Published values: source, data, and hit@10 and ndcg@10 by arm."""
    found: dict = OmegaConf.to_container(OmegaConf.load(LITERATURE))  # type: ignore[assignment]
    return found


def by_settings() -> dict[str, dict[str, Arm]]:
    """Choice of settings -> model -> its arm; a model with nothing to tune has one for both."""
    arms = [ARMS[name] for name in reference()["models"]]
    main = {arm.name: replace(arm, seeds=arm.seeds[:_SEEDS], sweep=PUBLISHED) for arm in arms}
    return {MAIN: main, OWN: main | RETUNED}


def measure(jobs: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train what is not there yet; the rows of published.csv and of pairs.csv."""
    measured: Measured = {}
    for settings, arms in by_settings().items():
        for arm in arms.values():
            runs.train(arm, arm.seeds, jobs, *PROTOCOL)
        measured[settings] = {name: per_user([ROOT / arm.folder(s) for s in arm.seeds]) for name, arm in arms.items()}
    return pd.DataFrame(means(measured)), pd.DataFrame(pairs(measured))


def means(measured: Measured) -> Iterator[dict]:
    """A row a choice of settings, ranking and model: seeds, users and each metric's mean."""
    for settings, arms in measured.items():
        for ranking in RANKINGS:
            for name, values in arms.items():
                seeds, users = values[ranking][METRICS[0]].shape
                row = {"settings": settings, "ranking": ranking, "arm": name, "seeds": seeds, "users": users}
                yield row | {metric: values[ranking][metric].mean() for metric in METRICS}


def pairs(measured: Measured) -> Iterator[dict]:
    """A row a choice of settings, ranking, metric and pair of models: the published winner `compared` to the loser."""
    for settings, arms in measured.items():
        for ranking in RANKINGS:
            for metric in METRICS:
                for winner, loser in published_order(metric):
                    row = {"settings": settings, "ranking": ranking, "metric": metric, "winner": winner, "loser": loser}
                    yield row | compared(arms[winner][ranking][metric], arms[loser][ranking][metric])


def published_order(metric: str) -> list[tuple[str, str]]:
    """Every pair of models, the better one by its published value first."""
    theirs = {name: values[metric] for name, values in reference()["models"].items()}
    return list(combinations(sorted(theirs, key=lambda name: -theirs[name]), 2))


def agreement(ours: pd.DataFrame, metric: str) -> tuple[float, list[tuple[str, str]]]:
    """Kendall's tau of our order with the published one, and the pairs (published winner, loser) that we turn round."""
    theirs = {name: values[metric] for name, values in reference()["models"].items()}
    values = ours.set_index("arm")[metric]
    turned = [(a, b) for a, b in published_order(metric) if values[a] < values[b]]
    return float(kendalltau([theirs[n] for n in theirs], [values[n] for n in theirs]).statistic), turned
