"""What the tests of tuning share: small studies, what they have come to, and a database that waits for no disk."""

import importlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from toys import compose, small

from ncf.launch import study_database, tuning
from ncf.launch.study_database import opened
from ncf.launch.tuning import Study

Ended = list[tuple[int, dict[str, Any], float | None, str]]


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Databases of studies are written without fsync, so that a transaction takes no time."""
    connect = study_database._connect

    def connected(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with patch.object(study_database, "_connect", connected):
        yield


@pytest.fixture
def quick_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is composed twice is composed once."""
    monkeypatch.setattr(tuning, "compose", lambda overrides, config_dir=None: compose(*overrides))


def overrides(root: Path, model: str, *more: str) -> list[str]:
    own = ("trainer.batch_size", "model.")  # chosen by the space, or of another model
    return [*(o for o in small(root, f"model={model}") if not o.startswith(own)), *more]


def settings_of(root: Path) -> list[str]:
    """Of a study whose trials are trained by gradient, and saved after each of their three epochs."""
    return overrides(root, "gmf", "trainer.checkpoint_every=1epoch")


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.rglob("result.json")]


def trials_of(folder: Path) -> Ended:
    """Number, what was drawn, value and state of every trial of the only study in `folder`."""
    (name,) = {path.parent.name for path in folder.glob("*/.lock")}
    with opened(importlib.import_module("optuna"), folder, name) as study:
        return [(trial.number, trial.params, trial.value, trial.state.name) for trial in study.trials]


def outcome(folder: Path) -> tuple[Ended, dict[str, Any]]:
    """What a study has come to, but for its duration."""
    (path,) = folder.glob("*.json")
    summary = json.loads(path.read_text())
    assert summary.pop("seconds") >= 0
    return trials_of(folder), summary


def failing(*numbers: int, error: Exception) -> Callable[..., float]:
    """In place of a run: the trials with these numbers fail."""

    def value(self: Study, settings: list[str], folder: Path, stopped: object) -> float:
        if int(folder.name) in numbers:
            raise error
        return int(folder.name) / 100

    return value
