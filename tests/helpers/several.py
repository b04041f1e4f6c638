"""What the tests of runs on several processes build with."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import small

from ncf.runs import checkpoint

THERE = importlib.util.find_spec("torchrec") is not None
WHY = "torchrec is not installed: make setup installs it"

ROOT = Path(__file__).parents[2]


def require_torchrec() -> None:
    """Skip a module of tests where torchrec is missing; on a machine of CI, which must run them, fail instead."""
    if not THERE and os.environ.get("CI"):
        pytest.fail(WHY, pytrace=False)
    if not THERE:
        pytest.skip(WHY, allow_module_level=True)


def torchrun(processes: int, arguments: Iterable[str], module: str = "ncf.train") -> list[str]:
    """Return the command line of a command on several processes of this machine, at a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, "-m", module, *arguments]


def finish(command: Sequence[str], status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must have this status."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-4000:]
    return done


MODELS = {
    "neumf": (),
    "gmf": ("model=gmf", "model.factors=6"),
    "mlp": ("model=mlp", "model.factors=8"),
    "mf": ("model=mf", "model.factors=6"),
}


def line(root: Path, name: str, *more: str) -> list[str]:
    """The overrides of a small run of a model."""
    base = [
        o for o in small(root) if name == "neumf" or not o.startswith("model.") or (name == "mlp" and "hidden" in o)
    ]
    return [*base, *MODELS[name], *more]


def _weights(folder: Path) -> dict[str, Tensor]:
    saved = checkpoint.load(folder)
    assert saved is not None
    return saved.best


def assert_alike(one: Path, other: Path, steps: int = 72) -> None:
    """Ranks equal to the byte; weights to float32's 24 bits over the `steps` that may round differently."""
    a, b = _weights(one), _weights(other)
    assert list(a) == list(b)
    for name in a:
        bound = steps * torch.finfo(torch.float32).eps * max(1.0, float(a[name].abs().max()))
        assert (a[name] - b[name]).abs().max() <= bound, name
    assert (one / "ranks.csv").read_bytes() == (other / "ranks.csv").read_bytes()
    lines = [[json.loads(row) for row in (run / "metrics.jsonl").open()] for run in (one, other)]
    for left, right in zip(*lines, strict=True):
        assert left["ndcg@10"] == right["ndcg@10"]
        assert left["train_loss"] == pytest.approx(right["train_loss"], rel=1e-6)
