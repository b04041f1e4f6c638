"""Spell Python values as overrides for Hydra, so that each means itself: text with quotes, commas or `${`, and None."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncf.core.config import flatten
from ncf.errors import ConfigError


def overrides_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the overrides that set each key to its value; of a nested mapping, each key below it.

    Raises:
        ConfigError: a key is no text, or a value is neither None, a bool, a number or text nor a list of these.
    """
    for key in settings:
        if not isinstance(key, str) or not key or "=" in key:
            raise ConfigError(f"overrides: expected names of settings, such as 'optimizer.lr', got {key!r:.80}")
    return [override(key, value) for key, value in flatten(settings).items()]


def override(key: str, value: Any) -> str:
    """Return the override that sets `key` to a Python value. Raises ConfigError for a value that no setting can have.

    Text stays text, even if it reads null, true or 3; None is null.
    """
    try:
        return f"{key}={_spelt(value)}"
    except (TypeError, ValueError):  # ValueError: a number of thousands of digits
        raise ConfigError(
            f"{key}: expected None, true or false, a number, text or a list of these, got {type(value).__name__}"
        ) from None


def quoted(text: str) -> str:
    r"""Return `text` in quotes, for Hydra's grammar.

    In quotes it reads \' as a quote, and of other backslashes only those before a quote or the end as escapes; what it
    passes on, OmegaConf reads, to which \${ is no interpolation, and backslashes before it are escapes, too.
    """
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    inner = re.sub(r"(\\*)'", r"\1\1\\'", literal)
    ending = inner[len(inner.rstrip("\\")) :]
    return f"'{inner}{ending}'"


def _spelt(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | os.PathLike):
        return quoted(os.fsdecode(value))
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, bytes | bytearray):
        return f"[{','.join(map(_spelt, value))}]"
    raise TypeError
