"""The runs: made one after the other, their rows kept as they come."""

from typing import Any

import numpy as np
import torch

from experiments.multitask import baselines
from experiments.multitask.arms import HERE, Arm
from experiments.rows import Rows, finish
from ncf.core.compose import compose
from ncf.data.split import Pairs, Split
from ncf.evaluation import FullRanking, Scorer, test_targets, validation_targets
from ncf.evaluation.ratings import HeldOutRatings, rating_errors
from ncf.models import MODELS
from ncf.runs.artifacts import read_result
from ncf.runs.identity import config_hash, resolved
from ncf.runs.plan import RunPlan, plan_run
from ncf.runs.tracking import epochs

METRICS = ("mrr_all", "mse")
CURVES = ("ranking_loss", "rating_loss", *METRICS)
PENALTIES = (0.0, 2.0, 5.0, 10.0)

RESULTS = Rows(HERE / "results.csv", ["table", "arm", "seed"])
EPOCHS = Rows(HERE / "epochs.csv", ["arm", "seed", "epoch"])
BASELINES = Rows(HERE / "baselines.csv", ["table", "seed", "baseline"])


def train(arm: Arm, seed: int) -> None:
    """Make the run of `arm` with this seed and keep its rows, unless they are there."""
    cfg = compose(arm.overrides(seed))
    digest = config_hash(resolved(cfg))
    if RESULTS.has(arm=arm.name, seed=seed, config_hash=digest):
        return
    folder = arm.folder(seed)
    finish(cfg, folder)
    result, history = read_result(folder), epochs(folder)
    assert result is not None
    EPOCHS.add([{"arm": arm.name, "seed": seed, **_of_epoch(line)} for line in history])
    RESULTS.add([{"table": arm.table, "arm": arm.name, "seed": seed, **_of_run(result, history)}])


def _of_epoch(line: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": line["epoch"], **{name: line[name] for name in CURVES}}


def _of_run(result: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of the last epoch, the best there was of each, and those of the epoch that was kept."""
    best = {"mrr_all": max, "mse": min}
    return {
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        **{f"last/{name}": history[-1][name] for name in METRICS},
        **{f"best/{name}": best[name](line[name] for line in history) for name in METRICS},
        **{f"{part}/{name}": result[part][name] for part in ("valid", "test") for name in (*METRICS, "ndcg@10")},
        "seconds": sum(line["train_seconds"] for line in history),
        "config_hash": result["config_hash"],
        "commit": result["commit"],
    }


def measure_baselines(arm: Arm, seed: int) -> None:
    """Keep the errors of means and biases, and the MRR of popularity, on the split of `arm` and `seed`."""
    if BASELINES.has(table=arm.table, seed=seed, baseline="popularity"):
        return
    plan = plan_run(compose(arm.overrides(seed)))
    split = plan.split(plan.data())
    part = "valid" if arm.table == "prototype" else "test"
    asked: Pairs = getattr(split, part)
    made = {name: getattr(baselines, name)(split.train, asked) for name in ("mean", "item_mean", "user_mean")}
    made |= {f"biases_{l2:g}": baselines.biases(split.train, asked, l2) for l2 in PENALTIES}
    rows = [{"baseline": name, "mse": _mse(asked, predicted)} for name, predicted in made.items()]
    rows.append({"baseline": "popularity", "mrr_all": _popularity(plan, split, part)})
    BASELINES.add([{"table": arm.table, "seed": seed, **row} for row in rows])


def _mse(asked: Pairs, predicted: np.ndarray) -> float:
    return rating_errors(lambda users, items: torch.from_numpy(predicted), HeldOutRatings.of(asked, "cpu"))["mse"]


def _popularity(plan: RunPlan, split: Split, part: str) -> float:
    model = MODELS["popularity"](split.num_users, split.num_items)
    model.fit(split)
    score: Scorer = model.score
    protocol: FullRanking = plan.evaluation
    targets = {"valid": validation_targets, "test": test_targets}[part](split, "cpu")
    return protocol.metrics(protocol.evaluate(score, targets))["mrr_all"]
