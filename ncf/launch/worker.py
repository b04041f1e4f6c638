"""A worker process of the stacked launcher: trains the runs of a sweep many at a time, as stacks.

The run folders are the queue: a worker claims the next run that is not locked. If it has the same shape as those in the
current stack it joins them; otherwise it starts the next stack once the current one is empty.
"""

import contextlib
import logging
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from ncf.core.compose import compose, configuration
from ncf.core.signals import StopFlag, stop_flag
from ncf.errors import CheckpointError, NcfError
from ncf.launch.driver import end_with
from ncf.launch.run_folder import record
from ncf.runs.job import Job, open_job
from ncf.runs.own_files import refuse_strange_files
from ncf.runs.plan import plan_run
from ncf.runs.state import ClaimError, claim, done, failures_recorded
from ncf.runs.tracking import NoTracker
from ncf.training.fast.stack import signature, stack_size, stackable, train_stacked
from ncf.training.trainer import Trainer

log = logging.getLogger(__name__)


class Worker:
    """Works through `jobs` (run folder -> overrides) until each is done, failed or locked by another process."""

    def __init__(
        self, jobs: Mapping[Path, Sequence[str]], size: int | None, stopped: StopFlag, config_dir: str | None = None
    ) -> None:
        self._jobs, self._size, self._stopped, self._config_dir = iter(jobs.items()), size, stopped, config_dir
        self._claims: dict[Path, contextlib.ExitStack] = {}
        self._next: Job | None = None  # claimed, but of another shape than the current stack

    def work(self) -> None:
        """Train one stack after another."""
        while not self._stopped() and (first := self._take()) is not None:
            joined: dict[int, Job] = {}
            assert isinstance(first.trainer, Trainer)
            size = self._size or stack_size(first.trainer)
            for trainer, error in train_stacked(self._compatible(first, joined), size):
                self._end(joined.pop(id(trainer)), error)
        for folder in list(self._claims):
            self._release(folder)

    def _compatible(self, first: Job, joined: dict[int, Job]) -> Iterator[Trainer]:
        """Yield `first` and the runs after it, up to the first of another shape."""
        assert isinstance(first.trainer, Trainer)
        shape, job = signature(first.trainer), first
        while True:
            assert isinstance(job.trainer, Trainer)
            joined[id(job.trainer)] = job
            yield job.trainer
            following = None if self._stopped() else self._take()
            if following is None:
                return
            assert isinstance(following.trainer, Trainer)
            if signature(following.trainer) != shape:
                self._next = following
                return
            job = following

    def _take(self) -> Job | None:
        """Return the next run that can join a stack; train those that cannot on the way, and record failures."""
        if (kept := self._next) is not None:
            self._next = None
            return kept
        for folder, overrides in self._jobs:
            if self._stopped():
                return None
            with contextlib.suppress(ClaimError, CheckpointError):
                if not done(folder):
                    refuse_strange_files(folder)
                    self._claim(folder)
                    job = self._prepare(folder, overrides)
                    if job is not None:
                        return job
                    self._release(folder)
        return None

    def _prepare(self, folder: Path, overrides: Sequence[str]) -> Job | None:
        with contextlib.suppress(Exception), failures_recorded(folder):
            cfg = compose(overrides, self._config_dir)
            job = open_job(plan_run(cfg), folder, self._stopped)
            if not isinstance(job, Job):
                return None
            record(folder, cfg, [line for line in overrides if not line.startswith("hydra")])
            tracked = not isinstance(job.plan.tracking, NoTracker)  # a tracker follows one run at a time
            if isinstance(job.trainer, Trainer) and stackable(job.trainer) and not tracked:
                return job
            job.run()
        return None

    def _end(self, job: Job, error: NcfError | None) -> None:
        with contextlib.suppress(Exception), failures_recorded(job.folder):
            if error is not None:
                raise error
            job.finish()
        self._release(job.folder)

    def _claim(self, folder: Path) -> None:
        """Lock the run. Raises ClaimError if another process has locked it."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(claim(folder))
            self._claims[folder] = stack.pop_all()

    def _release(self, folder: Path) -> None:
        self._claims.pop(folder).close()


def work(jobs: Mapping[Path, Sequence[str]], size: int | None, config_dir: str | None = None) -> None:
    """Run one worker process to its end; stacks hold at most `size` runs (None: `stack_size`)."""
    with configuration(), stop_flag() as stopped:
        Worker(jobs, size, stopped, config_dir).work()


def work_in_processes(
    jobs: Mapping[Path, Sequence[str]], n_jobs: int, size: int | None, config_dir: str | None
) -> None:
    """Work through `jobs` in `n_jobs` processes (-1: one per core), each with stacks of at most `size` runs.

    Args:
        config_dir: folder of the user's own YAML files; see `compose`.
    """
    processes = min(n_jobs if n_jobs > 0 else os.cpu_count() or 1, len(jobs))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=end_with, initargs=(os.getpid(),)) as pool:
        for worker in [pool.submit(work, jobs, size, config_dir) for _ in range(processes)]:
            worker.result()
