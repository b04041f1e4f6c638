"""The rules of one run folder."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from toys import finished

from ncf.errors import ConfigError
from ncf.runs.state import FAILURE, ClaimError, claim, failures_recorded, record_failure, run_status, state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_claimed_run_is_nobody_elses(folder):
    with claim(folder):
        assert state(folder) == "running"
        with pytest.raises(ClaimError, match=r"run: run is locked by another process"), claim(folder):
            pass
        assert state(folder) == "running"
    with claim(folder):
        pass


def test_death_frees_a_claim(folder):
    heard, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            with claim(folder):
                os.write(told, b"held")
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(heard, 4) == b"held"
    assert state(folder) == "running"
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert state(folder) == "stopped"
    with claim(folder):
        pass


def test_looking_at_a_run_never_takes_it_from_the_one_who_starts(folder):
    """Whoever only looks holds the lock for an instant; a claim outwaits that."""
    with claim(folder):
        pass
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            state(folder)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with claim(folder):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_failure_is_recorded_and_a_success_removes_it(folder):
    with pytest.raises(ZeroDivisionError), claim(folder), failures_recorded(folder):
        _ = 1 / 0
    record = json.loads((folder / FAILURE).read_text())
    assert record["error"] == "ZeroDivisionError: division by zero"
    assert any("1 / 0" in line for line in record["traceback"])
    assert record["time"].endswith("+00:00")
    assert run_status(folder).error == record["error"]
    assert state(folder) == "failed"
    with claim(folder), failures_recorded(folder):
        pass
    assert not (folder / FAILURE).exists()


@pytest.mark.parametrize("ending", [SystemExit(75), KeyboardInterrupt(), ConfigError("refused")])
def test_a_stop_or_a_refusal_is_no_failure(folder, ending):
    with pytest.raises(type(ending)), claim(folder), failures_recorded(folder, but=(ConfigError,)):
        raise ending
    assert not (folder / FAILURE).exists()
    assert state(folder) == "stopped"


def test_a_result_outweighs_all_else(folder):
    assert state(folder) == "waiting"
    assert not folder.exists()
    with claim(folder):
        record_failure(folder, "once")
        finished(folder)
        assert state(folder) == "done"


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1, "valid": {"nd', "\0" * 900])
def test_a_damaged_result_is_none(folder, text):
    with claim(folder):
        finished(folder)
        (folder / "result.json").write_text(text)
        assert state(folder) == "running"
    assert state(folder) == "stopped"


def test_an_account_counts_whole_lines_only(folder):
    line = json.dumps({"epoch": 1, "train_seconds": 2.0, "valid_seconds": 0.5})
    with claim(folder):
        (folder / "metrics.jsonl").write_text(f"{line}\n{line}\n{line[:-9]}")
        seen = run_status(folder)
    assert (seen.state, seen.epochs, seen.ended) == ("running", 2, None)


def test_an_unreadable_record_is_still_a_failure(folder):
    with claim(folder):
        (folder / FAILURE).write_text("{")
    assert run_status(folder).state == "failed"
    assert "unreadable failure.json" in str(run_status(folder).error)
