"""What the tests of sweeps build with: a small registered study, and runs of the command line that are witnessed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from toys import small

from ncf.runs.tables import read_runs, read_users

STUDY = Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml"


_started: list["subprocess.Popen[bytes]"] = []


def small_study(folder: Path, seeds: int = 2) -> Path:
    """The study's registration with few seeds at each ratio."""
    plan = OmegaConf.load(STUDY)
    few = {4: seeds, 10: seeds, 50: seeds}
    plan.seeds, plan.pilot = few, []
    for grid in plan.grids.values():
        grid.seeds = few
    path = folder / "preregistration.yaml"
    OmegaConf.save(plan, path)
    return path


def h3_at_4(root: Path, study: Path, sweep: Path, *more: str) -> list[str]:
    """Arguments of a sweep of H3 at 1:4: four losses a seed, each run below a second."""
    return [
        "-m", "experiment=h3", "neg_ratio=4", f"registration='{study}'", f"hydra.sweep.dir='{sweep}'",
        "hydra.sweeper.conclusive=false", *small(root, *more),
    ]  # fmt: skip


def start(
    arguments: list[str], audit: Path, faults: dict[int, str] | None = None, launcher: str = "cores"
) -> "subprocess.Popen[bytes]":
    """A sweep in a process of its own, witnessed in `audit` (see audited_train.py); what it says goes to `said`."""
    env = os.environ | {"AUDIT": str(audit), "FAULTS": json.dumps(faults or {})}
    command = [
        sys.executable,
        str(Path(__file__).parent / "audited_train.py"),
        *arguments,
        f"hydra/launcher={launcher}",
    ]
    with said(audit).open("wb") as log:  # a file: orphans of a killed driver would hold a pipe open
        _started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True))
    return _started[-1]


def end_all() -> None:
    """Kill every sweep that was started, and the workers that it has left."""
    while _started:
        driver = _started.pop()
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def said(audit: Path) -> Path:
    """Where a sweep's output goes."""
    return audit.with_suffix(".log")


def run_out(arguments: list[str], audit: Path, launcher: str = "cores") -> None:
    """Start the sweep again and again until it is done; orphans of a killed one may have runs in hand."""
    for _ in range(20):
        status = start(arguments, audit, launcher=launcher).wait()
        if status != 75:
            break
        time.sleep(0.5)
    assert status == 0, said(audit).read_text()


def wait_for(happened: Callable[[], bool], seconds: float = 200) -> None:
    """Return once `happened()`; AssertionError if it takes too long."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(audit: Path, kind: str) -> Counter[str]:
    """How often each run started or ended."""
    lines = audit.read_text().splitlines() if audit.exists() else []
    return Counter(run for event, run, _ in map(str.split, lines) if event == kind)


def outcome(sweep: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All that a sweep found out, without how long it took."""
    return read_runs([sweep]).drop(columns=["train_seconds", "valid_seconds", "commit"]), read_users([sweep])
