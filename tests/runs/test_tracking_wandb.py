"""Weights & Biases gets every epoch once, and the same run again after a kill; it can fail or hang without harm.

`Recorder` does what its module does for a tracker. `test_the_real_library` asks the library itself, where installed.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toys import compose, small

from ncf.errors import ConfigError
from ncf.runs import artifacts, tracking
from ncf.train import train


class Recorder:
    """The module `wandb`: like it, a run drops what is logged at a step that it already has."""

    Settings = SimpleNamespace
    Image = str

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.steps: dict[str, dict[int, dict[str, Any]]] = {}
        self.summary: dict[str, float] = {}
        self.ends: list[int] = []
        self.figures: list[str] = []
        self.torn_down = False

    def init(self, **arguments: Any) -> "Recorder":
        """Begin a run, or go on with it."""
        self.begun.append(arguments)
        self.dir = f"{arguments['dir']}/offline-run-{arguments['id']}/files"
        self.history = self.steps.setdefault(arguments["id"], {})
        return self

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        """Keep the values, those of figures apart."""
        if step is None:
            self.figures += values
        else:
            self.history.setdefault(step, values)

    def finish(self, exit_code: int) -> None:
        """End the run."""
        self.ends.append(exit_code)

    def teardown(self) -> None:
        """Stop the library's process."""
        self.torn_down = True


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder in the library's place, and a folder for the run."""
    (tmp_path / "run").mkdir()
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    return recorder


def settings(root: Path, tmp_path: Path, *more: str) -> Any:
    """A small run that is tracked."""
    return compose(*small(root, "tracking=wandb", f"tracking.store={tmp_path / 'store'}", *more))


def test_it_gets_settings_epochs_result_and_figures(recorder, root, tmp_path):
    (tmp_path / "run" / "figure.png").write_bytes(b"")
    result = train(settings(root, tmp_path), tmp_path / "run")
    (begun,) = recorder.begun
    assert (begun["mode"], begun["project"], begun["name"]) == ("offline", "ncf", "run")
    assert (begun["dir"], begun["resume"]) == (str(tmp_path / "store"), "allow")
    assert begun["config"]["model"]["gmf_factors"] == 8
    lines = tracking.epochs(tmp_path / "run")
    assert {step: values["valid/ndcg@10"] for step, values in recorder.history.items()} == {
        line["epoch"]: line["ndcg@10"] for line in lines
    }
    assert recorder.summary["test/hit@10"] == result["test"]["hit@10"]
    assert (recorder.ends, recorder.figures, recorder.torn_down) == ([0], ["figure"], False)


def test_a_run_says_where_its_log_lies_and_how_to_upload_it(recorder, root, tmp_path, caplog):
    caplog.set_level("INFO")
    train(settings(root, tmp_path, "trainer.epochs=1"), tmp_path / "run")
    place = f"{tmp_path / 'store'}/offline-run-{recorder.begun[0]['id']}"
    assert f"tracking: wandb's log is {place}; to upload it: wandb sync {place}" in caplog.messages


def test_a_resumed_run_goes_on_in_the_same_run_and_lacks_no_epoch(recorder, root, tmp_path, monkeypatch):
    """The first process is killed before it tells of its last epochs: here nothing is told while it trains."""
    monkeypatch.setattr(tracking.WandB, "_follow", lambda self: None)
    asked = iter([False] * 60 + [True] * 1000)  # an epoch has 24 steps
    assert train(settings(root, tmp_path), tmp_path / "run", lambda: next(asked)) is None
    assert (recorder.ends, recorder.history) == ([1], {})
    assert tracking.epochs(tmp_path / "run")
    monkeypatch.undo()
    sys.modules["wandb"] = recorder
    train(settings(root, tmp_path), tmp_path / "run")
    del sys.modules["wandb"]
    first, second = recorder.begun
    assert first["id"] == second["id"]
    assert sorted(recorder.history) == [1, 2, 3]


def test_other_runs_are_other_runs_there(recorder, root, tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("run", "other"):
        train(settings(root, tmp_path, "trainer.epochs=1"), tmp_path / name)
    first, second = recorder.begun
    assert first["id"] != second["id"]


def test_no_link_out_of_the_run_folder(recorder, root, tmp_path):
    """The library links its logs to the user's cache, and a run folder with such a link is not resumed."""
    train(settings(root, tmp_path, "trainer.epochs=1"), tmp_path / "run")
    assert not Path(recorder.begun[0]["dir"]).is_relative_to(tmp_path / "run")


@pytest.mark.parametrize("kept", ["../../x", "", "0123456", "0123456789abcdef"])
def test_what_is_no_id_is_refused(kept, recorder, root, tmp_path):
    (tmp_path / tracking.WANDB_ID).write_text(kept)
    with pytest.raises(ConfigError, match=r"wandb_id\.txt: expected .* 8 hexadecimal digits, found"):
        train(settings(root, tmp_path), tmp_path)
    assert recorder.begun == []


class LibraryError(Exception):
    """As those of the library, no OSError."""


def test_a_record_that_cannot_begin_is_one_line(recorder, root, tmp_path, monkeypatch):
    def init(**arguments: Any) -> None:
        raise LibraryError("api_key not configured\nUse `wandb login`")

    monkeypatch.setattr(recorder, "init", init)
    with pytest.raises(ConfigError, match=r"tracking: cannot start recording .* \(api_key not configured\)$"):
        train(settings(root, tmp_path), tmp_path / "run")


@pytest.mark.parametrize("call", ["log", "finish"])
def test_a_record_that_fails_costs_no_run(call, recorder, root, tmp_path, monkeypatch, caplog):
    def fail(*arguments: Any, **named: Any) -> None:
        raise LibraryError("connection lost")

    monkeypatch.setattr(recorder, call, fail)
    result = train(settings(root, tmp_path), tmp_path / "run")
    assert result["test"] == artifacts.read_result(tmp_path / "run")["test"]
    assert "tracking: the record is incomplete (LibraryError: connection lost)" in caplog.messages


def test_a_library_that_hangs_does_not_keep_the_run(recorder, root, tmp_path, monkeypatch, caplog):
    asleep = threading.Event()
    monkeypatch.setattr(recorder, "finish", lambda exit_code: asleep.wait(60))
    monkeypatch.setattr(tracking, "WANDB_SECONDS", 0.1)
    start = time.monotonic()
    result = train(settings(root, tmp_path, "trainer.epochs=1"), tmp_path / "run")
    asleep.set()
    assert time.monotonic() - start < 30
    assert result["test"] == artifacts.read_result(tmp_path / "run")["test"]
    assert "tracking: the record is incomplete (TimeoutError: wandb did not finish within 0 s)" in caplog.messages
    assert recorder.torn_down  # else the exit of Python waits for the library's process


@pytest.mark.slow
def test_the_real_library(root, tmp_path, monkeypatch):
    """A process of its own: the library leaves one that ends with it."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    arguments = small(root, "tracking=wandb", f"tracking.store={tmp_path / 'store'}", "trainer.epochs=1")
    command = [sys.executable, "-m", "ncf.train", *arguments, f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "store" / "wandb").glob("offline-run-*")
    assert f"to upload it: wandb sync {run}" in done.stdout + done.stderr
    assert run.name.endswith((tmp_path / "run" / tracking.WANDB_ID).read_text().strip())
