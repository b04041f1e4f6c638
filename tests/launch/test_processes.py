"""One run on several processes: who speaks, who works beside rank 0, and what the others leave out."""

import math
import subprocess
import sys

import pytest
from toys import compose

from ncf.core.signals import STOPPED
from ncf.errors import ConfigError, FileError
from ncf.launch import processes

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_WORLD_SIZE")


def started(monkeypatch: pytest.MonkeyPatch, rank: int | None, size: int = 2) -> None:
    """Set what torchrun sets for this rank of `size` processes; None: as without torchrun."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if rank is not None:
        given = (str(rank), str(size), "localhost", str(size))
        for name, value in zip(VARIABLES, given, strict=True):
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("rank", "size", "speaks", "launcher"),
    [
        (None, 1, True, "python"),
        (0, 1, True, "python"),
        (0, 3, True, "torchrun --nproc-per-node=3"),
        (2, 3, False, "torchrun --nproc-per-node=3"),
    ],
)
def test_rank_0_speaks_and_the_others_leave_no_folder(
    rank: int | None, size: int, speaks: bool, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, rank, size)
    assert processes.speaks() is speaks
    assert processes.without_folder() == ([] if speaks else ["hydra.run.dir=.", "hydra.output_subdir=null"])
    assert processes.launcher() == launcher


def test_variables_of_another_launcher_do_not_make_several(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, 1)
    monkeypatch.delenv("MASTER_ADDR")
    assert processes.speaks()
    assert not processes.beside(compose())


def test_several_processes_need_a_run_that_is_made_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, sharded = compose(), compose("trainer=distributed")
    for rank, beside in ((None, False), (0, False), (1, True)):
        started(monkeypatch, rank)
        assert processes.beside(sharded) is beside
    with pytest.raises(ConfigError, match="expected trainer=distributed for 2 processes"):
        processes.beside(plain)
    started(monkeypatch, None)
    assert not processes.beside(plain)


def test_each_error_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    own, known = FileError("of one process"), ConfigError("the same in every process")
    agreed, later = FileError("told to all"), FileError("another process was first")
    agreed.agreed, later.first = True, False  # type: ignore[attr-defined]
    said = {}
    for rank in (0, 1):
        started(monkeypatch, rank)
        said[rank] = [processes.to_be_said(error) for error in (own, known, agreed, later)]
    assert said == {0: [True, True, True, False], 1: [True, False, False, False]}


def test_a_process_beside_rank_0_ends_as_its_training_does() -> None:
    assert math.isnan(processes.follow(lambda *_: {"ndcg@10": 0.5}, compose()))
    with pytest.raises(SystemExit) as caught:
        processes.follow(lambda *_: None, compose())
    assert caught.value.code == STOPPED


ENDING = """
import atexit, sys
import torch.distributed as dist
from ncf.launch import processes
atexit.register(print, "written at the end")
if {met}:
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
with processes.one_of_several():
    atexit.register(sys.stdout.write, "no newline")
    {ends}
print("only where none was met")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [("pass", 0, ""), ("sys.exit(75)", 75, ""), ("sys.exit(None)", 0, ""), ("1 / 0", 1, "ZeroDivisionError")],
)
def test_a_process_that_met_others_ends_within_the_context(ends: str, status: int, said: str) -> None:
    code = ENDING.format(met=True, ends=ends)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (status, "no newlinewritten at the end\n")
    assert said in done.stderr
    assert bool(said) or not done.stderr


def test_a_process_that_met_none_goes_on() -> None:
    with processes.one_of_several():
        pass
    for error in (SystemExit(3), ZeroDivisionError()):
        with pytest.raises(type(error)) as caught, processes.one_of_several():
            raise error
        assert caught.value is error
