"""The figures of a report, in its order; each answers the question in its title."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from ncf.report.figures import effects, grid, protocol, seeds, training
from ncf.report.study import Study

Standing = Literal["registered", "descriptive", "exploratory"]
"""Registered: a registered comparison. Descriptive: registered runs without a registered test. Exploratory: neither."""


@dataclass(frozen=True)
class Chart:
    """A figure to be: its question, how it stands to the registration, and what draws it with its caption.

    `draw` raises NotRunError where the data are not there.
    """

    question: str
    standing: Standing
    draw: Callable[[Study], tuple[Figure, str]]


CHARTS: dict[str, Chart] = {
    "forest": Chart("Which registered comparisons show an effect?", "registered", effects.forest),
    "paired": Chart("Seed by seed, which loss ranks better?", "registered", seeds.paired),
    "gain": Chart("Does the gain grow with the number of negatives?", "registered", effects.gain),
    "distribution": Chart(
        "How far do seeds spread, beside the differences between losses?", "descriptive", seeds.distribution
    ),
    "heat_map": Chart("Does any γ and α beat BCE?", "descriptive", grid.heat_map),
    "clamped": Chart("What did the published code's mistake change?", "descriptive", seeds.clamped),
    "curves": Chart("When does each loss stop improving?", "exploratory", training.curves),
    "loss_share": Chart("Which examples carry the loss as training goes on?", "exploratory", training.loss_share),
    "gradient_share": Chart(
        "Which examples drive the gradient as training goes on?", "exploratory", training.gradient_share
    ),
    "calibration": Chart("Do predicted probabilities mean what they say?", "exploratory", training.calibration),
    "sampled": Chart("Would 99 sampled negatives have told the same story?", "exploratory", protocol.sampled),
    "groups": Chart("Who gains: popular items, active users?", "exploratory", effects.groups),
}
