"""A worker's side of `hydra/launcher=ray`: the process beside a worker of Ray in which its runs are made.

Ray cancels a task by an exception in the worker's main thread; the process gets SIGTERM then, and saves its run. A
worker that is killed, or that Ray ends since the driver is gone, leaves a process that sees it, saves its run and ends.
This module imports neither ray nor torch, so that a worker stays small.
"""

import contextlib
import multiprocessing
import os
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from omegaconf import open_dict

from ncf.launch.driver import driving

SAVING_SECONDS = 60.0  # for a run to save itself when the sweep is stopped

_LOOK_SECONDS = 0.2

_kept: "_Process | None" = None  # from run to run: torch takes seconds to import


class _Process:
    """A process that makes one run after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_begin, args=(theirs,), daemon=True)
        self.devices = _devices()
        with driving():
            self._process.start()
        theirs.close()

    def run(self, shared: bytes, overrides: list[str], number: int) -> JobReturn:
        """Make a run. Raises EOFError or OSError if the process dies."""
        self._pipe.send((shared, overrides, number))
        while not self._pipe.poll(_LOOK_SECONDS):  # not for ever: an exception from another thread interrupts no wait
            if not self._process.is_alive() and not self._pipe.poll():
                raise EOFError
        result: JobReturn = self._pipe.recv()
        return result

    def stop(self) -> None:
        """Have the run in hand saved, and end the process."""
        self._process.terminate()
        self._process.join(SAVING_SECONDS)

    def close(self) -> None:
        """Let the process end."""
        self._pipe.close()


def run(shared: bytes, overrides: list[str], number: int) -> JobReturn | None:
    """Make a run, as a task of Ray.

    Args:
        shared: see `_run`.
        overrides: of the run.
        number: of the job.

    Returns:
        What Hydra's job returned, or None if its process died.
    """
    global _kept
    if _kept is not None and _kept.devices != _devices():  # it has begun to use others
        _kept.close()
        _kept = None
    process, _kept = _kept or _Process(), None
    try:
        result = process.run(shared, overrides, number)
    except (EOFError, OSError):
        process.close()
        return None
    except KeyboardInterrupt:
        process.stop()
        raise
    if result.status == JobStatus.COMPLETED:
        _kept = process
    else:
        process.close()
    return result


def _devices() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")  # Ray sets it for each task


def _begin(pipe: Any) -> None:
    """Be the process, which ends with the worker: the pipe is closed then, and a run in hand watches its driver."""
    if _serve(pipe):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # Python takes seconds to take the modules of ray down


def _serve(pipe: Any) -> bool:
    """Make the runs that come through `pipe`, until it is closed or a run is stopped; return whether one was."""
    stopped = False
    while not stopped:
        try:
            job = pipe.recv()
        except EOFError:
            break
        try:
            result = _run(*job)
        except SystemExit as ending:
            result = JobReturn(status=JobStatus.FAILED)
            result.return_value, stopped = ending, True
        with contextlib.suppress(OSError):  # the worker is gone
            pipe.send(result)
    return stopped


def _run(shared: bytes, overrides: list[str], number: int) -> JobReturn:
    """Make a run, as Hydra's own launchers do.

    Args:
        shared: the pickled context, configuration and job function of Hydra, and its global state.
        overrides: of the run.
        number: of the job.
    """
    from ray import cloudpickle

    context, config, job, state = cloudpickle.loads(shared)
    setup_globals()
    Singleton.set_state(state)
    settings = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(settings):
        settings.hydra.job.id = f"{settings.hydra.job.name}_{number}"
        settings.hydra.job.num = number
    HydraConfig.instance().set_config(settings)
    result = run_job(
        task_function=job, config=settings, job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )  # fmt: skip
    result.cfg = result.hydra_cfg = None  # no sweeper reads them, and they may hold classes that cannot be pickled here
    return result
