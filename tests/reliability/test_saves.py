"""Faults 2, 3 and 5: killed inside the save; the order of its system calls; checkpoints damaged afterwards."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from apart import differences, finish, outcome
from toys import same

from ncf.core.files import remove_temporaries
from ncf.errors import CheckpointError
from ncf.runs import checkpoint
from ncf.runs.checkpoint import DAMAGED, NEWEST, PREVIOUS
from ncf.training.trainer import Progress

CALLS = ("open", "fsync", "chmod", "rename", "replace", "unlink", "close")


def state(epoch: int) -> dict[str, Any]:
    """What a trainer has to save, with a weight that tells the epoch."""
    return {
        "settings": {},
        "progress": vars(Progress(epoch=epoch)),
        "best": {},
        "model": {"weight": torch.full((300, 100), float(epoch))},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoints of epochs 1 and 2."""
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch))
    return tmp_path


def in_a_fork(deed: Callable[[], None]) -> int:
    """Do it in a copy of this process; minus the number of the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            deed()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def saving_killed_at(folder: Path, call: int, after: bool) -> Callable[[], None]:
    """Save epoch 3, but be killed by SIGKILL before or after the system call of this number."""
    left = [call]

    def deadly(name: str) -> Callable:
        original = getattr(os, name)

        def wrapped(*args: object, **keys: object) -> object:
            left[0] -= 1
            if left[0] == 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **keys)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    def deed() -> None:
        for name in CALLS:
            setattr(os, name, deadly(name))
        checkpoint.save(folder, state(3))

    return deed


def assert_whole(folder: Path, epochs: set[int]) -> int:
    """Whatever checkpoint is there loads, is one of `epochs` and complete; strays are ignored and can be cleared."""
    loaded = checkpoint.load(folder)
    assert loaded is not None
    epoch = loaded.progress.epoch
    assert epoch in epochs
    assert same(loaded.model, state(epoch)["model"])
    remove_temporaries(folder)
    assert {path.name for path in folder.iterdir()} <= {NEWEST, PREVIOUS}
    return epoch


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_system_call_of_a_save_leaves_a_whole_checkpoint(folder: Path, after: bool) -> None:
    found = []
    for call in range(1, 100):
        copy = shutil.copytree(folder, folder.parent / f"copy-{after}-{call}")
        if in_a_fork(saving_killed_at(copy, call, after)) == 0:
            break
        found.append(assert_whole(copy, {1, 2, 3}))
        checkpoint.save(copy, state(4))  # and saving goes on
        assert assert_whole(copy, {4}) == 4
    assert len(found) >= 5
    assert found == sorted(found, key=lambda epoch: epoch == 3)  # the new one once it is there, the old one until then
    assert set(found) >= {2, 3}


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 60_000, 119_000])
def test_a_kill_in_the_middle_of_the_writing_leaves_the_old_checkpoint(folder: Path, size: int) -> None:
    """The kernel ends the process at the write that passes `size` bytes (SIGXFSZ, whose default runs no handler)."""

    def deed() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        checkpoint.save(folder, state(3))

    assert in_a_fork(deed) == -signal.SIGXFSZ
    assert assert_whole(folder, {2}) == 2


ORDER = ["write", "fsync file", "rename newest to previous", "rename new to newest", "fsync folder"]


def test_a_save_writes_syncs_renames_and_syncs_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    originals = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def fsync(descriptor: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"
        if kind == "file":
            calls.extend(["write"] if os.fstat(descriptor).st_size > 100_000 else [])
        calls.append(f"fsync {kind}")
        originals["fsync"](descriptor)

    def replace(old: str, new: str) -> None:
        names = {folder / NEWEST: "newest", folder / PREVIOUS: "previous"}
        calls.append(f"rename {names.get(Path(old), 'new')} to {names.get(Path(new), '?')}")
        originals["replace"](old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)
    checkpoint.save(folder, state(3))
    assert calls == ORDER


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_the_calls_of_a_save_in_that_order(folder: Path) -> None:
    program = (
        "import torch, pathlib, sys; from ncf.runs import checkpoint; "
        "checkpoint.save(pathlib.Path(sys.argv[1]), {'weight': torch.zeros(300, 100)})"
    )
    calls = "trace=write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat"
    options = ["strace", "-f", "-y", "--seccomp-bpf", "-e", calls, "-o", str(folder.parent / "trace")]
    done = subprocess.run([*options, sys.executable, "-c", program, str(folder)], capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("this machine does not allow tracing")
    assert done.returncode == 0, done.stderr
    seen = [name for line in (folder.parent / "trace").read_text().splitlines() if (name := named(line, folder))]
    assert [name for i, name in enumerate(seen) if name != seen[i - 1]] == ORDER


def named(line: str, folder: Path) -> str | None:
    """A line of the trace in the words of ORDER, None if it is about something else."""
    if str(folder) not in line:
        return None
    call = re.search(r"(\w+)\(", line)
    assert call
    if "sync" in call[1]:
        return "fsync folder" if f"<{folder}>" in line else "fsync file"
    if "rename" in call[1]:
        return "rename newest to previous" if line.count(NEWEST) == 1 and PREVIOUS in line else "rename new to newest"
    return "write"


def damaged(path: Path, kind: str) -> None:
    """Spoil the file in place."""
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "bit flipped":
        content[len(content) // 2] ^= 4
    elif kind == "zero length":
        content = bytearray()
    elif kind == "zeroed block":
        middle = len(content) // 3
        content[middle : middle + 4096] = bytes(4096)
    elif kind == "another file":
        content = bytearray(b"<html>404</html>")
    path.write_bytes(content)


KINDS = ["truncated", "bit flipped", "zero length", "zeroed block", "another file"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_refused_and_the_previous_one_used(folder: Path, kind: str) -> None:
    damaged(folder / NEWEST, kind)
    with pytest.raises(CheckpointError, match=rf"{NEWEST}: .*damaged"):
        checkpoint.read(folder / NEWEST)
    loaded = checkpoint.load(folder)
    assert loaded is not None
    assert loaded.progress.epoch == 1
    assert not (folder / DAMAGED).exists()  # reading changes nothing; a run that goes on does
    checkpoint.set_damaged_aside(folder, loaded)
    assert {path.name for path in folder.iterdir()} == {PREVIOUS, DAMAGED}


def test_no_truncation_and_no_flipped_bit_ever_gives_other_content(folder: Path) -> None:
    """Where a flip hits bytes that hold nothing, the content is still the right one; else the file is refused."""
    whole, path, moments = (folder / NEWEST).read_bytes(), folder / "one.pt", random.Random(3)
    expected, accepted = checkpoint.read(folder / NEWEST), 0
    small = [*range(1200), *range(len(whole) - 1200, len(whole))]  # headers, pickle and directory, not the numbers
    for position in [*moments.sample(small, 150), *moments.sample(range(len(whole)), 150)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << moments.randrange(8)
        for content in (flipped, whole[:position]):
            path.write_bytes(content)
            with contextlib.suppress(CheckpointError):
                assert same(checkpoint.read(path).state(), expected.state())
                accepted += 1
    assert accepted < 150


def test_a_run_goes_on_from_the_previous_checkpoint_to_the_same_bits(
    arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{run}'"], log) == 0
    (run / "result.json").unlink()
    damaged(run / NEWEST, "bit flipped")
    assert finish([f"resume={run}"], log) == 0, log.read_text()
    assert "using this checkpoint instead" in log.read_text()
    assert differences(outcome(run), uninterrupted) == []


def test_a_run_whose_checkpoints_are_both_damaged_says_so_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{run}'", "trainer.epochs=2"], log) == 0
    (run / "result.json").unlink()
    for name in (NEWEST, PREVIOUS):
        damaged(run / name, "truncated")
    assert finish([f"resume={run}"], log) == 2
    last = log.read_text().splitlines()[-1]
    assert last.startswith("error: ")
    assert "delete the checkpoints to start the run over" in last
