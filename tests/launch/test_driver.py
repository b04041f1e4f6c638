"""Workers end when their driver does, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ncf.launch import driver
from ncf.launch.driver import DRIVER, driving, is_driver

# A driver with one worker, which has a run in hand that takes no notice of a signal but to note it, for a second.
WORKER = """
import os, signal, sys, time
from ncf.launch.driver import end_with, end_with_driver
began, saved = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: open(saved, "w").close())
end_with_driver()
open(began, "w").write(str(os.getpid()))
while not os.path.exists(saved):
    time.sleep(0.01)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
time.sleep(60)
"""
DRIVER_OF_ONE = """
import subprocess, sys
from ncf.launch.driver import driving
with driving():
    subprocess.run([sys.executable, "-c", *sys.argv[1:]])
"""


def gone(pid: int) -> bool:
    """Whether the process has ended, if perhaps nobody has asked for its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_worker_ends_within_two_seconds_of_its_killed_driver_and_saves_first(tmp_path: Path) -> None:
    began, saved = tmp_path / "began", tmp_path / "saved"
    parent = subprocess.Popen([sys.executable, "-c", DRIVER_OF_ONE, WORKER, str(began), str(saved)])
    try:
        while not began.exists() or not began.read_text():
            assert parent.poll() is None
            time.sleep(0.01)
        worker = int(began.read_text())
        time.sleep(0.1)
        assert not gone(worker)
        assert not saved.exists()
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 2
    while not gone(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    ended = gone(worker)
    if not ended:
        os.kill(worker, signal.SIGKILL)
    assert ended
    assert saved.exists()


def test_a_process_of_its_own_is_nobodys_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DRIVER, raising=False)
    assert is_driver()
    with driving():
        assert is_driver()
        assert os.environ[DRIVER] == str(os.getpid())
        with driving():
            pass
        assert DRIVER in os.environ
        driver.end_with_driver()  # does nothing
    assert DRIVER not in os.environ
    monkeypatch.setenv(DRIVER, "1")
    assert not is_driver()
