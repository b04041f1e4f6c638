"""One helpful line about a command line that Hydra refuses."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ncf.core.outside import read_yaml
from ncf.errors import ConfigError

_WHILE_RESOLVING = r"\w+ raised while resolving interpolation: | full_key: \S+ object_type=\S+"  # added by OmegaConf


def explained(error: BaseException, conf: Path) -> str:
    """Return what was expected, what was found and, where that can be guessed, what is meant.

    Args:
        conf: the configuration folder, whose files tell which choice of a group has a key that another lacks.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        options = error.options or sorted(_keys_of_choices(group, conf))  # none are given for a list, group=[a,b]
        if options:
            return f"{group}: expected one of {', '.join(options)}, got {name!r}{_meant(name, options)}"
    text = " ".join(" ".join(map(str, filter(None, [error, error.__cause__]))).split())
    unknown = re.match(r"Could not override '([^']+)'\. To append", text)
    if unknown and isinstance(error.__cause__, OmegaConfBaseException):
        return _unknown(unknown[1], error.__cause__.parent_node, conf)
    return re.sub(_WHILE_RESOLVING, "", text)


def refuse_unknown_options(arguments: Sequence[str], defaults: Callable[[], DictConfig]) -> None:
    """Raise ConfigError for what starts with a dash and is no option of Hydra's, or lacks its value.

    Args:
        defaults: returns a configuration, whose settings may be meant by an option such as `--epochs`.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print all its options
    _, others = parser.parse_known_args(list(arguments))
    if option := next((argument for argument in others if argument.startswith("-")), None):
        name = option.lstrip("-").partition("=")[0]
        meant = _meant_below(name, defaults())
        raise ConfigError(f"{option}: unknown option; settings are written key=value{meant}, and --help shows them")


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (--help shows the options)")


def owners(group: str, key: str, own: Collection[str], others: Mapping[str, Iterable[str]]) -> str:
    """Return " (loss=focal, focal_clamped have gamma)" if other choices of the group have it, or nearly it.

    Args:
        own: the keys of the present choice.
        others: choice -> its keys.
    """
    known = sorted({name for keys in others.values() for name in keys}.union(own) - {"name"})
    close = [name for name in difflib.get_close_matches(key, known, n=1, cutoff=0.75) if name not in own]
    having = sorted(choice for choice, keys in others.items() if close and close[0] in keys)
    return f" ({group}={', '.join(having)} {'has' if len(having) == 1 else 'have'} {close[0]})" if having else ""


def _keys_of_choices(group: str, conf: Path) -> dict[str, list[str]]:
    """Return choice -> keys of a group, from its files; empty for what is no group."""
    files = sorted((conf / group).glob("*.yaml")) if re.fullmatch(r"\w+", group) else []
    return {path.stem: [str(key) for key in read_yaml(path, ConfigError) or {}] for path in files}


def _unknown(key: str, beside: object, conf: Path) -> str:
    """Describe the unknown `key`, for which `beside` has no place."""
    above, dot, last = key.rpartition(".")
    if not isinstance(beside, DictConfig):
        return f"{key}: unknown key; {above} has no keys of its own"
    if dot and beside is beside._get_root():  # there is no such group
        above, dot, last = "", "", key.partition(".")[0]
    names = sorted(f"{above}{dot}{name!s}" for name in beside if name not in ("hydra", "name"))
    choice = beside.get("name") if "name" in beside else None
    meant = _meant(last, names) + owners(above, last, list(map(str, beside)), _keys_of_choices(above, conf))
    meant = meant or _meant_below(key, beside._get_root())
    expected = f"one of {', '.join(names)}" if names else f"none in {above}{'' if choice is None else f'={choice}'}"
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
    """Guess which of the names, of whose dotted ones the last part counts, is meant."""
    known = {one.rpartition(".")[2]: one for one in names}
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {known[close[0]]}?)" if close else ""


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
