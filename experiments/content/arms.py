"""What is compared, as registered: arms, the grids that validation chooses from, and the blocks they are run in."""

import itertools
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ncf.core.outside import read_yaml
from ncf.errors import ConfigError

HERE = Path(__file__).parent
REGISTRATION = HERE / "registration.yaml"
RUNS = Path("outputs") / "sweeps" / "content"


@dataclass(frozen=True)
class Arm:
    """A way to recommend, run in every block of a split.

    Attributes:
        name: of its runs.
        split: "leave_one_out" or "cold_items".
        settings: its overrides.
        grid: the values that validation chooses from, by key.
        after: the arm whose choice in the same block it takes over.
        parts: the two arms that a hybrid mixes.
        constant: whether every score is the same, so that nothing is run.
    """

    name: str
    split: str
    settings: list[str] = field(default_factory=list)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    after: str | None = None
    parts: tuple[str, ...] = ()
    constant: bool = False

    @property
    def points(self) -> list[list[str]]:
        """The overrides of each point of the grid, in order; one without any if there is no grid."""
        values = [[f"{key}={value}" for value in values] for key, values in self.grid.items()]
        return [list(point) for point in itertools.product(*values)]


@cache
def registered() -> dict[str, Any]:
    """The registration."""
    found: dict[str, Any] = read_yaml(REGISTRATION, ConfigError)
    return found


@cache
def arms() -> dict[str, Arm]:
    """Every registered arm, one after those that it builds on."""
    return {name: _arm(name, split, own) for split, some in registered()["arms"].items() for name, own in some.items()}


def _arm(name: str, split: str, own: dict[str, Any]) -> Arm:
    renamed = {"after" if key == "from" else key: value for key, value in own.items()}
    return Arm(name, split, **renamed | {"parts": tuple(own.get("parts", ()))})


def blocks(split: str) -> list[int]:
    """The blocks of a split."""
    return list(registered()["splits"][split]["blocks"])


def shared(split: str, block: int) -> list[str]:
    """The overrides of all runs of a block."""
    seed = registered()["first_seed"] + blocks(split).index(block)
    key = registered()["splits"][split]["key"]
    registration = REGISTRATION.relative_to(HERE.parents[1])
    return [
        *registered()["settings"],
        f"split={split}",
        f"{key}={block}",
        f"seed={seed}",
        f"registration={registration}",
    ]


def folder(arm: Arm, block: int, point: int) -> Path:
    """Of the run of a point in a block."""
    return RUNS / f"{arm.name}-b{block}-p{point}"
