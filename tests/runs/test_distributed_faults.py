"""Faults of runs on two processes: one stopped, one killed; and whole runs over seeds. Minutes long."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from several import ROOT, assert_alike, finish, line, require_torchrec, torchrun
from toys import run

require_torchrec()

pytestmark = pytest.mark.slow

ENDS_WITHIN = 30  # seconds
MANY = ("trainer=distributed", "trainer.sharding=row", "trainer.checkpoint_every=1epoch", "trainer.patience=1000")


def begun(folder: Path, *overrides: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A run of two processes that has saved, and the processes, by rank."""
    command = torchrun(2, [*overrides, *MANY, f"hydra.run.dir='{folder}'"])
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own, cwd=ROOT)
    end = time.monotonic() + 120
    while not (folder / "checkpoint.sharded/state.json").exists():
        assert started.poll() is None, started.communicate()[1][-3000:]
        assert time.monotonic() < end
        time.sleep(0.05)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    return started, [int(child) for child in children]


def runs(process: int) -> bool:
    """Whether the process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(started: subprocess.Popen[str], within: float = ENDS_WITHIN) -> str:
    """What a run that was disturbed says, without the frames of torchrun's own report."""
    begin = time.monotonic()
    _, said = started.communicate(timeout=120)
    assert time.monotonic() - begin < within
    assert started.returncode != 0
    return said


