"""A design that takes a second: a few configurations of tiny models on a tiny synthetic data set."""

from pathlib import Path
from typing import Any

import pytest

from experiments.tuned_losses.design import Design, Refits, Rung, load

SPACE: dict[str, Any] = {
    "optimizer.lr": [0.01, 0.05, "log"],
    "model.hidden": {"choices": [[8, 4], [4]]},
    "model.dropout": {"choices": [0.0, 0.3]},
}


@pytest.fixture
def small(root: Path) -> Design:
    """The registered design with other sizes."""
    settings = [
        "model=neumf", "neg_ratio=2", "trainer.patience=2", "trainer.progress=false", "device=cpu", "data=synthetic",
        f"data.root={root}", "data.users=40", "data.items=60", "data.interactions=600", "trainer.batch_size=128",
        "model.gmf_factors=4", "model.mlp_factors=4",
    ]  # fmt: skip
    rungs = [Rung(configurations=4, epochs=1), Rung(configurations=2, epochs=2), Rung(configurations=1, epochs=4)]
    changed = {
        "settings": settings, "blocks": 2, "draws": 1, "rungs": rungs, "space": SPACE,
        "refits": Refits(runs=2, epochs=3, learned=0.01),
    }  # fmt: skip
    return load().model_copy(update=changed)
