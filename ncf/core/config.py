"""Build checked components from YAML: unknown, missing or out-of-range keys fail here, before any data is read.

Convention: a component is a class or function whose keyword-only parameters are its YAML keys, annotated with
their range (`Annotated[float, Field(ge=0)]`); its positional parameters come from the program (a split, a number of
users). The config group's `name` selects it from a closed registry, so no configuration can name code.
"""

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, create_model

from ncf.core.advice import owners
from ncf.core.roles import RESULT, Role
from ncf.errors import ConfigError

LARGEST = 1_000_000_000
"""The largest whole number that a setting accepts if its annotation gives no upper bound."""

_EXPECTED = (  # pydantic's phrases, in the words of all other messages
    (r"Input should be (greater|less) ", r"expected a value \1 "),
    (r"Input should be ", "expected "),
    (r"(List|Tuple) should have (at \w+ \d+ items?) after validation, not \d+", r"expected \2"),
    (r"(String|Input) should have ", "expected "),
)

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def plain(node: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Return `node` as resolved built-in values.

    Raises:
        ConfigError: an interpolation does not resolve, or a whole number does not fit in 64 bits.
    """
    if not isinstance(node, DictConfig):
        return dict(node)
    try:
        values = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
    except MissingMandatoryValue as error:
        key = _escaped(error.full_key or "config")
        raise ConfigError(f"{key}: expected a value, found none; set it with {key}=...") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{_escaped(error.full_key or 'config')}: {_escaped(str(error).splitlines()[0])}") from None
    for key, value in flatten(values).items():
        if not all(-(2**63) <= number < 2**63 for number in _whole_numbers(value)):
            raise ConfigError(f"{_escaped(key)}: expected a number that fits in 64 bits, got {_shown(value)}")
    return values


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to {"trainer.epochs": 100, ...}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def component(group: str, registry: Mapping[str, Callable[..., Any]], node: Mapping[str, Any]) -> partial[Any]:
    """Return the factory that `node["name"]` selects from `registry`, bound to the other keys of `node`, all checked.

    Raises:
        ConfigError: a key is invalid; the message gives `group.key`, what was expected and what was given.
    """
    values = plain(node)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"{group}.name: expected {_one_of(registry)}, got {name!r}{_hint(name, registry)}")
    return _bound(group, registry[name], values, registry)


def bind(group: str, factory: Callable[..., Any], values: Mapping[str, Any]) -> partial[Any]:
    """Bind `values` to `factory` after checking them against the annotations of its keyword-only parameters."""
    return _bound(group, factory, values, {})


def _bound(
    group: str, factory: Callable[..., Any], values: Mapping[str, Any], registry: Mapping[str, Callable[..., Any]]
) -> partial[Any]:
    """Bind as `bind` does; `registry` has the components that may have a key which this one lacks."""
    schema = _schema(factory)
    try:
        checked = schema.model_validate(dict(values))
    except ValidationError as error:
        keys = {name: [key for key, _ in _keys(one)] for name, one in registry.items()}
        raise ConfigError(_explain(group, schema, error.errors(), keys)) from None
    return partial(factory, **{key: getattr(checked, key) for key in schema.model_fields})


def spelled(pattern: str, expected: str) -> AfterValidator:
    """Return an annotation for text that must match `pattern` as a whole, with words for what is expected."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


@cache
def roles(factory: Callable[..., Any]) -> Mapping[str, Role]:
    """Map each key to the role that its annotation declares, RESULT by default."""
    return {key: next((m for m in _metadata(hint) if isinstance(m, Role)), RESULT) for key, hint in _keys(factory)}


@cache
def float_keys(factory: Callable[..., Any]) -> frozenset[str]:
    """Return the keys whose numbers are floats, so that a whole number stands for one: 2 is 2.0."""
    leaves = {key: set(_leaves(hint)) for key, hint in _keys(factory)}
    return frozenset(key for key, types in leaves.items() if float in types and int not in types)


def _leaves(hint: Any) -> Iterator[Any]:
    """Yield the types that make up an annotation: float and NoneType of `list[float] | None`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from _leaves(arguments[0])
    elif origin in (typing.Union, UnionType, list):
        for argument in arguments:
            yield from _leaves(argument)
    else:
        yield hint


def _metadata(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


def _keys(factory: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Return the keyword-only parameters of `factory` with their annotations."""
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    parameters = inspect.signature(factory).parameters.values()
    return [(p.name, hints[p.name]) for p in parameters if p.kind is p.KEYWORD_ONLY]


@cache
def _schema(factory: Callable[..., Any]) -> type[BaseModel]:
    since = {key: role.since for key, role in roles(factory).items() if role.came_later}  # settings may be older
    fields: dict[str, Any] = {
        key: (hint if _has_upper_bound(hint) else Annotated[hint, AfterValidator(_bounded)], since.get(key, ...))
        for key, hint in _keys(factory)
    }
    return create_model("Settings", __config__=_STRICT, **fields)


def _has_upper_bound(hint: Any) -> bool:
    """Return whether `le` or `lt` stands anywhere in an annotation."""
    own = [limit for field in _metadata(hint) for limit in getattr(field, "metadata", ())]
    arguments = typing.get_args(hint)
    nested = arguments[:1] if typing.get_origin(hint) is Annotated else arguments
    return any(hasattr(limit, "le") or hasattr(limit, "lt") for limit in own) or any(map(_has_upper_bound, nested))


def _bounded(value: Any) -> Any:
    """Return `value`. Raises ValueError if it is or holds a whole number beyond LARGEST, which would overflow later."""
    if not all(-LARGEST <= number <= LARGEST for number in _whole_numbers(value)):
        raise ValueError(f"expected at most {LARGEST:,}")
    return value


def _whole_numbers(value: Any) -> Iterator[int]:
    """Yield the integers in a value and in its lists and mappings."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple | Mapping):
        for element in value.values() if isinstance(value, Mapping) else value:
            yield from _whole_numbers(element)


def _explain(group: str, schema: type[BaseModel], errors: Iterable[Any], others: Mapping[str, Iterable[str]]) -> str:
    """Describe each invalid key in one clause; the alternatives of a union are joined by "or".

    Args:
        others: name -> keys of the components that may be chosen in the group.
    """
    found: dict[str, tuple[list[str], Any]] = {}
    for error in errors:
        name, *inner = error["loc"]
        key = ".".join(map(_escaped, [*filter(None, [group]), name, *(n for n in inner if isinstance(n, int))]))
        reasons, _ = found.setdefault(key, ([], error))
        reasons.append(said(error["msg"]))
    said_of = {key: _reason(group, schema, reasons, error, others) for key, (reasons, error) in found.items()}
    return "; ".join(f"{key}: {text}" for key, text in said_of.items())


def _reason(
    group: str, schema: type[BaseModel], reasons: list[str], error: Any, others: Mapping[str, Iterable[str]]
) -> str:
    if error["type"] == "extra_forbidden":
        key = error["loc"][0]
        own = schema.model_fields
        expected = _one_of(own) if own else "none"
        meant = _hint(key, own) + owners(group, str(key), own, others)
        return f"unknown key, expected {expected}{meant}"
    if error["type"] == "missing":
        return "missing"
    return f"{', or '.join(reasons).replace(', or expected ', ' or ')}, got {_shown(error['input'])}"


def said(message: str) -> str:
    """Return pydantic's `message` as others are worded: "expected a value greater than 0"."""
    message = message.removeprefix("Value error, ")
    for theirs, ours in _EXPECTED:
        message = re.sub(f"^{theirs}", ours, message)
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    """Return the repr of a value, shortened if it is long; Python writes out no number of more than 4,300 digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:100]}... ({len(text):,} characters)"


def _escaped(key: object) -> str:
    """Return the key, or its repr if it would not print on one line."""
    return str(key) if str(key).isprintable() and str(key).strip() else repr(key)


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(sorted(names))


def _hint(name: object, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
