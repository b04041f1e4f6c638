"""What the design can show: the whole decision rule, simulated with the spread of the pilot before any run.

The value of an arm on a block is that of the block, the arm's effect, and a rest that is the arm's own: luck of the
draws, of the selection and of the refits, and how the arm's choice suits the block. The rest is what the contrasts vary
by. Its variance is the residual mean square of the pilot's blocks and arms, and the design is planned by the upper
limit of that, as in `ncf.study.plan`. Nothing is credited for trials and refits beyond the pilot's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.tuned_losses import runner, table
from experiments.tuned_losses.analysis import block_values, refit_values
from experiments.tuned_losses.design import Design
from ncf.core.rng import numpy_generator
from ncf.stats.checks import Array
from ncf.stats.findings import FINDINGS, findings
from ncf.stats.overlapping import overlapping_p
from ncf.stats.power import upper_spread
from ncf.study.plan import PILOT_CONFIDENCE

EFFECTS = (0.0, 0.05, 0.1, -0.05)
_DRAWS = 20_000


@dataclass(frozen=True)
class Spread:
    """How an arm's value on a block varies, relative to the mean value.

    Attributes:
        mean: of all values, absolute.
        rest: standard deviation of an arm's own part on a block.
        degrees: degrees of freedom of `rest`.
        block: standard deviation of what the arms of a block share.
        refit: standard deviation of one refit around the mean of its repetition; a part of `rest`.
    """

    mean: float
    rest: float
    degrees: int
    block: float
    refit: float

    @property
    def limit(self) -> float:
        """The upper limit of `rest`, by which the design is planned."""
        return upper_spread(self.rest, self.degrees + 1, PILOT_CONFIDENCE)


def measured(values: pd.DataFrame, refits: pd.DataFrame) -> Spread:
    """Measure the spread of a pilot.

    Args:
        values: of blocks by arms.
        refits: a row a refit, with columns block, arm and value.
    """
    y = values.to_numpy()
    mean, blocks, arms = y.mean(), y.mean(1), y.mean(0)
    rest = y - blocks[:, None] - arms + mean
    degrees = (len(blocks) - 1) * (len(arms) - 1)
    within = refits.groupby(["block", "arm"])["value"].var(ddof=1).mean()
    return Spread(
        mean, np.sqrt((rest**2).sum() / degrees) / mean, degrees, blocks.std(ddof=1) / mean, np.sqrt(within) / mean
    )


@dataclass(frozen=True)
class Prospect:
    """What the rule says of a contrast, by simulation.

    Attributes:
        effect: relative effect of the treatment of all contrasts; their baselines are equal.
        rest: standard deviation of an arm's own part on a block, relative.
        overlap: correlation between blocks.
        chances: of each contrast, finding -> probability, after correction.
        any_error: probability that some contrast is called better or worse.
    """

    effect: float
    rest: float
    overlap: float
    chances: tuple[dict[str, float], ...]
    any_error: float

    @property
    def error(self) -> float:
        """The largest Monte Carlo standard error."""
        return max((p * (1 - p) / _DRAWS) ** 0.5 for own in self.chances for p in own.values())


def prospects(design: Design, spread: Spread, effects: Sequence[float] = EFFECTS) -> list[Prospect]:
    """Simulate studies with each effect, at the upper limit of the spread and at the spread itself."""
    overlap = design.held_out_share / (1 + design.held_out_share)
    return [
        simulated(design, spread, effect, rest, overlap) for rest in (spread.limit, spread.rest) for effect in effects
    ]


def simulated(design: Design, spread: Spread, effect: float, rest: float, overlap: float) -> Prospect:
    """Simulate the rule; `overlap` is the correlation between blocks of an arm's own part."""
    rng = numpy_generator(design.first_seed, f"prospect/{effect}/{rest:.6g}/{overlap:.6g}")
    arms = list(design.arms)
    common = rng.normal(size=(_DRAWS, 1, design.blocks)) * spread.block
    lasting = rng.normal(size=(_DRAWS, len(arms), 1)) * np.sqrt(overlap)
    own = rng.normal(size=(_DRAWS, len(arms), design.blocks)) * np.sqrt(1 - overlap)
    gain = np.array([effect if name in {c.treatment for c in design.contrasts} else 0.0 for name in arms])
    y = 1 + common + gain[:, None] + rest * (lasting + own)  # (draws, arms, blocks)
    surviving = _found(design, y, arms)
    chances = tuple(
        {kind: float((column == n).mean()) for n, kind in enumerate(FINDINGS[:4])} for column in surviving.T
    )
    return Prospect(effect, rest, overlap, chances, float((surviving < 2).any(-1).mean()))


def _found(design: Design, y: Array, arms: list[str]) -> Array:
    """The findings (draws, contrasts) on values (draws, arms, blocks), as `decide` makes them."""
    pairs = [(y[:, arms.index(c.treatment)], y[:, arms.index(c.baseline)]) for c in design.contrasts]
    tests = [overlapping_p(t, b, design.held_out_share, design.smallest_effect) for t, b in pairs]
    direction = np.stack([np.sign((t - b).mean(-1)) for t, b in pairs], axis=-1)
    p, p_equivalent = (np.stack(found, axis=-1) for found in zip(*tests))
    return findings(direction, p, p_equivalent, design.alpha, design.correction)[1]


def described(prospect: Prospect, design: Design) -> list[str]:
    """Format as a line a contrast."""
    effect = f"an effect of {prospect.effect:+.0%}" if prospect.effect else "no effect"
    return [
        f"{contrast.name} with {effect}: {', '.join(f'{kind} {p:.3f}' for kind, p in own.items())} "
        f"(± {prospect.error:.3f}; an arm's own part varies by {prospect.rest:.1%} a block)"
        for contrast, own in zip(design.contrasts, prospect.chances)
    ]


def pilot_spread(design: Design) -> Spread:
    """Measure the spread of the committed pilot, on the blocks that every arm has completed."""
    todo, rows = runner.pilot(design), table.read(runner.PILOT)
    whole = todo.whole_blocks(rows)
    rows = [row for row in rows if row.block in whole]
    return measured(block_values(rows, design, design.monitor), refit_values(rows, design.monitor))


def core_hours(design: Design) -> float:
    """Return what the study will cost, in core-hours: the pilot's mean seconds by stage and rung, times the numbers.

    A rung that the pilot lacks costs what its epochs cost in the nearest that it has.
    """
    rows = [row for row in table.read(runner.PILOT) if row.seconds]
    epochs = sum(row.trained for row in rows if row.stage == "refit")
    refit = sum(row.seconds for row in rows if row.stage == "refit") / sum(row.stage == "refit" for row in rows)
    second = sum(row.seconds for row in rows if row.stage == "refit") / epochs
    before, trials = 0, 0.0
    for rung in design.rungs:
        trials += rung.configurations * (rung.epochs - before) * second
        before = rung.epochs
    return len(design.units) * (trials + design.refits.runs * refit) / 3600


def plan(design: Design) -> list[str]:
    """Return what the design can show and costs, in lines."""
    spread = pilot_spread(design)
    shown = [line for prospect in prospects(design, spread) for line in described(prospect, design)]
    return [
        f"{design.blocks} blocks, {len(design.arms)} arms, {design.trials} trials, {design.refits.runs} refits: about "
        f"{core_hours(design):.1f} core-hours of {design.core_hours:g}",
        f"pilot: an arm's own part varies by {spread.rest:.1%} a block ({spread.degrees} degrees of freedom, upper "
        f"limit {spread.limit:.1%}), one refit by {spread.refit:.1%} around the mean of its repetition",
        *shown,
    ]
