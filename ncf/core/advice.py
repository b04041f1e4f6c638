"""One helpful line about a command line that Hydra refuses."""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ncf.errors import ConfigError

_WHILE_RESOLVING = r"\w+ raised while resolving interpolation: | full_key: \S+ object_type=\S+"  # added by OmegaConf


def explained(error: BaseException) -> str:
    """Return what was expected, what was found and, where that can be guessed, what is meant."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}: expected one of {', '.join(error.options)}, got {name!r}{_meant(name, error.options)}"
    text = " ".join(" ".join(map(str, filter(None, [error, error.__cause__]))).split())
    unknown = re.match(r"Could not override '([^']+)'\. To append", text)
    if unknown and isinstance(error.__cause__, OmegaConfBaseException):
        return _unknown(unknown[1], error.__cause__.parent_node)
    return re.sub(_WHILE_RESOLVING, "", text)


def _unknown(key: str, beside: object) -> str:
    """Describe the unknown `key`, for which `beside` has no place."""
    above, dot, _ = key.rpartition(".")
    if not isinstance(beside, DictConfig):
        return f"{key}: unknown key; {above} has no keys of its own"
    names = sorted(f"{above}{dot}{name!s}" for name in beside if name not in ("hydra", "name"))
    meant = _meant(key, names) or _meant_below(key, beside._get_root())
    expected = f"one of {', '.join(names)}" if names else f"none in {above}"
    return f"{key}: unknown key, expected {expected}{meant}"


def _meant_below(key: str, root: object) -> str:
    """Guess by the last part of the key: for lr, optimizer.lr."""
    paths = list(_paths(root)) if isinstance(root, DictConfig) else []
    last = {path.rpartition(".")[2]: path for path in reversed(paths)}
    close = difflib.get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.75)
    return f" (did you mean {last[close[0]]}?)" if close else ""


def _paths(node: DictConfig, above: str = "") -> Iterator[str]:
    """Yield the full name of each setting below `node`, without Hydra's own."""
    for name in map(str, node):
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _paths(child, f"{above}{name}.") if above or name != "hydra" else ()
        else:
            yield f"{above}{name}"


def _meant(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def refuse_missing_run(arguments: Iterable[str]) -> None:
    """Raise ConfigError if `resume=` names what is no folder of a run."""
    named = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not named or named[-1] in ("", "null"):
        return
    folder = Path(named[-1])
    if not folder.is_dir():
        raise ConfigError(f"resume: expected the folder of a run, found no folder {named[-1]!r}")
    if not (folder / ".hydra" / "overrides.yaml").exists():
        raise ConfigError(
            f"resume: expected the folder of a run, but {named[-1]} has no .hydra/overrides.yaml; if its run had not "
            "begun when it was stopped, start it with the command that it was started with"
        )
