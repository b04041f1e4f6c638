"""The package's default settings by the columns of a table of runs, read from `conf/` without Hydra's composing."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from ncf.core.outside import read_yaml
from ncf.errors import ConfigError


def default(column: str, component: str | None = None) -> Any:
    """Return the default of a setting; None if `conf/` has none.

    Args:
        column: as in `ncf.runs.tables.read_runs`: "loss", "gamma", "neg_ratio", "optimizer.name", "model.hidden".
        component: the component that has the setting, such as "focal" or "sgd"; None for the default one of its kind.
    """
    groups = _read("train").get("defaults", [])
    chosen = {group: name for entry in groups if isinstance(entry, dict) for group, name in entry.items()}
    group, key = place(column)
    if key == "name":
        return chosen.get(group)
    if not group:
        return _read("train").get(key)
    value = _read(f"{group}/{component or chosen.get(group)}").get(key)
    return str(value) if isinstance(value, list | dict) else value


def place(column: str) -> tuple[str, str]:
    """Return the group and key of a column: ("loss", "name"), ("loss", "gamma"), ("", "neg_ratio"), ("model", "l2")."""
    if column in ("loss", "model"):
        return column, "name"
    if column == "neg_ratio":
        return "", column
    group, dot, key = column.partition(".")
    return (group, key) if dot else ("loss", column)


@cache
def _read(name: str) -> Mapping[str, Any]:
    from ncf.core.compose import CONF  # here: it imports Hydra, which only a sweep with several arms needs

    file = CONF / f"{name}.yaml"
    return read_yaml(file, ConfigError) if file.is_file() else {}
