"""From the rows to the findings: the registered tests, once all blocks are there, and what is shown beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from experiments.tuned_losses.design import Contrast, Design
from experiments.tuned_losses.table import Row
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.findings import CORRECTIONS, FINDINGS, findings
from ncf.stats.overlapping import Overlapping, overlapping

Decision = Literal["helps", "harms", "has no worthwhile effect", "is undecided"]
IN_WORDS: dict[str, Decision] = {
    "better": "helps", "worse": "harms", "equivalent": "has no worthwhile effect", "undecided": "is undecided"
}  # fmt: skip


@dataclass(frozen=True)
class Decided:
    """A contrast after all blocks.

    Attributes:
        contrast: what is compared.
        result: over the blocks.
        p, p_equivalent: corrected over the contrasts.
        decision: by the registered rule.
    """

    contrast: Contrast
    result: Overlapping
    p: float
    p_equivalent: float
    decision: Decision


def refit_values(rows: Sequence[Row], metric: str) -> pd.DataFrame:
    """Return a row a refit that learned: block, draw, arm, number, value of the test metric ("ndcg@10" or "hit@10")."""
    column = {"ndcg@10": "test_ndcg", "hit@10": "test_hit"}[metric]
    learned = [row for row in rows if row.stage == "refit" and row.test_ndcg is not None]
    return pd.DataFrame(
        [(row.block, row.draw, row.arm, row.number, getattr(row, column)) for row in learned],
        columns=["block", "draw", "arm", "number", "value"],
    )


def draw_values(rows: Sequence[Row], design: Design, metric: str) -> pd.DataFrame:
    """Return the mean test value of the refits, by draw (block, draw) and arm, where every arm has one."""
    wide = refit_values(rows, metric).groupby(["block", "draw", "arm"])["value"].mean().unstack("arm")
    return wide.reindex(columns=list(design.arms)).dropna()


def block_values(rows: Sequence[Row], design: Design, metric: str) -> pd.DataFrame:
    """Return the mean over draws of the mean test value of the refits, by block and arm."""
    return draw_values(rows, design, metric).groupby("block").mean()


def decide(values: pd.DataFrame, design: Design) -> list[Decided]:
    """Apply the registered rule to the values of all blocks.

    Raises StatisticsError as `overlapping`, or if a block has no value.
    """
    if missing := sorted(set(range(design.blocks)) - set(values.index)):
        raise StatisticsError(f"blocks without a value: {', '.join(map(str, missing))}; nothing is tested")
    results = [
        overlapping(
            values[c.treatment].to_numpy(), values[c.baseline].to_numpy(), share=design.held_out_share,
            margin=design.smallest_effect, level=design.interval_level,
        )
        for c in design.contrasts
    ]  # fmt: skip
    direction, p, p_equivalent = (
        np.array([getattr(result, key) for result in results]) for key in ("direction", "p", "p_equivalent")
    )
    decisions = decisions_of(direction, p, p_equivalent, design)
    correct = CORRECTIONS[design.correction]
    return [
        Decided(contrast, result, float(own), float(same), decision)
        for contrast, result, own, same, decision in zip(
            design.contrasts, results, correct(p), correct(p_equivalent), decisions
        )
    ]


def decisions_of(direction: Array, p: Array, p_equivalent: Array, design: Design) -> list[Decision]:
    """Return the decision of each contrast (m,) from its sign and its p-values."""
    _, surviving = findings(direction, p, p_equivalent, design.alpha, design.correction)
    return [IN_WORDS[FINDINGS[int(found)]] for found in surviving]
