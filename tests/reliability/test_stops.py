"""Fault 6: SIGTERM, SIGINT, SIGUSR1 and SIGHUP, and a second signal during the save that the first one asked for."""

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from apart import differences, finish, outcome, start, status
from torch import Tensor
from toys import small

from ncf.core.signals import STOPPED
from ncf.models.als import IALS
from ncf.runs import checkpoint, resume
from ncf.runs.artifacts import EPOCHS, RANKS, RESULT
from ncf.training.base import Tally

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP]


def signal_at(step: int, number: int) -> None:
    """A deed: the process sends itself the signal in this step of the first epoch."""
    check, left = Tally.check, [step]

    def signalling(self: Tally, values: list[Tensor]) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        check(self, values)

    Tally.check = signalling  # type: ignore[method-assign]


def signal_in_saves(number: int) -> None:
    """A deed: further signals at each of the system calls of a save that matter."""
    save, calls = checkpoint.save, {name: getattr(os, name) for name in ("fsync", "replace", "chmod")}

    def signalling(name: str, *args: object, **keys: object) -> None:
        os.kill(os.getpid(), number)
        calls[name](*args, **keys)
        os.kill(os.getpid(), number)

    def wrapped(folder: Path, state: dict) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, partial(signalling, name))
            save(folder, state)

    checkpoint.save = wrapped  # type: ignore[assignment]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_lets_the_step_finish_saves_and_says_how_to_go_on(
    number: signal.Signals, arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    deeds = partial(signal_at, 100, number), partial(signal_in_saves, number)
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, *deeds) == STOPPED, log.read_text()
    assert log.read_text().splitlines()[-1] == f"stopped; resume with python -m ncf.train resume={folder}"
    assert not (folder / RESULT).exists()
    saved = checkpoint.load(folder)
    assert saved is not None
    assert saved.progress.step == 100
    if number == signal.SIGTERM:
        assert finish([f"resume={folder}"], log) == 0, log.read_text()
        assert differences(outcome(folder), uninterrupted) == []


def test_a_signal_from_outside_does_the_same(arguments: list[str], tmp_path: Path) -> None:
    """As Slurm sends it before it takes the machine away; a second one follows at once."""
    folder, log = tmp_path / "run", tmp_path / "log"
    process = start([*arguments, "trainer.epochs=4000", "trainer.patience=4000", f"hydra.run.dir='{folder}'"], log)
    while not (folder / EPOCHS).exists() or not (folder / EPOCHS).read_text():
        assert process.exitcode is None, log.read_text()
        time.sleep(0.01)
    for _ in range(2):
        assert process.pid
        os.kill(process.pid, signal.SIGTERM)
    assert status(process) == STOPPED
    saved = checkpoint.load(folder)
    assert saved is not None
    assert saved.progress.epoch > 1
    assert not list(folder.glob(".tmp-*"))


def no_hangup() -> None:
    """A deed: start as nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_under_nohup_a_hangup_stays_ignored(
    arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    deeds = no_hangup, partial(signal_at, 100, signal.SIGHUP)
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, *deeds) == 0, log.read_text()
    assert differences(outcome(folder), uninterrupted) == []


def signal_in_half_sweep(number: int) -> None:
    """A deed: the process sends itself the signal in the second half-sweep of iALS, of a thousand sweeps."""
    half_step, left = IALS._half_step, [2]

    def signalling(self: IALS, *given: Any) -> Tensor:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        assert left[0] >= 0, "it went on"
        return half_step(self, *given)

    IALS._half_step = signalling  # type: ignore[method-assign]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_fit_without_gradients_is_stopped_too_and_starts_over(
    number: signal.Signals, root: Path, tmp_path: Path
) -> None:
    line = ["model=ials", "model.sweeps=9", *(o for o in small(root) if not o.startswith("model."))]
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*line, f"hydra.run.dir='{folder}'"], log, partial(signal_in_half_sweep, number)) == STOPPED
    assert log.read_text() == f"stopped; resume with python -m ncf.train resume={folder}\n"
    assert not (folder / RESULT).exists()
    if number == signal.SIGINT:
        assert finish([f"resume={folder}"], log) == 0, log.read_text()
        assert finish([*line, f"hydra.run.dir='{tmp_path / 'whole'}'"], log) == 0, log.read_text()
        assert (folder / RANKS).read_bytes() == (tmp_path / "whole" / RANKS).read_bytes()


def interrupt_the_start() -> None:
    """A deed: Ctrl-C before there is a run that could be saved."""
    spelt_out = resume.spelt_out

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

    def interrupted(*arguments: Any) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return spelt_out(*arguments)

    resume.spelt_out = interrupted


def test_before_the_run_begins_an_interrupt_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, interrupt_the_start) == 130
    assert log.read_text() == "interrupted\n"
    assert not folder.exists()
