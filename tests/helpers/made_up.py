"""A finished study with made-up numbers: every registered run and every companion, written as a report would."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.report.study import COMPANIONS, PROTOCOL, RESULTS
from ncf.stats import Registration, load
from ncf.study.registration import in_arm

REGISTRATION = Path(__file__).parents[2] / "experiments" / "focal_loss" / "preregistration.yaml"
NEVER_LEARN = (42, 45)  # seeds whose clamped runs do not


def registration() -> Registration:
    return load(REGISTRATION)


def runs(registered: Registration, seed: int = 0) -> pd.DataFrame:
    """A row for each registered run; a seed's noise is shared by its losses, as in truly paired runs."""
    rng = np.random.default_rng(seed)
    unique = {
        tuple(sorted(run.items(), key=str)): run for grid in registered.grids for run in registered.runs(grid)
    }.values()
    shared = {(r, s): rng.normal() for r in registered.seeds for s in range(42, 142)}
    rows = []
    for n, run in enumerate(unique):
        gain = {"bce": 0.0, "alpha_bce": -0.01, "focal": 0.04, "focal_clamped": -0.08}[str(run["loss"])]
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
    (folder / PROTOCOL).write_text(
        json.dumps(
            {
                "settings": {"data.name": "ml-100k", "model.name": "neumf", "trainer.batch_size": 256,
                             "trainer.epochs": 100, "trainer.patience": 10, "optimizer.lr": 0.001,
                             "trainer.monitor": "ndcg@10"},
                "versions": {"ncf": "0.1.0", "torch": "2.13.0"}, "machine": "x86_64",
            }
        )
    )  # fmt: skip
    if companions:
        for name, frame in made_companions(table).items():
            frame.to_csv(folder / COMPANIONS[name], index=False, float_format="%.6g")


def made_companions(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    registered, rng = registration(), np.random.default_rng(1)
    arms = [*registered.arms.values()]
    own = [row for row in table.to_dict("records") if any(in_arm(row, arm, row["neg_ratio"]) for arm in arms)]
    ids = [str(row["run"]) for row in own]
    clamped = [row for row in table.to_dict("records") if row["loss"] == "focal_clamped"]
    curves = [point for row in own + clamped for point in curve(row, row in clamped and row["seed"] in NEVER_LEARN)]
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
         "p_ranks": 0.4}
        for h in registered.hypotheses.values() for c in h.comparisons() if c.claim.says == "higher"
    ]  # fmt: skip
    return {
        "curves": pd.DataFrame(curves), "sampled": pd.DataFrame(sampled), "groups": pd.DataFrame(groups),
        "users": pd.DataFrame(users).drop_duplicates(["treatment", "baseline", "metric", "neg_ratio"]),
        "attention": attention(own, rng), "selected": selected(ids, own, rng),
    }  # fmt: skip


def curve(row: dict[str, object], dead: bool) -> list[dict[str, object]]:
    epochs = range(1, 15 + int(str(row["seed"])) % 5)
    grown = [1.0 if dead else 1 - np.exp(-epoch / 3) for epoch in epochs]
    losses = [0.8 if dead else 1 / epoch for epoch in epochs]
    return [
        {"run": row["run"], "epoch": epoch, "ndcg@10": float(str(row["valid/ndcg@10"])) * part, "train_loss": loss}
        for epoch, part, loss in zip(epochs, grown, losses)
    ]


def attention(own: list[dict[str, object]], rng: np.random.Generator) -> pd.DataFrame:
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
