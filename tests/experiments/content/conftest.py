"""Made-up tables of the study."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.content.arms import arms, blocks, registered
from experiments.content.runs import joined

USERS = 60

Make = Callable[..., None]


@pytest.fixture
def made_up(tmp_path: Path) -> Make:
    """Return a function that writes the three tables with these mean NDCG by arm, 0.1 if it has none."""

    def make(ndcg: dict[str, float] | None = None, cost: dict[str, float] | None = None) -> None:
        rng = np.random.default_rng(0)
        shared = rng.normal(0, 0.02, (USERS, 20))
        users, results = [], []
        for arm in arms().values():
            for place, block in enumerate(blocks(arm.split)):
                some = USERS - place  # later blocks have fewer users
                values = (ndcg or {}).get(arm.name, 0.1) + shared[:some, place] + rng.normal(0, 0.002, some)
                text = joined(values, "%.6g")
                row = {"split": arm.split, "arm": arm.name, "block": block}
                users.append({**row, "users": joined(range(some), "%d"), "ndcg@10": text, "hit@10": text})
                metrics = {f"{part}/{m}": values.mean() for part in ("valid", "test") for m in ("ndcg@10", "hit@10")}
                results.append({**row, "point": 0, "setting": "", "chosen": True, **metrics, "commit": "c" * 40})
        pd.DataFrame(users).to_csv(tmp_path / "users.csv.gz", index=False)
        pd.DataFrame(results).to_csv(tmp_path / "results.csv", index=False)
        _variety(shared, cost or {}).to_csv(tmp_path / "variety.csv.gz", index=False)

    return make


def _variety(shared: np.ndarray, cost: dict[str, float]) -> pd.DataFrame:
    """Lists that are less alike the lower lambda is, at a cost at lambda 0; those of "calibrated" stay as they are."""
    rng, plan, rows = np.random.default_rng(1), registered()["variety"], []
    for place, block in enumerate(blocks("leave_one_out")):
        for name in ["plain", *plan["rerankers"]]:
            for at in [1.0] if name == "plain" else plan["lambdas"]:
                away = 0.0 if name == "calibrated" else 1 - at
                values = 0.1 + shared[:, place] + rng.normal(0, 0.002, USERS) - away * cost.get(name, 0.0)
                rows.append({
                    "block": block, "rerank": name, "lambda": at, "similarity by genre": 0.5 * (1 - away),
                    "miscalibration": 1.0, "coverage": 0.2 * (1 + away), "novelty": 2.0, "hit": 0.1,
                    "users": joined(range(USERS), "%d"), "ndcg": joined(values, "%.6g"), "commit": "c" * 40,
                })  # fmt: skip
    return pd.DataFrame(rows)