@pytest.mark.parametrize("rank", [0, 1])
def test_sigterm_to_any_rank_saves_and_stops_all(rank: int, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    started, children = begun(folder, *line(root, "mf", "trainer.epochs=2000"))
    os.kill(children[rank], signal.SIGTERM)
    said = ended(started)
    assert said.count("stopped; resume with torchrun --nproc-per-node=2 -m ncf.train") == 1
    assert "error:" not in said
    progress = json.loads((folder / "checkpoint.sharded/state.json").read_text())["progress"]
    assert len(progress["history"]) == len((folder / "metrics.jsonl").read_text().splitlines())
    epochs = len(progress["history"]) + 1
    finish(torchrun(2, [f"resume={folder}", f"trainer.epochs={epochs}"]))
    whole = tmp_path / "whole"
    run(*line(root, "mf", f"trainer.epochs={epochs}", "trainer.patience=1000", f"hydra.run.dir='{whole}'"))
    assert_alike(whole, folder, steps=24 * epochs)


@pytest.mark.parametrize(("rank", "processes"), [(0, 2), (1, 1), (1, 3)])
def test_a_killed_rank_ends_the_others_and_the_run_goes_on(
    rank: int, processes: int, root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    started, children = begun(folder, *line(root, "mf", "trainer.epochs=2000"))
    os.kill(children[rank], signal.SIGKILL)
    lines = [text for text in ended(started).splitlines() if text.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].endswith(f"resume={folder}")
    done = len(json.loads((folder / "checkpoint.sharded/state.json").read_text())["progress"]["history"])
    finish(torchrun(processes, [f"resume={folder}", f"trainer.epochs={done + 1}"]))
    whole = tmp_path / "whole"
    run(*line(root, "mf", f"trainer.epochs={done + 1}", "trainer.patience=1000", f"hydra.run.dir='{whole}'"))
    assert_alike(whole, folder, steps=24 * (done + 1))


def test_processes_end_with_a_killed_torchrun_and_the_run_goes_on(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    started, children = begun(folder, *line(root, "mf", "trainer.epochs=2000"))
    started.kill()
    _, said = started.communicate(timeout=ENDS_WITHIN)  # ends once nobody holds the pipe any more
    assert not any(runs(child) for child in children)
    assert said.count("stopped; resume with torchrun") == 1
    done = len(json.loads((folder / "checkpoint.sharded/state.json").read_text())["progress"]["history"])
    finish(torchrun(2, [f"resume={folder}", f"trainer.epochs={done + 1}"]))


FAULTS = """
import os
from datetime import timedelta
import torch
from ncf.training.distributed import group
from ncf.training.distributed.step import PartStep
group.ANSWER_WITHIN = timedelta(seconds=10)
plain, left = PartStep.__call__, iter(range(60))
def call(self, batch):
    if os.environ["RANK"] == os.environ["OUT_OF_MEMORY"] and next(left, None) is None:
        torch.empty(10**15)
    return plain(self, batch)
PartStep.__call__ = call
"""


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_rank_that_runs_out_of_memory_says_so_in_one_line(
    rank: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faults.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setenv("OUT_OF_MEMORY", rank)
    folder = tmp_path / "run"
    overrides = [*line(root, "mf", *MANY, "trainer.epochs=5"), f"hydra.run.dir='{folder}'"]
    told = finish(torchrun(2, ["--import", "faults", *overrides]), status=1)
    (said,) = [text for text in told.stderr.splitlines() if text.startswith("error: ")]
    assert "out of memory: lower trainer.batch_size" in said
    assert json.loads((folder / "checkpoint.sharded/state.json").read_text())["progress"]["history"]
    finish(torchrun(2, [f"resume={folder}"]))


def test_a_rank_that_hangs_ends_the_others(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faults.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setenv("OUT_OF_MEMORY", "none")
    started, children = begun(tmp_path / "run", "--import", "faults", *line(root, "mf", "trainer.epochs=2000"))
    os.kill(children[1], signal.SIGSTOP)
    try:
        said = ended(started, within=60)  # torchrun itself insists for 30 seconds before it kills the one that hangs
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(children[1], signal.SIGKILL)
    lines = [text for text in said.splitlines() if text.startswith("error: ")]
    assert len(lines) == 1
    assert "does not answer; go on with torchrun" in lines[0]


SLOW = """
import os, time
from datetime import timedelta
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from ncf.evaluation import FullRanking
from ncf.runs.job import Job
from ncf.training.distributed import group
group.ANSWER_WITHIN = timedelta(seconds=4)
write, evaluate = Job.write, FullRanking.evaluate
def slow_write(self, *args):
    time.sleep(8)
    return write(self, *args)
def slow_evaluate(self, *args):
    time.sleep(6 * int(os.environ["RANK"]))
    return evaluate(self, *args)
def late(of):
    def do(self, *args):
        time.sleep(6 * int(os.environ["RANK"]))
        return of(self, *args)
    return do
Job.write, FullRanking.evaluate = slow_write, slow_evaluate
FileSystemWriter.write_data = late(FileSystemWriter.write_data)
FileSystemReader.read_data = late(FileSystemReader.read_data)
"""


def test_a_rank_that_works_alone_for_long_is_waited_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    folder = tmp_path / "run"
    overrides = line(root, "mf", "trainer=distributed", "trainer.epochs=1", f"hydra.run.dir='{folder}'")
    finish(torchrun(2, ["--import", "slow", *overrides]))
    assert (folder / "result.json").exists()
    finish(torchrun(2, ["--import", "slow", f"resume={folder}", "trainer.epochs=2"]))


def test_a_loss_that_is_not_finite_is_told_in_one_line(root: Path, tmp_path: Path) -> None:
    wild = ("trainer=distributed", "optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=1e30")
    told = finish(torchrun(2, [*line(root, "mf", *wild), f"hydra.run.dir='{tmp_path / 'run'}'"]), status=1)
    (said,) = [text for text in told.stderr.splitlines() if text.startswith("error: ")]
    assert "expected a finite loss and gradient" in said


def test_too_many_processes_and_unwanted_ones_are_refused_in_one_line(root: Path, tmp_path: Path) -> None:
    for more, said in (
        (["trainer=distributed", "trainer.batch_size=11"], "trainer.batch_size: expected at least 22 rows"),
        ([], "trainer: expected trainer=distributed for 2 processes of torchrun"),
        (["trainer=distributed", "data.threshold=3"], "threshold"),
    ):
        told = finish(torchrun(2, [*line(root, "mf"), *more, f"hydra.run.dir='{tmp_path / 'run'}'"]), status=1)
        lines = [text for text in told.stderr.splitlines() if text.startswith("error: ")]
        assert len(lines) == 1, lines
        assert said in lines[0]


def test_a_rank_with_a_full_disk_ends_all_and_keeps_what_was_saved(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    overrides = line(root, "mf", *MANY, "trainer.epochs=50", f"hydra.run.dir='{folder}'")
    limited = ["bash", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$@"', "-", *torchrun(2, overrides)]
    told = finish(limited, status=1)
    lines = [text for text in told.stderr.splitlines() if text.startswith("error: ")]
    assert len(lines) == 1, told.stderr[-3000:]
    assert "cannot be written" in lines[0]


def test_seeds_end_where_they_end_on_one_process(root: Path, tmp_path: Path) -> None:
    """Ten seeds on two processes have the metrics of one: equal to the digit, so no two-sample test can differ."""
    found = []
    for seed in range(10):
        folder = tmp_path / f"two-{seed}"
        finish(torchrun(2, line(root, "mf", "trainer=distributed", f"seed={seed}", f"hydra.run.dir='{folder}'")))
        alone = tmp_path / f"one-{seed}"
        run(*line(root, "mf", f"seed={seed}", f"hydra.run.dir='{alone}'"))
        found.append([json.loads((f / "result.json").read_text())["test"]["ndcg@10"] for f in (folder, alone)])
    two, one = np.array(found).T
    assert len(set(one)) > 5
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-12)
