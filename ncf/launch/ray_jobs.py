"""The driver's side of `hydra/launcher=ray`: hands jobs to Ray, and stops them when the sweep is stopped.

Ray ends its workers when their driver ends, at once and whatever they do, so a run has a process of its own beside the
worker: `ncf.launch.ray_process`.
"""

import contextlib
import importlib.util
import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ncf.core.signals import handling
from ncf.errors import ConfigError
from ncf.launch import ray_process

LOCAL = "local"

_LOOK_SECONDS = 0.5
_ORPHAN_SECONDS = 3.0  # longer than a run needs to see that Ray's worker has died, and to save itself
_STORE_BYTES = 100 * 2**20  # for what Ray passes around; by itself it would set aside a third of the memory
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_kill_child_processes_on_worker_exit": "false",  # they save their runs, and end by themselves
}

Work = tuple[HydraContext | None, DictConfig, TaskFunction | None]
"""What all jobs have in common: Hydra's context, the multirun's configuration and the function of a job."""


@dataclass(frozen=True)
class Room:
    """Where jobs run, and the room of each there.

    Attributes:
        address: "local" for a Ray of this process's own, "auto" for the cluster that runs here, or a cluster's address.
        n_jobs: number of jobs at a time; -1 for as many as Ray has room for.
        cpus: cores that Ray sets aside for a job.
        gpus: GPUs for a job, or the share of one.
    """

    address: str
    n_jobs: int
    cpus: float
    gpus: float

    def check(self) -> None:
        """Raise ConfigError if a setting is invalid, or ray is not installed; ray is not imported."""
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("hydra/launcher=ray: ray is not installed; pip install 'ncf[ray]' brings it")
        if not isinstance(self.address, str) or not self.address:
            raise ConfigError(f"hydra.launcher.address: expected local, auto or host:port, got {self.address!r}")
        if not _is_number(self.n_jobs, int) or (self.n_jobs < 1 and self.n_jobs != -1):
            raise ConfigError(f"hydra.launcher.n_jobs: expected -1 or an integer >= 1, got {self.n_jobs!r}")
        if not _is_number(self.cpus, int | float) or not 0 < self.cpus < math.inf:
            raise ConfigError(f"hydra.launcher.cpus: expected a number > 0, got {self.cpus!r}")
        if not _is_number(self.gpus, int | float) or not 0 <= self.gpus < math.inf:
            raise ConfigError(f"hydra.launcher.gpus: expected a number >= 0, got {self.gpus!r}")


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def launch(work: Work, jobs: Sequence[list[str]], first: int, room: Room) -> list[JobReturn]:
    """Run the jobs (lists of overrides), which are numbered from `first`, and return what those that ended returned.

    On a stop signal the runs in hand save themselves, before the signal has the effect that it has for the caller.

    Raises:
        ConfigError: this machine has too few GPUs for a job.
        BrokenProcessPool: a job's process died; the others have ended.
    """
    ray = _connected(room)
    shared = ray.put(ray.cloudpickle.dumps((*work, Singleton.get_state())))
    job = ray.remote(num_cpus=room.cpus, num_gpus=room.gpus, max_retries=0)(ray_process.run)
    signals: list[int] = []
    with handling(lambda number, frame: signals.append(number)):
        tasks = _Tasks(ray, job, shared, list(enumerate(jobs, first)), len(jobs) if room.n_jobs < 0 else room.n_jobs)
        tasks.work_off(signals)
    if signals:
        signal.raise_signal(signals[0])
    if tasks.died:
        raise BrokenProcessPool(f"{tasks.died} of {len(jobs)} processes died")
    return tasks.returned()


class _Tasks:
    """Jobs at Ray: those that wait, those in hand, and what the others returned."""

    def __init__(self, ray: Any, job: Any, shared: Any, jobs: list[tuple[int, list[str]]], at_once: int) -> None:
        self._ray, self._job, self._shared, self._at_once = ray, job, shared, at_once
        self._waiting, self._pending = deque(jobs), dict[Any, int]()
        self._returned: dict[int, JobReturn] = {}
        self.died = 0

    def work_off(self, signals: Sequence[int]) -> None:
        """Run all jobs; once there is a signal, have those in hand saved and begin no other."""
        while (self._waiting or self._pending) and not signals:
            while self._waiting and len(self._pending) < self._at_once:
                number, overrides = self._waiting.popleft()
                self._pending[self._job.remote(self._shared, overrides, number)] = number
            ended, _ = self._ray.wait(list(self._pending), timeout=_LOOK_SECONDS)
            for task in ended:
                self._take(task, self._pending.pop(task))
        for task in self._pending:
            self._ray.cancel(task)
        if self._pending:
            tasks = list(self._pending)
            self._ray.wait(tasks, num_returns=len(tasks), timeout=ray_process.SAVING_SECONDS)

    def returned(self) -> list[JobReturn]:
        """Return what the jobs returned, in their order."""
        return [self._returned[number] for number in sorted(self._returned)]

    def _take(self, task: Any, number: int) -> None:
        """Take what a task returned, or note that its process died: None if it was the run's, an error if Ray's."""
        errors = self._ray.exceptions
        try:
            result = self._ray.get(task)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError):
            time.sleep(_ORPHAN_SECONDS)
            result = None
        if result is None:
            self.died += 1
        else:
            self._returned[number] = result


def _connected(room: Room) -> Any:
    """Return the module ray, connected. Raises ConfigError if there is no cluster, or too few GPUs."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if not ray.is_initialized():
        logging.getLogger("ray").setLevel(logging.ERROR)
        with _own_handler_kept():
            try:
                ray.init(
                    address=room.address, log_to_driver=False, configure_logging=False,
                    **(_own(room) if room.address == LOCAL else {}),
                )  # fmt: skip
            except ConnectionError as error:
                raise ConfigError(
                    f"hydra.launcher.address: expected a cluster of Ray at {room.address}, found none "
                    f"({' '.join(str(error).split()):.100}); ray start --head starts one here, local does without"
                ) from None
    if room.gpus and room.address == LOCAL and (found := ray.cluster_resources().get("GPU", 0)) < room.gpus:
        raise ConfigError(f"hydra.launcher.gpus: expected at most the {found:g} GPUs of this machine, got {room.gpus}")
    return ray


def _own(room: Room) -> dict[str, Any]:
    """Return the options of a Ray of one's own, which has room for `n_jobs` jobs, and for one at least."""
    cpus = math.ceil(room.n_jobs * room.cpus) if room.n_jobs > 0 else None  # None: what Ray finds
    if cpus is None and room.cpus > (os.cpu_count() or 1):
        cpus = math.ceil(room.cpus)
    return {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE_BYTES}


@contextlib.contextmanager
def _own_handler_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by one that exits with the signal's number."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as ending:
        signal.signal(signal.SIGTERM, before)
        if ending.code == signal.SIGTERM:
            signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
