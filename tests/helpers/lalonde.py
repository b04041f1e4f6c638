"""LaLonde's data: the treated of an experiment, with its own controls or with those of a survey."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from causaldata import cps_mixtape, nsw_mixtape

REFERENCE = Path(__file__).parents[1] / "causal/reference"
SIMPLE = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
MIXTAPE = [*SIMPLE, "agesq", "agecube", "educsq", "u74", "u75", "educ_re74"]


@cache
def lalonde(kind: str = "observational") -> pd.DataFrame:
    """The frame with columns treat, re78 and those of MIXTAPE; the treated first."""
    experiment = nsw_mixtape.load_pandas().data
    if kind == "observational":
        experiment = experiment[experiment["treat"] == 1]
        experiment = pd.concat([experiment, cps_mixtape.load_pandas().data], ignore_index=True)
    frame = experiment.drop(columns="data_id").astype(float)
    return frame.assign(
        agesq=frame["age"] ** 2, agecube=frame["age"] ** 3, educsq=frame["educ"] ** 2,
        u74=(frame["re74"] == 0) * 1.0, u75=(frame["re75"] == 0) * 1.0, educ_re74=frame["educ"] * frame["re74"],
    )  # fmt: skip


def reference(name: str) -> Any:
    """A file of reference values."""
    return json.loads((REFERENCE / f"{name}.json").read_text())


SPECIFICATIONS = [
    ("simple (age educ black hisp marr nodegree re74 re75)", SIMPLE),
    ("mixtape (simple + agesq agecube educsq u74 u75 educ*re74)", MIXTAPE),
]
