"""A finished study with made-up numbers: every registered run and every companion, written as a report would."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ncf.report.study import COMPANIONS, PROTOCOL, RESULTS, Study
from ncf.study import Registration
from ncf.study import load as load_registration
from ncf.study.registration import Presentation, in_arm

REGISTRATION = """
question: Does it help?
alpha: 0.05
correction: holm
smallest_effect: 0.05
power: 0.8
interval_level: 0.95
resamples: 999
bootstrap_seed: 1
first_seed: 42
seeds: {4: 11, 10: 10, 50: 6}
pilot:
  - {metric: test/ndcg@10, ratio: 4, baseline_mean: 0.06, sd_difference: 0.003, pairs: 6}
  - {metric: test/hit@10, ratio: 4, baseline_mean: 0.12, sd_difference: 0.007, pairs: 6}
metrics: [test/ndcg@10, test/hit@10]
arms:
  focal: {model: neumf, loss: focal, gamma: 2.0, alpha: 0.25}
  bce: {model: neumf, loss: bce}
  alpha_bce: {model: neumf, loss: alpha_bce, alpha: 0.25}
  alpha_bce_balanced: {model: neumf, loss: alpha_bce, alpha: balanced}
  focal_balanced: {model: neumf, loss: focal, gamma: 2.0, alpha: balanced}
hypotheses:
  H1:
    statement: It does.
    supported_if: all
    claims: [{says: higher, treatment: focal, baseline: bce, ratios: [10, 50], metrics: "${metrics}"}]
  H2:
    statement: The more negatives, the more it does.
    supported_if: all
    claims:
      - {says: higher, treatment: focal, baseline: bce, ratios: [4, 10, 50], metrics: "${metrics}"}
      - {says: grows, treatment: focal, baseline: bce, ratios: [4, 10, 50], metrics: "${metrics}"}
  H3:
    statement: It is gamma that does.
    supported_if: all
    claims:
      - {says: higher, treatment: focal, baseline: alpha_bce, ratios: [4, 10], metrics: "${metrics}"}
      - {says: higher, treatment: focal_balanced, baseline: alpha_bce_balanced, ratios: [4, 10], metrics: "${metrics}"}
grids:
  main:
    blocks: ["${arms.bce}", "${arms.alpha_bce}", "${arms.focal}"]
    seeds: "${seeds}"
  weighed:
    blocks: ["${arms.alpha_bce_balanced}", "${arms.focal_balanced}"]
    seeds: "${seeds}"
  gentle:
    blocks: [{model: neumf, loss: focal, gamma: [0.5, 1.0], alpha: 0.25}]
    seeds: {4: 3}
"""


@cache
def registration() -> Registration:
    """The registration, as read from a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "registration.yaml"
        path.write_text(REGISTRATION)
        return load_registration(path)


def presented(study: Study, **report: Any) -> Study:
    """The study with what its registration says of the report."""
    plan = study.registration.model_copy(update={"report": Presentation(**report)})
    return Study(plan, study.runs, study.protocol, study.companions)


def with_companions(study: Study, **tables: pd.DataFrame) -> Study:
    """The study with other companions in place of its own."""
    return Study(study.registration, study.runs, study.protocol, study.companions | tables)


def runs(registered: Registration, seed: int = 0) -> pd.DataFrame:
    """A row for each registered run; a seed's noise is shared by its losses, as in truly paired runs."""
    rng = np.random.default_rng(seed)
    unique = {
        tuple(sorted(run.items(), key=str)): run for grid in registered.grids for run in registered.runs(grid)
    }.values()
    shared = {(r, s): rng.normal() for r in registered.seeds for s in range(42, 142)}
    rows = []
    for n, run in enumerate(unique):
        gain = {"bce": 0.0, "alpha_bce": -0.01, "focal": 0.04}[str(run["loss"])]
        noise = 0.003 * shared[run["neg_ratio"], run["seed"]] + 0.002 * rng.normal()
        ndcg = 0.06 * (1 + gain * np.log(run["neg_ratio"]) / 2) + noise
        rows.append(
            {"run": f"{run['model']}-{run['loss']}-{n}", **run, "config_hash": f"{n:064x}", "commit": "0" * 40,
             "data_digest": "d" * 64, "registration": registered.sha256,
             "best_epoch": 8, "epochs": 18, "valid/ndcg@10": ndcg * 1.02, "valid/hit@10": ndcg * 2.1,
             "test/ndcg@10": ndcg, "test/hit@10": np.round(2 * ndcg * 942 + rng.normal()) / 942}
        )  # fmt: skip
    return pd.DataFrame(rows)


