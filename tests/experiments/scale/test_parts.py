"""What was measured of parts is what docs/scale.md says, and small runs are measured likewise."""

import json
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from experiments.scale import parts
from experiments.scale.plot import RESULTS

DOCS = Path(__file__).parents[3] / "docs/scale.md"


def test_the_page_has_the_figures() -> None:
    found = json.loads((RESULTS / "parts.json").read_text())
    page = " ".join(DOCS.read_text().split())
    assert " ".join(parts.table(found).split()) in page
    assert (
        f"{found['users'] // 10**6} x 10^6 users x {found['factors']} in a file of {found['file_mb'] / 1024:.2f} GB"
        in page
    )
    assert f"a process without weights has {found['bare']['peak_mb'] / 1024:.2f}" in page


def test_a_made_run_is_one_that_both_commands_take(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with patch.multiple(parts, USERS=50, ITEMS=20, FACTORS=4):
        parts.make(tmp_path / "run")
        options = [f"run={tmp_path / 'run'}", f"output={tmp_path / 'out'}", "part=1/2"]
        found = parts.process("export", [*options, "forms=parquet"])
    assert found["peak_mb"] > 0
    assert pd.read_parquet(tmp_path / "out/users.parquet")["id"].tolist() == list(range(25, 50))
