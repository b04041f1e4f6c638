"""The files of a run folder: `result.json`, `metrics.jsonl`, and the names of the others."""

import json
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError

import ncf
from ncf.core.files import append_text, write_text
from ncf.core.outside import MEGABYTE, read_text
from ncf.errors import DataError

FORMAT = 1
RESULT, RANKS, EPOCHS, DYNAMICS = "result.json", "ranks.csv", "metrics.jsonl", "dynamics.jsonl"
SIMULATION, PERIODS, FEEDBACK = "simulation", "periods.csv", "feedback.csv"
SERVICE, ESTIMATES = "service", "estimates.csv"
_LARGEST_RESULT = 4 * MEGABYTE


class _Result(BaseModel):
    """The keys that readers of a result rely on."""

    valid: Annotated[dict[str, float], Field(min_length=1)]
    test: Annotated[dict[str, float], Field(min_length=1)]
    config: dict[str, Any]
    config_hash: str
    data_digest: str


class _SimulationResult(BaseModel):
    """Those of a simulation."""

    regret: Annotated[dict[str, float], Field(min_length=1)]
    periods: int
    config: dict[str, Any]
    config_hash: str


def environment() -> dict[str, Any]:
    """Return the versions, machine and commit that produce a result."""
    return {
        "versions": {
            "ncf": ncf.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": platform.machine(),
        "commit": _commit(),
    }


class _ServiceResult(BaseModel):
    """Those of a service."""

    effect: float
    replications: int
    methods: Annotated[list[dict[str, Any]], Field(min_length=1)]
    config: dict[str, Any]
    config_hash: str


_KINDS: dict[Any, type[BaseModel]] = {SIMULATION: _SimulationResult, SERVICE: _ServiceResult}


@cache
def _commit() -> str | None:
    """Return the checkout's commit, with "-dirty" if the code differs from it; None if the package is installed."""
    root = Path(ncf.__file__).parent.parent
    if not (root / "pyproject.toml").exists():  # site-packages may lie inside another repository
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json`, the last file of a run: its presence means that the run is finished."""
    write_text(folder / RESULT, json.dumps({"format": FORMAT, **result}, indent=2) + "\n")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the result of the run in `folder`; None if it is not finished.

    Raises:
        DataError: the file is not a result, or has a format that this version does not read.
    """
    path = folder / RESULT
    try:
        result = json.loads(read_text(path, DataError, _LARGEST_RESULT))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as the result of a run ({error})") from None
    known = result if isinstance(result, dict) else {}
    if known.get("format") != FORMAT:
        raise DataError(
            f"{path}: expected result format {FORMAT} (ncf {ncf.__version__}), "
            f"found {known.get('format')!r:.40} (ncf {_version(known)!s:.40})"
        )
    try:
        _KINDS.get(str(known.get("kind")), _Result).model_validate(known)
    except ValidationError as error:
        key, reason = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise DataError(f"{path}: damaged: key {key!r} of the result is invalid ({reason})") from None
    return known


def _version(result: Mapping[str, Any]) -> Any:
    versions = result.get("versions")
    return versions.get("ncf") if isinstance(versions, dict) else None


class EpochLog:
    """`metrics.jsonl`: one line per epoch, appended when the epoch ends."""

    def __init__(self, folder: Path, history: list[dict[str, float]]) -> None:
        """Start with `history`, the epochs that a resumed run has finished."""
        self._path = folder / EPOCHS
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in history))

    def append(self, line: Mapping[str, float]) -> None:
        """Append the line of one epoch."""
        append_text(self._path, json.dumps(dict(line)) + "\n")
