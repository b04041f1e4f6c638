"""The registered design, and what follows from it: units of work, configurations and seeds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ncf.core.outside import read_text, read_yaml
from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError
from ncf.launch.search_space import Space
from ncf.study.registration import Decision, Fraction, Strict

HERE = Path(__file__).parent
REGISTRATION = HERE / "preregistration.yaml"
_DIGITS = 3  # of a drawn number
_MOST_BLOCKS = 100
_SEEDS = 1000  # of a block's draw
_REFIT, _RESERVE = 500, 750  # where among them those of refits and of their reserves begin

Configuration = dict[str, Any]
"""Key of a setting -> its value."""
Count = Annotated[int, Field(ge=1, le=10_000)]


class Rung(Strict):
    """A rung of successive halving: how many configurations reach it, and for how many epochs they train in all."""

    configurations: Count
    epochs: Count


class Refits(Strict):
    """How the chosen configuration is trained again: runs whose test values are averaged, each of at most `epochs`.

    A run whose best validation value is below `learned` times that of the chosen trial never learned: the next seed in
    reserve takes its place, and its test value is not read. There are as many in reserve.
    """

    runs: Count
    epochs: Count
    learned: Fraction


class Arm(Strict):
    """A loss, and which of the drawn weights it has."""

    loss: str
    weights: list[str]


class Contrast(Strict):
    """Two arms that are compared."""

    treatment: str
    baseline: str

    @property
    def name(self) -> str:
        """Such as "focal - bce"."""
        return f"{self.treatment} - {self.baseline}"


class Priors(Strict):
    """Scales of the priors of the Bayesian analysis, relative to the metric; see `bayes`."""

    effect_sd: Annotated[float, Field(gt=0)]
    block_sd: Annotated[float, Field(gt=0)]


class Pilot(Strict):
    """Repetitions before the registration, on blocks that are not registered, with their own number of trials."""

    first_block: Count
    blocks: Count
    draws: Count
    rungs: Annotated[list[Rung], Field(min_length=1)]
    refits: Count
    users_error: Annotated[float, Field(gt=0)]


class Procedure(Strict):
    """What a repetition draws, trains and refits; preregistration.yaml says what each key means."""

    sha256: str
    settings: list[str]
    arms: dict[str, Arm]
    space: dict[str, Any]
    weights: dict[str, Any]
    rungs: Annotated[list[Rung], Field(min_length=1)]
    refits: Refits
    first_seed: Annotated[int, Field(ge=0, lt=2**62)]

    @property
    def trials(self) -> int:
        """Configurations of an arm in a repetition."""
        return self.rungs[0].configurations

    def configuration(self, unit: "Unit", trial: int) -> Configuration:
        """Return the settings of a trial: those that all arms share, then the arm's own weights of the loss."""
        drawn = drawn_configuration({**self.space, **self.weights}, self.first_seed, unit.lane, trial)
        own = {key: drawn[key] for key in self.arms[unit.arm].weights}
        return {key: drawn[key] for key in self.space} | {f"loss.{key}": value for key, value in own.items()}

    def trial_seed(self, unit: "Unit", trial: int) -> int:
        """Return the seed of a trial, the same for all arms."""
        return self.first_seed + _SEEDS * unit.lane + trial

    def refit_seed(self, unit: "Unit", number: int) -> int:
        """Return the seed of a refit, the same for all arms; those from `refits.runs` on are the reserves."""
        runs = self.refits.runs
        offset = _REFIT + number if number < runs else _RESERVE + number - runs
        return self.first_seed + _SEEDS * unit.lane + offset


class Design(Procedure, Decision):
    """The registration."""

    core_hours: Annotated[float, Field(gt=0)]
    monitor: str
    secondary: list[str]
    blocks: Annotated[int, Field(ge=3, le=_MOST_BLOCKS)]
    draws: Annotated[int, Field(ge=1, le=_MOST_BLOCKS)]
    held_out_share: Fraction
    contrasts: Annotated[list[Contrast], Field(min_length=1)]
    priors: Priors
    pilot: Pilot

    @property
    def units(self) -> list["Unit"]:
        """The registered repetitions, block by block."""
        return [
            Unit(block, draw, arm) for block in range(self.blocks) for draw in range(self.draws) for arm in self.arms
        ]


@dataclass(frozen=True, order=True)
class Unit:
    """One repetition of the procedure: an arm tuned and refitted on a block.

    Attributes:
        block: how many of each user's last positives are left out first; its test positives are those before them.
        draw: which of the block's repetitions, each with configurations and seeds of its own.
        arm: name.
    """

    block: int
    draw: int
    arm: str

    @property
    def lane(self) -> int:
        """Number of block and draw, which addresses their configurations and seeds."""
        return self.block + _MOST_BLOCKS * self.draw

    @property
    def name(self) -> str:
        """A folder name."""
        return f"block-{self.block:02d}-{self.draw}-{self.arm}"


def drawn_configuration(space: Space, seed: int, lane: int, trial: int) -> Configuration:
    """Draw a value for each key of `space` from the stream of this lane and trial, whatever the arm."""
    rng = numpy_generator(seed, f"configuration/{lane}/{trial}")
    return {key: _drawn(options, float(rng.random())) for key, options in space.items()}


def _drawn(options: Any, uniform: float) -> Any:
    """Return the value of a range or list of choices at `uniform` in [0, 1)."""
    if isinstance(options, Mapping):
        return options["choices"][int(uniform * len(options["choices"]))]
    low, high, *log = options
    value = low * (high / low) ** uniform if log else low + (high - low) * uniform
    return round(value) if isinstance(low, int) and isinstance(high, int) else float(f"{value:.{_DIGITS}g}")


def load(path: Path = REGISTRATION) -> Design:
    """Read and check the registration. Raises ConfigError, naming the key."""
    try:
        said = read_yaml(path, ConfigError)
        if not isinstance(said, dict):
            raise ConfigError(f"{path}: expected a registration, a mapping of keys to values")
        design = Design.model_validate({**said, "sha256": digest(path)})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _refuse_contradictions(path, design)
    return design


def digest(path: Path) -> str:
    """Return the SHA-256 hex digest of a text file. Raises ConfigError."""
    return hashlib.sha256(read_text(path, ConfigError).encode()).hexdigest()


def _refuse_contradictions(path: Path, design: Design) -> None:
    counts, epochs = ([getattr(rung, key) for rung in design.rungs] for key in ("configurations", "epochs"))
    if counts != sorted(counts, reverse=True) or epochs != sorted(epochs):
        raise ConfigError(f"{path}: rungs: expected ever fewer configurations and ever more epochs")
    if max(design.trials, 2 * design.refits.runs) > _REFIT // 2:
        raise ConfigError(f"{path}: rungs, refits: expected at most {_REFIT // 2} seeds of each kind in a block")
    if design.pilot.first_block < design.blocks:
        raise ConfigError(
            f"{path}: pilot.first_block: expected blocks that are not registered, {design.blocks} or more"
        )
    for contrast in design.contrasts:
        if {contrast.treatment, contrast.baseline} - set(design.arms):
            raise ConfigError(f"{path}: contrasts: expected arms of {', '.join(design.arms)}, got {contrast.name}")
