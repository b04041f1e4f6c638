"""The runs of every arm in every block: each point of its grid, and test of the one that validation chose."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from experiments.content.arms import HERE, Arm, arms, folder, shared
from experiments.rows import Rows, finish
from ncf.core.compose import compose
from ncf.core.overrides import override
from ncf.evaluation import test_targets
from ncf.runs.artifacts import environment, read_result
from ncf.runs.identity import config_hash, registered, resolved
from ncf.runs.plan import plan_run
from ncf.runs.ranks_file import metrics_of, read_ranks

METRICS = ("ndcg@10", "hit@10")

RESULTS = Rows(HERE / "results.csv", ["split", "arm", "block", "point"])
USERS = Rows(HERE / "users.csv.gz", ["split", "arm", "block"])


def make(arm: Arm, block: int) -> None:
    """Make the runs of `arm` in a block, and keep their rows, unless they are there."""
    if USERS.has(split=arm.split, arm=arm.name, block=block):
        return
    if arm.constant:
        _keep_chance(arm, block)
        return
    rows = [_row(arm, block, point) for point in range(len(arm.points))]
    best = int(np.argmax([row["valid/ndcg@10"] for row in rows]))  # the first of equal ones
    where = folder(arm, block, best)
    result = read_result(where)
    assert result is not None
    ranks = read_ranks(where, "test")
    values = metrics_of(where, ranks, result, "test").groupby(ranks["user_id"].astype(int)).mean()
    for point, row in enumerate(rows):  # test of the chosen one alone
        row |= {"chosen": point == best} | {f"test/{name}": result["test"][name] for name in METRICS if point == best}
    RESULTS.add(rows)
    USERS.add([_per_user(arm, block, values)])


def settings(arm: Arm, block: int, point: int) -> list[str]:
    """The overrides of a run: those of the split and the block, what the arm before it took, and its own."""
    return [*shared(arm.split, block), *_own(arm, block), *arm.points[point]]


def chosen(arm: Arm, block: int) -> int:
    """The point that validation chose in a block."""
    table = RESULTS.table()
    of = (table["arm"] == arm.name) & (table["block"] == block) & table["chosen"].astype(bool)
    return int(table.loc[of, "point"].iloc[0])


def _own(arm: Arm, block: int) -> list[str]:
    before: list[str] = []
    if arm.after is not None:
        first = arms()[arm.after]
        before = [*_own(first, block), *first.points[chosen(first, block)]]
        before = [each for each in before if not (arm.settings and each.startswith("model="))]
    parts = [str(folder(arms()[name], block, chosen(arms()[name], block))) for name in arm.parts]
    # the model first: it brings the keys that the others set
    return [*arm.settings, *before, *([override("model.parts", parts)] if parts else [])]


def _row(arm: Arm, block: int, point: int) -> dict[str, object]:
    for name in arm.parts:  # finished ones stay as they are
        part, at = arms()[name], chosen(arms()[name], block)
        finish(compose(settings(part, block, at)), folder(part, block, at))
    cfg = compose(settings(arm, block, point))
    where = folder(arm, block, point)
    finish(cfg, where)
    result = read_result(where)
    assert result is not None
    assert result["config_hash"] == config_hash(resolved(cfg)), f"{where}: another run's"
    taken = " ".join(each for each in [*arm.points[point], *(f"{k}={v}" for k, v in result.get("chosen", {}).items())])
    return {
        "split": arm.split, "arm": arm.name, "block": block, "point": point, "setting": taken,
        **{f"valid/{name}": result["valid"][name] for name in METRICS}, "config_hash": result["config_hash"],
        "registration": result["registration"]["sha256"], "commit": result["commit"],
    }  # fmt: skip


def _keep_chance(arm: Arm, block: int) -> None:
    """Keep what a recommender whose scores are all equal has: ties are at their expected metric."""
    plan = plan_run(compose([*shared(arm.split, block), "model=content"]))
    split = plan.split(plan.data())
    ranks = plan.evaluation.evaluate(lambda users: torch.zeros(len(users), split.num_items), test_targets(split, "cpu"))
    users = split.user_ids[ranks.users.numpy()].astype(int)
    found = plan.evaluation.per_positive(ranks)
    values = pd.DataFrame({name: found[name].numpy() for name in METRICS}).groupby(users).mean()
    registration = registered(plan.run.registration)
    assert registration is not None
    row = {"split": arm.split, "arm": arm.name, "block": block, "point": 0, "chosen": True, "setting": ""}
    row |= {f"test/{name}": float(values[name].mean()) for name in METRICS}
    RESULTS.add([row | {"registration": registration["sha256"], "commit": environment()["commit"]}])
    USERS.add([_per_user(arm, block, values)])


def _per_user(arm: Arm, block: int, values: pd.DataFrame) -> dict[str, object]:
    values = values.sort_index()
    texts = {name: joined(values[name], "%.6g") for name in METRICS}
    return {"split": arm.split, "arm": arm.name, "block": block, "users": joined(values.index, "%d"), **texts}


def joined(values: Iterable[float], form: str) -> str:
    """Numbers as text, a blank between two."""
    return " ".join(form % value for value in values)


def numbers(text: str) -> np.ndarray:
    """The numbers of `joined`, (N,) float64."""
    return np.array(text.split(), dtype=float)
