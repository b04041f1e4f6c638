"""What may come from a stranger, and can name no code: the overrides of a run folder, and YAML files.

The groups of a run are closed registries. Hydra's own section is not: its callbacks, loggers, launchers and search path
import what they are told to, and its logging writes where it is told to. So a run folder may not reach it, and a YAML
file may neither name a callable there nor set up logging; only `conf/hydra/`, which belongs to this package, does.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser

from ncf.errors import ConfigError

_KEY = r"(?!hydra\b)[A-Za-z_]\w*(\.\w+)*"
_LOGGING = ("job_logging", "hydra_logging")  # whose values may be `ext://module.name`, and which opens any file
_CALLS = (
    "_target_",
    "()",
    "class",
    "callbacks",
    "env_set",
    "searchpath",
    "setup",
    *_LOGGING,
)  # `setup`: of a Slurm job
_PACKAGE = re.compile(rb"@package\s+(?!_global_\s|_group_\s)(\S+)")


def check_arguments(arguments: list[str], conf: Path, groups: Iterable[str]) -> None:
    """Refuse what would read configuration that names code; what is typed as `hydra...=` is the user's own.

    Raises:
        ConfigError: a choice is a path out of `conf`, a configuration is a pickle, or a YAML file names code.
    """
    known, _ = get_args_parser().parse_known_args(arguments)  # Hydra's own, which understands abbreviated options too
    if known.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: expected overrides, got a pickle, which could run code")
    for argument in arguments:
        if re.match(rf"[+~]{{0,2}}({'|'.join(groups)})=.*\.\.", argument):
            raise ConfigError(f"{argument}: expected the name of a file in {conf}, got a path")
    for folder in (conf, *(Path(given) for given in (known.config_dir, known.config_path) if given)):
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
    for path in _yaml_files(folder):
        if not path.is_relative_to(exempt):
            package = _PACKAGE.search(_content(path))
            found = [package[1].decode(errors="replace")] if package else []
            found += [part for part in path.relative_to(folder).parts if part in _CALLS]
            found += [key for key in _keys(_read(path)) if key in _CALLS]
            if found:
                raise ConfigError(f"{path}: expected settings, found {found[0]!r}, by which a file could run code")


def _yaml_files(folder: Path) -> Iterator[Path]:
    """Every `.yaml` file in `folder`, behind links too, as Hydra finds them; links that go in circles end."""
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        path = Path(name)
        place = path.resolve(), any(part in _CALLS for part in path.relative_to(folder).parts)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        yield from (path / file for file in sorted(files) if file.endswith(".yaml"))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read(path: Path) -> Any:
    content = _content(path)
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def _keys(node: Any) -> Iterator[str]:
    """Every key of nested mappings and lists, `a.b` as a and b; not those that pick a file for logging by its name."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not re.fullmatch(rf"(override )?/?hydra/({'|'.join(_LOGGING)})", str(key)):
                yield from re.split(r"[.@/]", str(key))
            yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)
