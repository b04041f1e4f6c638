"""Reject untrusted configuration that could execute code: the overrides of a run folder, and YAML files.

The config groups of a run are closed registries, but Hydra's own section is not: its callbacks, loggers, launchers and
search path import whatever they name, and its logging can write to any file. So a run folder may not override that
section, and no YAML file may name a callable or configure logging in it, except this package's own `conf/hydra/`.
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser

from ncf.core.outside import MEGABYTE, open_regular, parse_yaml, read_text, read_yaml
from ncf.errors import ConfigError

_KEY = r"(?!hydra\b)[A-Za-z_]\w*(\.\w+)*"
_LOGGING = ("job_logging", "hydra_logging")  # values may be `ext://module.name`, and handlers open any file
_CODE_KEYS = (
    "_target_",
    "()",
    "class",
    "callbacks",
    "env_set",
    "searchpath",
    "setup",  # shell commands of a Slurm job
    *_LOGGING,
)
_LARGEST_OVERRIDES, _LARGEST_YAML = MEGABYTE // 16, MEGABYTE
_PACKAGE = re.compile(r"@package\s+(?!_global_\s|_group_\s)(\S+)")


def check_arguments(arguments: list[str], conf: Path, groups: Iterable[str]) -> None:
    """Reject command-line arguments that read configuration naming code; a `hydra...=` that the user types is allowed.

    Raises:
        ConfigError: a choice is a path out of `conf`, the configuration is a pickle, or a YAML file could run code.
    """
    known, _ = get_args_parser().parse_known_args(arguments)  # Hydra's own parser also accepts abbreviated options
    if known.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: expected overrides, got a pickle, which could run code")
    for argument in arguments:
        if re.match(rf"[+~]{{0,2}}({'|'.join(groups)})=.*\.\.", argument):
            raise ConfigError(f"{argument}: expected the name of a file in {conf}, got a path that leaves it")
    for folder in (conf, *(Path(path) for path in (known.config_dir, known.config_path) if path)):
        refuse_code(folder, exempt=conf / "hydra")


def saved_overrides(folder: Path, groups: Iterable[str]) -> list[str]:
    """Return the overrides that the run in `folder` was started with, from its `.hydra/overrides.yaml`.

    Args:
        groups: the names of the config groups; their values are choices, which may not be paths out of `conf/`.

    Raises:
        ConfigError: the folder holds no run, or a line is not an override that a run accepts.
    """
    path = folder / ".hydra" / "overrides.yaml"
    with contextlib.suppress(FileNotFoundError), open_regular(path, _LARGEST_OVERRIDES, ConfigError):
        pass  # a larger one would take seconds to parse
    overrides = _read(path)
    if not isinstance(overrides, list) or not all(isinstance(line, str) for line in overrides):
        raise ConfigError(f"{path}: expected a list of overrides")
    group = "|".join(groups)
    choice = re.compile(rf"~({group})|[+]{{0,2}}({group})=('[\w-]*'|[\w-]*)")
    setting = re.compile(rf"(?![~+]*({group})(=|$))(~{_KEY}(=.*)?|[+]{{0,2}}{_KEY}=.*)", re.DOTALL)
    for line in overrides:
        if not choice.fullmatch(line) and not setting.fullmatch(line):
            raise ConfigError(f"{path}: expected overrides of a training run, found {line!r:.200}")
        if "${" in line:  # it could ask for any variable of the environment, which then stands in the result
            raise ConfigError(f"{path}: expected overrides without interpolations, found {line!r:.200}")
    return overrides


def refuse_code(folder: Path, exempt: Path) -> None:
    """Raise ConfigError if a YAML file in `folder`, outside `exempt`, makes Hydra call or import something."""
    for path in _yaml_files(folder):
        if not path.is_relative_to(exempt):
            text = _content(path)
            package = _PACKAGE.search(text)
            found = [package[1]] if package else []
            found += [part for part in path.relative_to(folder).parts if part in _CODE_KEYS]
            found += _code_keys(path, text)
            if found:
                raise ConfigError(f"{path}: expected settings, found {found[0]!r}, which could run code")


@functools.lru_cache(maxsize=512)
def _code_keys(path: Path, text: str) -> tuple[str, ...]:
    """Return the keys of the file's text that run code; kept, since a process may compose many configurations."""
    return tuple(key for key in _keys(parse_yaml(text, path, ConfigError)) if key in _CODE_KEYS)


def _yaml_files(folder: Path) -> Iterator[Path]:
    """Yield every `.yaml` file below `folder`, following links as Hydra does, without looping on circular ones."""
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        path = Path(name)
        place = path.resolve(), any(part in _CODE_KEYS for part in path.relative_to(folder).parts)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        yield from (path / file for file in sorted(files) if file.endswith(".yaml"))


def _content(path: Path) -> str:
    try:
        return read_text(path, ConfigError, _LARGEST_YAML)
    except FileNotFoundError:
        raise ConfigError(f"{path}: cannot be read (No such file or directory)") from None


def _read(path: Path) -> Any:
    try:
        return read_yaml(path, ConfigError)
    except FileNotFoundError:
        raise ConfigError(f"{path}: cannot be read (No such file or directory)") from None


def _keys(node: Any) -> Iterator[str]:
    """Yield every key of nested mappings and lists, `a.b` as a and b; skip those that select a logging file by name."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not re.fullmatch(rf"(override )?/?hydra/({'|'.join(_LOGGING)})", str(key)):
                yield from re.split(r"[.@/]", str(key))
            yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)
