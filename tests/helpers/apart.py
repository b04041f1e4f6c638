"""Training in a process of its own, to be killed, starved or signalled."""

import functools
import importlib
import io
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from toys import same

from ncf import train
from ncf.core import command_line
from ncf.data import DATASETS
from ncf.errors import DataError
from ncf.launch import hydra_app
from ncf.runs import artifacts, checkpoint
from ncf.training import trainer

_OF_HYDRA = {
    "ncf.train": "train", "audited_train": "train", "ncf.simulate": "simulate", "ncf.service.__main__": "service",
}  # fmt: skip
UNREAD = "data: the settings are right, so it would be read now"
Deed = Callable[[], object]

# The server has imported what a run imports, so that each process starts in a fraction of a second.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["ncf.train", "ncf.launch.sweep", "ncf.stats", "torch._inductor", "hydra_plugins.ncf_stacked_launcher"]
)


def start(arguments: list[str], log: Path, *deeds: Deed, module: str = "ncf.train") -> BaseProcess:
    """`python -m <module>` with these arguments, begun; what it prints goes to `log`, `deeds` are done first."""
    process = _context.Process(target=_main, args=(module, arguments, str(log), deeds), daemon=True)
    process.start()
    return process


def _main(module: str, arguments: list[str], log: str, deeds: tuple[Deed, ...]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv[1:] = arguments
    for deed in deeds:
        deed()
    command = importlib.import_module(module).main
    if module in _OF_HYDRA:
        hydra_app.run(command, _OF_HYDRA[module])
    else:
        command_line.run(command)


def environment(**values: str) -> Deed:
    """A deed: set these environment variables."""
    return partial(_set_environment, values)


def _set_environment(values: dict[str, str]) -> None:
    os.environ.update(values)


def save_often() -> None:
    """A deed: a checkpoint every 64 steps."""
    trainer.GLANCE_STEPS = 64
    trainer.Trainer.due = lambda self, epoch_end=False: True  # type: ignore[method-assign]


def die_after(seconds: float) -> Deed:
    """A deed: the kernel ends the process after this many seconds of its own processor time, whatever it is doing.

    By the default action of SIGPROF, which like SIGKILL runs no handler and flushes nothing, but whose moment does not
    depend on how busy the machine is.
    """
    return partial(signal.setitimer, signal.ITIMER_PROF, seconds)


def half_a_gigabyte_more() -> None:
    """A deed: the process may have this much more memory than it has, then the kernel gives it none."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + (1 << 29)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def no_file_beyond(size: int) -> Deed:
    """A deed: a write that would make a file longer than `size` bytes fails, as on a full disk (File too large)."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


def status(process: BaseProcess) -> int:
    """The exit status, once it ends; minus the signal's number for a killed one."""
    process.join(200)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def finish(arguments: list[str], log: Path, *deeds: Deed, module: str = "ncf.train") -> int:
    """Run to the end; its exit status."""
    return status(start(arguments, log, *deeds, module=module))


def onward(arguments: list[str], folder: Path) -> list[str]:
    """What a user types to go on with `folder`, or to begin with it if it never came to that."""
    overrides = folder / ".hydra" / "overrides.yaml"  # empty, if Hydra was killed as it wrote them
    begun = overrides.exists() and overrides.stat().st_size > 0
    return [f"resume={folder}"] if begun else [*arguments, f"hydra.run.dir='{folder}'"]


def outcome(folder: Path) -> dict[str, object]:
    """What a finished run promises to be the same after any number of kills; timings are not."""
    saved, result = checkpoint.load(folder), artifacts.read_result(folder)
    assert saved is not None
    assert result is not None
    history = [{k: v for k, v in line.items() if "second" not in k} for line in saved.progress.history]
    lines = (folder / artifacts.EPOCHS).read_text().splitlines()
    return {
        **{key: getattr(saved, key) for key in ("model", "best", "optimizer", "loss_sum")},
        **{key: result[key] for key in ("valid", "test", "best_epoch", "epochs", "config_hash", "tied_positives")},
        "ranks": (folder / artifacts.RANKS).read_bytes(), "history": history, "lines": len(lines),
    }  # fmt: skip


def differences(a: dict[str, object], b: dict[str, object]) -> list[str]:
    """The names of what is not equal to the bit."""
    return [key for key in a.keys() | b.keys() if not same(a.get(key), b.get(key))]


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """`mount` with these options at `folder` while the context lasts. Raises OSError where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def _refusing(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load` with its keys, but it reads nothing."""

    @functools.wraps(load)
    def refuse(**keys: object) -> None:
        raise DataError(UNREAD)

    return refuse


@contextmanager
def no_data() -> Iterator[None]:
    """Data is not read while the context lasts: where it would be, DataError(UNREAD) is raised."""
    with patch.dict(DATASETS, {name: _refusing(load) for name, load in DATASETS.items()}):
        yield


def typed(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and stderr of `python -m ncf.train`, in this process and without data."""
    said = io.StringIO()
    line = ["ncf.train", *arguments, f"hydra.run.dir='{folder}'", "hydra/job_logging=none"]
    with patch.object(sys, "argv", line), no_data(), redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            hydra_app.run(train.main)
        except SystemExit as ending:
            return int(ending.code or 0), said.getvalue()
    return 0, said.getvalue()
