"""What may come from a stranger, and can name no code: the overrides of a run folder, and YAML files.

The groups of a run are closed registries (`ncf.config`). Hydra's own section is not: its callbacks, loggers, launchers
and search path import what they are told to. So a run folder may not reach it, and a YAML file may not name a callable
there; only `conf/hydra/`, which belongs to this package, does.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ncf.errors import ConfigError

_KEY = r"(?!hydra\b)[A-Za-z_]\w*(\.\w+)*"
_CALLS = ("_target_", "()", "class", "callbacks", "env_set", "searchpath")  # what makes Hydra or `logging` import
_PACKAGE = re.compile(rb"@package\s+(?!_global_\s|_group_\s)(\S+)")


def check_arguments(arguments: list[str], conf: Path, groups: Iterable[str]) -> None:
    """Refuse what would read configuration that names code; what is typed as `hydra...=` is the user's own.

    Raises:
        ConfigError: a choice is a path out of `conf`, a configuration is a pickle, or a YAML file names code.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--experimental-rerun")
    for option in ("--config-dir", "--config-path"):
        parser.add_argument(option, f"-{option[2]}{option[9]}", type=Path, action="append", default=[])
    known, rest = parser.parse_known_args(arguments)
    if known.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: expected overrides, got a pickle, which could run code")
    for argument in rest:
        if re.match(rf"[+~]{{0,2}}({'|'.join(groups)})=.*\.\.", argument):
            raise ConfigError(f"{argument}: expected the name of a file in {conf}, got a path")
    for folder in (conf, *known.config_dir, *known.config_path):
        refuse_code(folder, exempt=conf / "hydra")


def saved_overrides(folder: Path, groups: Iterable[str]) -> list[str]:
    """The overrides that the run in `folder` began with, as its `.hydra/overrides.yaml` has them.

    Args:
        groups: the names of the groups, whose value is a choice, so that it may not be a path out of `conf/`.

    Raises:
        ConfigError: the folder holds no run, or a line is none that a run could have been given.
    """
    path = folder / ".hydra" / "overrides.yaml"
    overrides = _read(path)
    if not isinstance(overrides, list) or not all(isinstance(line, str) for line in overrides):
        raise ConfigError(f"{path}: expected a list of overrides")
    group = "|".join(groups)
    choice = re.compile(rf"~({group})|[+]{{0,2}}({group})=('[\w-]*'|[\w-]*)")
    setting = re.compile(rf"(?![~+]*({group})(=|$))(~{_KEY}(=.*)?|[+]{{0,2}}{_KEY}=.*)", re.DOTALL)
    for line in overrides:
        if not choice.fullmatch(line) and not setting.fullmatch(line):
            raise ConfigError(f"{path}: expected choices and settings of a run, found {line!r}, which none begins with")
    return overrides


def refuse_code(folder: Path, exempt: Path) -> None:
    """Raises ConfigError if a YAML file in `folder`, but not in `exempt`, makes Hydra call or import something."""
    for path in sorted(folder.rglob("*.yaml")):
        if not path.is_relative_to(exempt):
            package = _PACKAGE.search(path.read_bytes())
            found = [package[1].decode()] if package else [key for key in _keys(_read(path)) if key in _CALLS]
            if found:
                raise ConfigError(f"{path}: expected settings, found {found[0]!r}, by which a file could run code")


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, RecursionError) as error:
        first = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}: cannot be read ({first})") from None


def _keys(node: Any) -> Iterator[str]:
    """Every key of nested mappings and lists, `a.b` as a and b."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from re.split(r"[.@/]", str(key))
            yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)
