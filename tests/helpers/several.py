"""What the tests of runs on several processes build with."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

THERE = importlib.util.find_spec("torchrec") is not None
WHY = "torchrec is not installed: make setup installs it"

ROOT = Path(__file__).parents[2]


def require_torchrec() -> None:
    """Skip a module of tests where torchrec is missing; on a machine of CI, which must run them, fail instead."""
    if not THERE and os.environ.get("CI"):
        pytest.fail(WHY, pytrace=False)
    if not THERE:
        pytest.skip(WHY, allow_module_level=True)


def torchrun(processes: int, arguments: Iterable[str]) -> list[str]:
    """Return the command line of a run on several processes of this machine, at a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, "-m", "ncf.train", *arguments]


def finish(command: Sequence[str], status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must have this status."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-4000:]
    return done
