"""What a run leaves behind in its folder, and what identifies it."""

import csv
import hashlib
import io
import json
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, Field, ValidationError

import ncf
from ncf.config import plain
from ncf.data.split import Split
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.evaluation import Ranks
from ncf.files import append_text, write_text

FORMAT = 1
RESULT, RANKS, METRICS, DYNAMICS = "result.json", "ranks.csv", "metrics.jsonl", "dynamics.jsonl"

# Settings that say where things lie or what is shown: two runs that differ in nothing else give the same result.
_INCIDENTAL = (
    "hydra",
    "registration",
    "resume",
    "dynamics",
    "data.root",
    "data.archive",
    "model.pretrained_gmf",  # the digest of their weights counts instead
    "model.pretrained_mlp",
    "trainer.checkpoint_every",
    "trainer.progress",
    "trainer.cuda_graph",
    "tracking.name",
    "tracking.store",
    "tracking.experiment",
)

# Settings that came after runs were made, with the value that those had: left out at that value, so that ids stay.
_LATER = {"trainer.compile": False, "trainer.precision": "float32"}


class _Finished(BaseModel):
    """What readers of a result rely on."""

    valid: Annotated[dict[str, float], Field(min_length=1)]
    test: Annotated[dict[str, float], Field(min_length=1)]
    config: dict[str, Any]
    config_hash: str
    data_digest: str


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The run's own settings as built-in values, without Hydra's. Raises ConfigError for one that has no value."""
    return plain(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"trainer.epochs": 100, ...}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The flat settings that the result depends on."""
    return {
        key: value
        for key, value in flatten(settings).items()
        if key not in _INCIDENTAL and (key not in _LATER or value != _LATER[key])
    }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Key -> "old -> new" of the settings that the result depends on and that are not the same in both."""
    a, b = identity(old), identity(new)
    return {k: f"{a.get(k)!r} -> {b.get(k)!r}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}


def refuse_foreign(folder: Path, result: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raises CheckpointError if `settings`, those of the checkpoint in `folder`, are not those of its `result`."""
    if changed := changes(result["config"], settings):
        differing = "; ".join(f"{key}: {how}" for key, how in changed.items())
        raise CheckpointError(f"{folder}: expected the checkpoint of its {RESULT}, found another run's ({differing})")


def config_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 hex of the settings that the result depends on."""
    return hashlib.sha256(json.dumps(identity(settings), sort_keys=True).encode()).hexdigest()


def run_id(settings: Mapping[str, Any]) -> str:
    """The run's folder name in a sweep: readable, and unique to its settings."""
    names = (str(settings[group]["name"]) for group in ("model", "loss"))
    return "-".join([*names, f"r{settings['neg_ratio']}", f"s{settings['seed']}", config_hash(settings)[:12]])


def registered(path: str | None) -> dict[str, str] | None:
    """Path and SHA-256 of the registration that a run is made under. Raises ConfigError if it cannot be read."""
    if path is None:
        return None
    try:
        return {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    except OSError as error:
        raise ConfigError(f"registration: expected a file, got {path!r} ({error.strerror or error})") from None


def environment() -> dict[str, Any]:
    """Versions, machine and commit that a result came from."""
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


@cache
def _commit() -> str | None:
    """The checkout's commit, with "-dirty" if the code differs from it; None outside a checkout."""
    root = Path(ncf.__file__).parent.parent
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def write_ranks(folder: Path, split: Split, ranks: Mapping[str, Ranks]) -> None:
    """`ranks.csv`: a row an evaluated positive, raw ids; `rank` is the average over ties, `tied` how many share it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["split", "user_id", "item_id", "rank", "candidates", "tied"])
    for part, r in ranks.items():
        users, items = split.user_ids[r.users.numpy()].tolist(), split.item_ids[r.items.numpy()].tolist()
        average = [f"{rank:g}" if rank < 1e5 else repr(rank) for rank in r.average.tolist()]
        rows = zip(users, items, average, r.candidates.tolist(), r.tied.tolist(), strict=True)
        writer.writerows((part, *row) for row in rows)
    write_text(folder / RANKS, text.getvalue())


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """`result.json`, the last file of a run: its presence means finished."""
    write_text(folder / RESULT, json.dumps({"format": FORMAT, **result}, indent=2) + "\n")


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished run, None if it is not finished.

    Raises:
        DataError: the file is not a result, or one of a format that this version does not read.
    """
    path = folder / RESULT
    try:
        result = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected the JSON of a finished run, found none ({error})") from None
    known = result if isinstance(result, dict) else {}
    if known.get("format") != FORMAT:
        raise DataError(
            f"{path}: expected result format {FORMAT} (ncf {ncf.__version__}), "
            f"found {known.get('format')!r} (ncf {_version(known)})"
        )
    try:
        _Finished.model_validate(known)
    except ValidationError as error:
        key, reason = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise DataError(
            f"{path}: damaged, expected the keys of a finished run, found {key!r} wrong ({reason})"
        ) from None
    return known


def _version(result: Mapping[str, Any]) -> Any:
    versions = result.get("versions")
    return versions.get("ncf") if isinstance(versions, dict) else None


class EpochLog:
    """`metrics.jsonl`: a line an epoch, appended as it ends."""

    def __init__(self, folder: Path, history: list[dict[str, float]]) -> None:
        """Start from `history`, the epochs that a resumed run has behind it."""
        self._path = folder / METRICS
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in history))

    def append(self, line: Mapping[str, float]) -> None:
        """Add the line of one epoch."""
        append_text(self._path, json.dumps(dict(line)) + "\n")
