"""`python -m ncf.train` with a witness, and with faults on demand, for tests of sweeps.

$AUDIT is a file that gets a line whenever a training really starts or ends, in whichever process. $FAULTS maps a seed
to what befalls its run once it has started: "error", "memory", "kill", or "preempt": once, after two epochs, the signal
by which a cluster announces that it takes the machine back.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hydra
from omegaconf import DictConfig

from ncf import train
from ncf.core.compose import CONF
from ncf.launch import hydra_app
from ncf.runs import artifacts
from ncf.runs.job import Job, Result
from ncf.runs.plan import RunPlan


def witness(event: str, folder: Path) -> None:
    """Append one line in one write, which the system keeps whole."""
    with Path(os.environ["AUDIT"]).open("ab", buffering=0) as file:
        file.write(f"{event} {folder.name} {os.getpid()}\n".encode())


def befall(fault: str | None, folder: Path) -> None:
    """The fault that a test asked for."""
    if fault == "error":
        raise RuntimeError("planted error")
    if fault == "memory":
        raise MemoryError("planted: out of memory")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "preempt" and Path(os.environ["AUDIT"]).read_text().count(f"start {folder.name} ") == 1:
        threading.Thread(target=preempt, args=[folder], daemon=True).start()


def preempt(folder: Path) -> None:
    """SIGUSR2 after two epochs."""
    while len((folder / artifacts.EPOCHS).read_text().splitlines()) < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGUSR2)


def open_job(plan: RunPlan, folder: Path, stopped: Callable[[], bool]) -> Job | Result:
    """`open_job` of `ncf.train`, witnessed: a run that is done already does not start."""
    opened = original_open_job(plan, folder, stopped)
    if isinstance(opened, Job):
        witness("start", folder)
        befall(json.loads(os.environ.get("FAULTS", "{}")).get(str(plan.run.seed)), folder)
    return opened


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """`artifacts.write_result`, witnessed before it, so that a kill in between counts as a run done twice."""
    witness("end", folder)
    original_write_result(folder, result)


original_open_job, original_write_result = train.open_job, artifacts.write_result


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> Any:
    """The job of `ncf.train`, in whichever process the launcher puts it."""
    with patch.object(train, "open_job", open_job), patch.object(artifacts, "write_result", write_result):
        return train.main.__wrapped__(cfg)  # type: ignore[attr-defined]


if __name__ == "__main__":
    hydra_app.run(main)
