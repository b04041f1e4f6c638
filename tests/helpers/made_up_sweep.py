"""A sweep that nobody registered, with made-up numbers: two losses, two learning rates, some seeds."""

from typing import Any

import numpy as np
import pandas as pd

from ncf.report.sweep import Sweep

NDCG, HIT = "test/ndcg@10", "test/hit@10"


def runs(seeds: int = 8, gain: float = 0.02, **more: list[Any]) -> pd.DataFrame:
    """A row for each loss, learning rate and seed; focal is better by `gain`."""
    rng = np.random.default_rng(0)
    rows = []
    for loss, gamma, alpha in (("focal", 2.0, 0.25), ("bce", np.nan, np.nan)):
        for lr in (0.01, 0.001):
            for seed in range(42, 42 + seeds):
                value = 0.1 + gain * (loss == "focal") + 0.001 * rng.normal()
                rows.append(
                    {"run": f"{loss}-{lr}-{seed}", "model": "neumf", "loss": loss, "gamma": gamma, "alpha": alpha,
                     "neg_ratio": 4, "seed": seed, NDCG: value, HIT: 2 * value, "valid/ndcg@10": value,
                     "best_epoch": 3, "epochs": 5, "train_seconds": rng.random(), "config_hash": f"{len(rows):064x}",
                     "data_digest": "d" * 64, "registration": None, "optimizer.lr": lr}
                )  # fmt: skip
    return pd.DataFrame(rows).assign(**more)


def made(table: pd.DataFrame, **chosen: str) -> Sweep:
    return Sweep(table, pd.DataFrame(), 0.05, chosen)