def write(folder: Path, table: pd.DataFrame, companions: bool = True) -> None:
    """`table` as results.csv, with its protocol, and companions of the runs that a report has them of."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / RESULTS, index=False)
    settings = {"data.name": "ml-100k", "model.name": "neumf", "trainer.batch_size": 256, "optimizer.lr": 0.001}
    facts = {"settings": settings, "versions": {"ncf": "0.1.0", "torch": "2.13.0"}, "machine": "x86_64"}
    (folder / PROTOCOL).write_text(json.dumps(facts))
    if companions:
        for name, frame in made_companions(table).items():
            frame.to_csv(folder / COMPANIONS[name], index=False, float_format="%.6g")


def made_companions(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every companion of the runs of registered arms."""
    registered, rng = registration(), np.random.default_rng(1)
    arms = [*registered.arms.values()]
    own = [row for row in table.to_dict("records") if any(in_arm(row, arm, row["neg_ratio"]) for arm in arms)]
    ids = [str(row["run"]) for row in own]
    curves = [point for row in own for point in curve(row)]
    sampled = [
        {"run": run, "hit@10": 0.6, "ndcg@10": 0.3 + row["test/ndcg@10"] + 0.002 * rng.normal()}
        for run, row in zip(ids, own)
    ]
    groups = [
        {"run": run, "grouping": grouping, "third": third, "positives": 314, "hit@10": 0.1,
         "ndcg@10": row["test/ndcg@10"] * (third + 1) / 2 + 0.002 * rng.normal()}
        for run, row in zip(ids, own) for grouping in ("item", "user") for third in range(3)
    ]  # fmt: skip
    users = [
        {"treatment": c.claim.treatment, "baseline": c.claim.baseline, "metric": c.metric, "neg_ratio": c.ratios[0],
         "seeds": 30, "users": 942, "difference": 0.002, "difference_low": -0.001, "difference_high": 0.004,
         "change": 0.03, "change_low": -0.02, "change_high": 0.07, "users_better": 480, "users_worse": 462,
         "p_ranks": 0.4, "method": "crossed t"}
        for h in registered.hypotheses.values() for c in h.comparisons() if c.claim.says == "higher"
    ]  # fmt: skip
    return {
        "curves": pd.DataFrame(curves), "sampled": pd.DataFrame(sampled), "groups": pd.DataFrame(groups),
        "users": pd.DataFrame(users).drop_duplicates(["treatment", "baseline", "metric", "neg_ratio"]),
        "attention": attention(own, rng), "selected": selected(ids, own, rng),
        "ranks": pd.DataFrame({"user": range(5), "candidates": 99, **dict.fromkeys(ids, "13.5:2")}),
    }  # fmt: skip


def curve(row: dict[str, object]) -> list[dict[str, object]]:
    """A run's epochs: the metric grows, the loss falls."""
    return [
        {"run": row["run"], "epoch": epoch, "train_loss": 1 / epoch,
         "ndcg@10": float(str(row["valid/ndcg@10"])) * (1 - np.exp(-epoch / 3))}
        for epoch in range(1, 15 + int(str(row["seed"])) % 5)
    ]  # fmt: skip


def attention(own: list[dict[str, object]], rng: np.random.Generator) -> pd.DataFrame:
    """Where loss and gradient come from: shares that move as training goes on."""
    keys = ["model", "loss", "gamma", "alpha", "neg_ratio"]
    arms = pd.DataFrame(own)[keys].drop_duplicates().to_dict("records")
    rows = []
    for arm in arms:
        for epoch in range(1, 16):
            row = {**arm, "epoch": epoch, "runs": 30}
            for share in ("histogram", "loss_share", "gradient_share"):
                parts = rng.dirichlet(np.r_[np.linspace(6 + epoch, 2, 5), np.linspace(2, 6 + epoch, 5)] * 5)
                row |= {f"positive_{share}_{n}": parts[n] for n in range(5)}
                row |= {f"negative_{share}_{n}": parts[5 + n] for n in range(5)}
            rows.append(row)
    return pd.DataFrame(rows)


def selected(ids: list[str], own: list[dict[str, object]], rng: np.random.Generator) -> pd.DataFrame:
    """The dynamics of every run at its selected epoch."""
    rows = []
    for run, arm in zip(ids, own):
        predicted = np.linspace(0.05, 0.95, 10)
        row = {"run": run, "epoch": arm["best_epoch"], "observed_steps": 66, "ece": 0.05 + 0.01 * rng.random(),
               "positive_rows": 3366, "positive_confidence": 0.5, "positive_effective_sample_size": 3000.0,
               "negative_rows": 13464, "negative_confidence": 0.9, "negative_effective_sample_size": 9000.0,
               "held_out_drawn": 7, "held_out_rate": 0.0005, "held_out_weight": 0.3,
               "held_out_weight_of_others": 0.2}  # fmt: skip
        row |= {f"rows_{n}": 470 for n in range(10)} | {f"predicted_{n}": p for n, p in enumerate(predicted)}
        rows.append(row | {f"observed_{n}": p**1.3 for n, p in enumerate(predicted)})
    return pd.DataFrame(rows)
