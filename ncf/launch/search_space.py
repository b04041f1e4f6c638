"""Search spaces of a tuning study: read, checked and drawn from."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ncf.core.compose import CONF
from ncf.core.config import flatten
from ncf.core.outside import read_text, read_yaml
from ncf.errors import ConfigError
from ncf.runs.components import GROUPS

SPACES = CONF / "tuning"
EXPECTED = "expected [low, high] with low <= high, [low, high, log] with 0 < low, or {choices: [...]} of plain values"

Space = Mapping[str, Any]
"""Key of a setting -> [low, high], [low, high, log] or {choices: [...]}."""


def space_path(model: str, config_dir: str | None) -> Path:
    """Return the file of the model's space: of `config_dir`/tuning if it has one, else of conf/tuning.

    Raises:
        ConfigError: neither has one.
    """
    folders = [Path(config_dir, "tuning")] if config_dir else []
    for folder in [*folders, SPACES]:
        if (path := folder / f"{model}.yaml").is_file():
            return path
    known = sorted(path.stem for path in SPACES.glob("*.yaml"))
    raise ConfigError(f"model: expected one with a search space in conf/tuning ({', '.join(known)}), got {model!r}")


def read_space(path: Path, base: DictConfig | None = None) -> dict[str, Any]:
    """Read the space in `path`.

    Args:
        base: the configuration of a run; every key has to be one of its settings.

    Raises:
        ConfigError: the file cannot be read, or an entry is invalid; the message names its line and its key.
    """
    read_yaml(path, ConfigError)  # bounds what aliases unfold into
    text = read_text(path, ConfigError)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        space: Any = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(node, yaml.MappingNode) or not space:
        raise ConfigError(f"{path}: expected a search space, such as model.l2: [0.1, 10.0, log], found none")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    known = None if base is None else _settings(base)
    for key, options in space.items():
        place = f"{path} line {lines.get(str(key), 1)}: {key}"
        if known is not None and key not in known:
            group = str(key).partition(".")[0]
            near = [name for name in sorted(known) if name.partition(".")[0] == group] or sorted(GROUPS)
            raise ConfigError(f"{place}: expected a setting of this run, such as {', '.join(near)}")
        if not _valid(options):
            raise ConfigError(f"{place}: {EXPECTED}, got {_shown(options)}")
    return {str(key): options for key, options in space.items()}


def _settings(base: DictConfig) -> set[str]:
    """Return the keys of all settings of a run, and the groups that are chosen by name."""
    settings: Any = OmegaConf.to_container(base, resolve=False)
    return {key for key in flatten(settings) if not key.startswith("hydra.")} | (set(GROUPS) & set(settings))


def _valid(options: Any) -> bool:
    if isinstance(options, Mapping):
        choices = options.get("choices")
        return set(options) == {"choices"} and isinstance(choices, list) and bool(choices) and all(map(_plain, choices))
    if not isinstance(options, list) or len(options) not in (2, 3) or not all(map(_number, options[:2])):
        return False
    low, high, *log = options
    return low <= high and (not log or (log == ["log"] and low > 0))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any) -> bool:
    """Return whether `value` can be a choice: null, a boolean, number or text, or a list of those."""
    if isinstance(value, list):
        return all(_plain(element) and not isinstance(element, list) for element in value)
    return value is None or isinstance(value, bool | str) or _number(value)


def _shown(options: Any) -> str:
    """Return `options` as in YAML, cut short."""
    text = " ".join(yaml.safe_dump(options, default_flow_style=True).replace("...", "").split())
    return text if len(text) <= 100 else f"{text[:100]}..."


def suggest(trial: Any, key: str, space: Any) -> Any:
    """Draw the trial's value for a key whose space is [low, high], [low, high, log] or {choices: [...]}."""
    if isinstance(space, Mapping):
        return trial.suggest_categorical(key, space["choices"])
    low, high, *log = space
    whole = isinstance(low, int) and isinstance(high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(key, low, high, log=bool(log))


def override(key: str, value: Any) -> str:
    """Return the setting as an override of a run."""
    return f"{key}={_spelt(value)}"


def _spelt(value: Any) -> str:
    """Spell `value` for Hydra's grammar; text that the grammar would not take as it is, is quoted."""
    if isinstance(value, list):
        return f"[{','.join(map(_spelt, value))}]"
    if isinstance(value, str) and not re.fullmatch(r"[\w.+-]+", value, re.ASCII):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return "null" if value is None else str(value)
