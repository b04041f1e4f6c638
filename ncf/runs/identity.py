"""The identity of a run: the settings that its result depends on, selected by the roles they declare."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ncf.core.config import flatten, float_keys, plain, roles, spelled
from ncf.core.outside import read_text
from ncf.core.roles import DISPLAY, LENGTH, MACHINE, RESULT, Role
from ncf.errors import CheckpointError, ConfigError
from ncf.runs.components import REGISTRIES, chosen

_SPELLED_WHOLE = ("data.threshold", "data.scale")  # floats that conf/ has always spelled without a point


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The top-level keys of conf/train.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    neg_ratio: Annotated[int, Field(ge=1, le=1_000_000)]
    device: Annotated[str, spelled(r"auto|cpu|cuda(:[0-9]{1,3})?", "auto, cpu, cuda or cuda:0 (the first GPU)")]
    deterministic: bool
    dynamics: Annotated[bool, DISPLAY]
    registration: Annotated[str | None, DISPLAY]
    resume: Annotated[str | None, DISPLAY]


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """The top-level keys of conf/simulate.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    periods: Annotated[int, Field(ge=1, le=10_000), LENGTH]
    log: Annotated[bool, DISPLAY]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")]
    threads: Annotated[int, Field(ge=1, le=1024), MACHINE]
    save_every: Annotated[float, Field(ge=0, le=1e6), MACHINE]
    progress: Annotated[bool, DISPLAY]
    registration: Annotated[str | None, DISPLAY]
    resume: Annotated[str | None, DISPLAY]


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The top-level keys of conf/service.yaml."""

    run: str | None
    against: str | None
    days: Annotated[int, Field(ge=1, le=1000)]
    before: Annotated[int, Field(ge=0, le=1000)]
    replications: Annotated[int, Field(ge=1, le=1_000_000)]
    margin: Annotated[float, Field(gt=0, le=1e6)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    log: Annotated[Literal["none", "csv", "parquet"], DISPLAY]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")]
    threads: Annotated[int, Field(ge=1, le=1024), MACHINE]
    progress: Annotated[bool, DISPLAY]
    registration: Annotated[str | None, DISPLAY]


def is_service(settings: Mapping[str, Any] | DictConfig) -> bool:
    """Return whether these are the settings of a service."""
    return "world" in settings and "design" in settings


def is_simulation(settings: Mapping[str, Any] | DictConfig) -> bool:
    """Return whether these are the settings of a simulation, not of a training run."""
    return "environment" in settings and "agent" in settings


def _top_level(settings: Mapping[str, Any]) -> type:
    if is_service(settings):
        return ServiceSettings
    return SimulationSettings if is_simulation(settings) else RunSettings


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the run's settings, without Hydra's, as built-in values. Raises ConfigError for a missing value."""
    return plain(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))


def role_of(key: str, settings: Mapping[str, Any]) -> Role:
    """Return the role of a dotted key, such as "trainer.epochs", in nested settings; RESULT if none is declared."""
    group, _, name = key.partition(".")
    if not name:
        return roles(_top_level(settings)).get(group, RESULT)
    if name == "name" and group in REGISTRIES:
        return REGISTRIES[group].role
    component = chosen(group, settings.get(group) or {})
    return RESULT if component is None else roles(component).get(name, RESULT)


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat settings that identify a run, each number in the one spelling that is hashed."""
    own = {key: value for key, value in settings.items() if key != "hydra"}
    flat = {key: _spelled(key, value, own) for key, value in flatten(own).items()}
    return {key: value for key, value in flat.items() if role_of(key, own).identifies(value)}


def _spelled(key: str, value: Any, settings: Mapping[str, Any]) -> Any:
    """Return a value with its floats spelled alike, as conf/ spells them, which the ids of runs depend on: 2 is 2.0."""
    group, _, name = key.partition(".")
    component = chosen(group, settings.get(group) or {}) if name else _top_level(settings)
    if component is None or (name or group) not in float_keys(component):
        return value
    number = _as_whole if key in _SPELLED_WHOLE else _as_float
    return [number(element) for element in value] if isinstance(value, list) else number(value)


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def _as_float(value: Any) -> Any:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and abs(value) <= 2**53 else value


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a run's settings those that did not exist yet when it was made, at the value assumed for it."""
    return {key: {**_later(key, own), **own} if isinstance(own, Mapping) else own for key, own in settings.items()}


def _later(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    component = chosen(group, settings)
    declared = {} if component is None else roles(component)
    return {key: role.since for key, role in declared.items() if role.came_later}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return key -> "old -> new" for the identifying settings that differ."""
    a, b = identity(old), identity(new)
    differing = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    values = [flatten(completed(settings)) for settings in (old, new)]  # with what identity leaves out
    return {key: " -> ".join(repr(own.get(key)) for own in values) for key in differing}


def config_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 hex digest of the identifying settings."""
    return hashlib.sha256(json.dumps(identity(settings), sort_keys=True).encode()).hexdigest()


def run_id(settings: Mapping[str, Any]) -> str:
    """Return the run's folder name in a sweep: readable, and unique to its settings; f2 is fold 2 of several."""
    if is_simulation(settings):
        names = (str(settings[group]["name"]) for group in ("agent", "environment"))
        return "-".join([*names, f"s{settings['seed']}", config_hash(settings)[:12]])
    if is_service(settings):
        names = (str(settings[group]["name"]) for group in ("world", "policy"))
        return "-".join([*names, f"s{settings['seed']}", config_hash(settings)[:12]])
    names = (str(settings[group]["name"]) for group in ("model", "loss"))
    split = settings.get("split") or {}
    fold = [f"f{split['fold']}"] if split.get("folds") else []
    return "-".join([*names, f"r{settings['neg_ratio']}", f"s{settings['seed']}", *fold, config_hash(settings)[:12]])


def refuse_foreign(folder: Path, of: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the settings `found` in the checkpoint differ from those `expected` by the file `of`."""
    if changed := changes(expected, found):
        differing = "; ".join(f"{key}: {how}" for key, how in changed.items())
        raise CheckpointError(f"{folder}: expected a checkpoint that matches {of}, found another run's ({differing})")


def registered(path: str | None) -> dict[str, str] | None:
    """Return path and SHA-256 of the run's registration, if it has one. Raises ConfigError if it cannot be read."""
    if path is None:
        return None
    try:
        text = read_text(Path(path), ConfigError, largest=2**20)
    except FileNotFoundError:
        raise ConfigError(f"registration: expected a file, got {path!r} (No such file or directory)") from None
    return {"path": path, "sha256": hashlib.sha256(text.encode()).hexdigest()}


OmegaConf.register_new_resolver("run_id", lambda *, _root_: run_id(resolved(_root_)), replace=True)
OmegaConf.register_new_resolver(
    "sweep_name",
    lambda *, _root_: OmegaConf.select(_root_, "hydra.runtime.choices.experiment") or "adhoc",
    replace=True,
)
OmegaConf.register_new_resolver("rows", lambda groups, neg_ratio: groups * (1 + neg_ratio), replace=True)
