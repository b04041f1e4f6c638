"""A run starts without what it does not need: modules that take a second to import and that no default uses."""

import subprocess
import sys
from pathlib import Path

import pytest
from toys import small

HEAVY = (
    "torch._dynamo", "torch._inductor", "sympy", "scipy.stats", "scipy.optimize", "matplotlib", "optuna", "joblib",
    "torchrec", "fbgemm_gpu", "ncf.runs.distributed", "ncf.training.distributed",
    "ray", "ncf.launch.ray_jobs", "ncf.launch.ray_process",
)  # fmt: skip
SAID = "imported: "
SCRIPT = f"""
import sys
from ncf import train
from ncf.launch import hydra_app
try:
    hydra_app.run(train.main)
finally:
    print({SAID!r} + ",".join(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("more", "status"),
    [
        pytest.param(["loss=focall"], 2, marks=pytest.mark.slow),  # the first part of what training imports
        (["trainer.epochs=1"], 0),
        pytest.param(["model=popularity"], 0, marks=pytest.mark.slow),
    ],
    ids=["a refusal", "training", "a fit"],
)
def test_a_run_imports_nothing_heavy_that_it_does_not_need(
    more: list[str], status: int, root: Path, tmp_path: Path
) -> None:
    line = [override for override in small(root) if not (more == ["model=popularity"] and override[:6] == "model.")]
    command = [sys.executable, "-c", SCRIPT, *line, *more, f"hydra.run.dir='{tmp_path / 'run'}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1] == SAID, done.stdout
