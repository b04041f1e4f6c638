"""What the design can show: the whole decision rule, simulated with the spread of the pilot before any run.

The value of an arm on a block, the mean over draws, is that of the block, the arm's effect, and a rest that is the
arm's own, by which the contrasts vary. The rest has two parts. One is how the arms compare on the users of the block,
which no draw can average out: its variance is that over users of a contrast of many runs, which is registered. The
other is luck of a draw: of configurations, selection and refits. Its variance is the residual mean square of the
pilot's draws and arms, which holds what the users add to it, too. The design is planned with

    variance over users + upper limit of the variance of a draw / number of draws,

which credits nothing for trials, refits and users beyond the pilot's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.tuned_losses import runner, table
from experiments.tuned_losses.analysis import draw_values, refit_values
from experiments.tuned_losses.design import Design
from ncf.core.rng import numpy_generator
from ncf.errors import DataError
from ncf.stats.checks import Array
from ncf.stats.findings import FINDINGS, findings
from ncf.stats.overlapping import overlapping_p
from ncf.stats.power import upper_spread
from ncf.study.plan import PILOT_CONFIDENCE

EFFECTS = (0.0, 0.05, 0.1, -0.05)
_DRAWS = 20_000


@dataclass(frozen=True)
class Spread:
    """How an arm's value varies, relative to the mean value.

    Attributes:
        mean: of all values, absolute.
        draw: standard deviation of an arm's own part in a single draw.
        degrees: degrees of freedom of `draw`.
        users: standard deviation of an arm's own part by the users alone: that of a contrast over sqrt 2.
        shared: standard deviation of what the arms of a draw share.
        refit: standard deviation of one refit around the mean of its repetition; a part of `draw`.
    """

    mean: float
    draw: float
    degrees: int
    users: float
    shared: float
    refit: float

    @property
    def limit(self) -> float:
        """The upper limit of `draw`, by which the design is planned."""
        return upper_spread(self.draw, self.degrees + 1, PILOT_CONFIDENCE)

    def planned(self, draws: int) -> float:
        """Return the standard deviation of an arm's own part on a block that the design is planned by."""
        return float(np.sqrt(self.users**2 + self.limit**2 / draws))

    def expected(self, draws: int) -> float:
        """Return the same without margin: as if the pilot's spread were known, and users counted once."""
        return float(np.sqrt(self.users**2 + max(self.draw**2 - self.users**2, 0) / draws))


def measured(values: pd.DataFrame, refits: pd.DataFrame, of_users: float) -> Spread:
    """Measure the spread of a pilot.

    Args:
        values: of draws by arms.
        refits: a row a refit, with columns block, draw, arm and value.
        of_users: standard error of a contrast of many runs over the users of a block, relative.
    """
    y = values.to_numpy()
    mean, draws, arms = y.mean(), y.mean(1), y.mean(0)
    rest = y - draws[:, None] - arms + mean
    degrees = (len(draws) - 1) * (len(arms) - 1)
    within = refits.groupby(["block", "draw", "arm"])["value"].var(ddof=1).mean()
    return Spread(
        mean, np.sqrt((rest**2).sum() / degrees) / mean, degrees, of_users / np.sqrt(2), draws.std(ddof=1) / mean,
        np.sqrt(within) / mean,
    )  # fmt: skip


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
    """Simulate studies with each effect, with the spread that is planned by and with that which is expected."""
    overlap = design.held_out_share / (1 + design.held_out_share)
    rests = spread.planned(design.draws), spread.expected(design.draws)
    return [simulated(design, spread, effect, rest, overlap) for rest in rests for effect in effects]


def simulated(design: Design, spread: Spread, effect: float, rest: float, overlap: float) -> Prospect:
    """Simulate the rule; `overlap` is the correlation between blocks of an arm's own part."""
    rng = numpy_generator(design.first_seed, f"prospect/{effect}/{rest:.6g}/{overlap:.6g}")
    arms = list(design.arms)
    common = rng.normal(size=(_DRAWS, 1, design.blocks)) * spread.shared
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
    """Measure the spread of the committed pilot, on the draws that every arm has completed.

    Raises DataError if there are none.
    """
    todo, rows = runner.pilot(design), table.read(runner.PILOT)
    done = set(todo.complete(rows))
    rows = [row for row in rows if all(unit in done for unit in todo.units if unit.lane == row.lane)]
    if not rows:
        raise DataError(f"{runner.PILOT}: expected the rows of the pilot, found no draw that every arm has completed")
    return measured(
        draw_values(rows, design, design.monitor), refit_values(rows, design.monitor), design.pilot.users_error
    )


def core_hours(design: Design) -> float:
    """Return what the study will cost, in core-hours: the seconds of the pilot's runs an epoch, times the epochs."""
    rows = [row for row in table.read(runner.PILOT) if row.seconds]
    refits = [row for row in rows if row.stage == "refit"]
    an_epoch = sum(row.seconds for row in refits) / sum(row.trained for row in refits)
    epochs = design.refits.runs * sum(row.trained for row in refits) / len(refits)
    before = 0
    for rung in design.rungs:
        epochs += rung.configurations * (rung.epochs - before)
        before = rung.epochs
    return len(design.units) * epochs * an_epoch / 3600


def plan(design: Design) -> list[str]:
    """Return what the design can show and costs, in lines."""
    spread, draws = pilot_spread(design), design.draws
    shown = [line for prospect in prospects(design, spread) for line in described(prospect, design)]
    return [
        f"{design.blocks} blocks, {draws} draws of {len(design.arms)} arms, {design.trials} trials, "
        f"{design.refits.runs} refits: about {core_hours(design):.1f} core-hours of {design.core_hours:g}",
        f"pilot: an arm's own part varies by {spread.draw:.1%} a draw ({spread.degrees} degrees of freedom, upper "
        f"limit {spread.limit:.1%}), of which {spread.users:.1%} by users, and one refit by {spread.refit:.1%}; "
        f"planned with {spread.planned(draws):.1%} a block, expected {spread.expected(draws):.1%}",
        *shown,
    ]
