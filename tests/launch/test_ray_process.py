"""The process beside a worker of Ray: runs follow each other in it, and it ends with the worker; without ray."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus

from ncf.core.signals import STOPPED
from ncf.launch import ray_process

OURS = (b"shared", ["seed=1"], 3)


class Stub:
    """In the place of the process: does what a test asks for."""

    def __init__(self, result: JobReturn | None = None, error: BaseException | None = None) -> None:
        self.result, self.error, self.devices = result, error, os.environ.get("CUDA_VISIBLE_DEVICES")
        self.ended: list[str] = []

    def run(self, *job: Any) -> JobReturn | None:
        """Return, or raise, what was asked for."""
        if self.error is not None:
            raise self.error
        return self.result

    def stop(self) -> None:
        """Note it."""
        self.ended.append("stop")

    def close(self) -> None:
        """Note it."""
        self.ended.append("close")


@pytest.fixture(autouse=True)
def none_kept() -> Iterator[None]:
    """Each test begins as a worker of Ray does."""
    ray_process._kept = None
    yield
    if ray_process._kept is not None:
        ray_process._kept.close()
    ray_process._kept = None


def made(monkeypatch: pytest.MonkeyPatch, *stubs: Stub) -> None:
    left = iter(stubs)
    monkeypatch.setattr(ray_process, "_Process", lambda: next(left))


def ended(status: JobStatus) -> JobReturn:
    return JobReturn(status=status)


def test_runs_follow_each_other_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, only := Stub(ended(JobStatus.COMPLETED)))
    assert [ray_process.run(*OURS) for _ in range(3)] == [only.result] * 3
    assert only.ended == []


@pytest.mark.parametrize(
    ("stub", "how"),
    [
        (Stub(ended(JobStatus.FAILED)), ["close"]),
        (Stub(error=EOFError()), ["close"]),
        (Stub(error=BrokenPipeError()), ["close"]),
    ],
    ids=["failed", "died", "died before it"],
)
def test_a_process_whose_run_did_not_end_well_makes_no_other(
    stub: Stub, how: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(monkeypatch, stub, Stub(well := ended(JobStatus.COMPLETED)))
    assert ray_process.run(*OURS) is stub.result
    assert stub.ended == how
    assert ray_process.run(*OURS) is well


def test_a_cancelled_task_has_its_run_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, stub := Stub(error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        ray_process.run(*OURS)
    assert stub.ended == ["stop"]
    assert ray_process._kept is None


def test_a_process_keeps_to_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray gives a worker another GPU for another task; a process that has begun to use one stays with it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    made(monkeypatch, first := Stub(ended(JobStatus.COMPLETED)), again := Stub(ended(JobStatus.COMPLETED)))
    ray_process.run(*OURS)
    again.devices = "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert ray_process.run(*OURS) is again.result
    assert first.ended == ["close"]


# What goes through the pipe


def served(monkeypatch: pytest.MonkeyPatch, job: Any) -> tuple[Any, Future[bool]]:
    """The other end of the pipe of a process, here a thread, whose runs are made by `job`."""
    monkeypatch.setattr(ray_process, "_run", job)
    ours, theirs = multiprocessing.Pipe()
    pool = ThreadPoolExecutor(1)
    serving = pool.submit(ray_process._serve, theirs)
    pool.shutdown(wait=False)
    return ours, serving


def test_it_serves_until_the_pipe_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def job(*given: Any) -> JobReturn:
        seen.append(given)
        return ended(JobStatus.COMPLETED)

    pipe, serving = served(monkeypatch, job)
    for number in (1, 2):
        pipe.send((b"shared", ["seed=1"], number))
        assert pipe.recv().status == JobStatus.COMPLETED
    pipe.close()
    assert serving.result(10) is False
    assert seen == [(b"shared", ["seed=1"], number) for number in (1, 2)]


def test_a_stopped_run_is_its_last_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def job(*given: Any) -> JobReturn:
        raise SystemExit(STOPPED)

    pipe, serving = served(monkeypatch, job)
    pipe.send(OURS)
    result = pipe.recv()
    assert serving.result(10) is True
    assert result.status == JobStatus.FAILED
    with pytest.raises(SystemExit) as ending:
        _ = result.return_value
    assert ending.value.code == STOPPED


def test_a_run_that_is_stopped_since_the_worker_is_gone_ends_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    def job(*given: Any) -> JobReturn:
        pipe.close()
        raise SystemExit(STOPPED)

    pipe, serving = served(monkeypatch, job)
    pipe.send(OURS)
    assert serving.result(10) is True


# Real processes, whose run fails at its first line, since no job was pickled

WORKER = """
import sys, time
from ncf.launch.ray_process import _Process
process = _Process()
print(process._process.pid, flush=True)
time.sleep(60)
"""


def test_a_process_that_dies_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    assert ray_process.run(b"", [], 0) is None
    assert ray_process._kept is None


@pytest.mark.slow
def test_a_process_ends_soon_after_its_worker() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    process = int(worker.stdout.readline())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    deadline = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(process, 0)
            time.sleep(0.05)
        pytest.fail("it lives on")


def test_a_worker_of_ray_imports_neither_torch_nor_ray_for_it() -> None:
    script = "import sys, ncf.launch.ray_process; print({'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
