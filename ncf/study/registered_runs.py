"""The runs of a registered sweep, selected by parts of the registration, as Hydra overrides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ncf.core.config import bind
from ncf.errors import ConfigError
from ncf.study.registration import Ratio, Registration, Value, in_arm, resolved

_GROUPS = ("model", "loss")
_ROOT = ("neg_ratio", "seed")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part of a sweep: the runs of these hypotheses and grids, ordered by ratio and then by seed."""

    of: Annotated[list[str], Field(min_length=1)]
    ratios: Annotated[list[Ratio], Field(min_length=1)]


def parts(nodes: Any) -> list[Part]:
    """Validate `hydra.sweeper.parts`. Raises ConfigError, naming the key."""
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ConfigError(f"hydra.sweeper.parts: expected a list such as [{{of: [H1], ratios: [10]}}], got {nodes!r}")
    return [bind(f"hydra.sweeper.parts.{n}", Part, node)() for n, node in enumerate(nodes)]


def registered_runs(registration: Registration, wanted: Iterable[Part]) -> list[dict[str, Value]]:
    """Return the runs of the parts in order, as column -> value; a run of several parts comes once, with the first.

    Raises:
        ConfigError: a part names something that is neither a hypothesis nor a grid.
    """
    runs = [
        run
        for part in wanted
        for ratio in part.ratios
        for run in sorted(_runs_of(registration, part.of), key=lambda run: run["seed"])
        if run["neg_ratio"] == ratio
    ]
    return list({tuple(sorted(run.items())): run for run in runs}.values())


def _runs_of(registration: Registration, names: Sequence[str]) -> list[dict[str, Value]]:
    known = [*registration.hypotheses, *registration.grids]
    for name in names:
        if name not in known:
            raise ConfigError(f"hydra.sweeper.parts: expected names of {', '.join(known)}, got {name!r}")
    grids = [name for name in names if name in registration.grids]
    tested = [name for name in names if name in registration.hypotheses]
    return [
        run
        for grid in registration.grids
        for run in registration.runs(grid)
        if grid in grids or any(_tests(registration, name, run) for name in tested)
    ]


def _tests(registration: Registration, hypothesis: str, run: dict[str, Any]) -> bool:
    """Return whether the hypothesis compares this run."""
    ratio = run["neg_ratio"]
    claims = [claim for claim in registration.hypotheses[hypothesis].claims if ratio in claim.ratios]
    arms = [registration.arms[name] for claim in claims for name in (claim.treatment, claim.baseline)]
    return any(in_arm(run, arm, ratio) for arm in arms) and run["seed"] in registration.seeds_at(ratio)


def overrides(run: Mapping[str, Value]) -> dict[str, Value]:
    """Return a registered run as Hydra overrides, key -> value: model, loss, the loss's own keys, neg_ratio, seed."""
    own = [column for column in run if column not in (*_GROUPS, *_ROOT)]
    keys = {**{g: g for g in _GROUPS}, **{column: f"loss.{column}" for column in own}, **{key: key for key in _ROOT}}
    return {key: run[column] for column, key in keys.items()}


def admits(chosen: Mapping[str, Sequence[Value]], run: Mapping[str, Value]) -> bool:
    """Return whether the run, given as overrides, has one of the chosen values for every key."""
    ratio = int(run["neg_ratio"])
    return all(key in run and run[key] in [resolved(v, ratio) for v in values] for key, values in chosen.items())
