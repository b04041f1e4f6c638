"""The rule on rows: recomputed by hand, and what it says of clear cases."""

import numpy as np
import pytest
from made_rows import made_rows
from scipy import stats

from experiments.tuned_losses import analysis
from experiments.tuned_losses.design import load
from ncf.stats.checks import StatisticsError

DESIGN = load().model_copy(update={"draws": 2})


def test_values_and_tests_are_recomputed_from_rows_alone() -> None:
    rows = made_rows(DESIGN, effect=0.03)
    values = analysis.block_values(rows, DESIGN, "ndcg@10")
    tests = {}
    for block in range(DESIGN.blocks):
        for arm in DESIGN.arms:
            draws = [
                np.mean([r.test_ndcg for r in rows if (r.block, r.draw, r.arm, r.stage) == (block, draw, arm, "refit")])
                for draw in range(DESIGN.draws)
            ]
            tests[block, arm] = np.mean(draws)
            assert values.loc[block, arm] == pytest.approx(tests[block, arm])
    ps = []
    for contrast, decided in zip(DESIGN.contrasts, analysis.decide(values, DESIGN)):
        d = np.array([tests[b, contrast.treatment] - tests[b, contrast.baseline] for b in range(DESIGN.blocks)])
        error = np.sqrt((1 / DESIGN.blocks + DESIGN.held_out_share) * d.var(ddof=1))
        assert decided.result.error == pytest.approx(error)
        ps.append(2 * stats.t.sf(abs(d.mean() / error), DESIGN.blocks - 1))
        assert decided.result.p == pytest.approx(ps[-1])
    found = [decided.p for decided in analysis.decide(values, DESIGN)]
    assert sorted(found) == pytest.approx(sorted(np.maximum.accumulate(np.sort(ps) * [2, 1]).clip(max=1)))


@pytest.mark.parametrize(
    ("effect", "spread", "decision"),
    [(0.3, 0.02, "helps"), (-0.3, 0.02, "harms"), (0.0, 0.01, "has no worthwhile effect"), (0.0, 0.6, "is undecided")],
)
def test_clear_cases(effect: float, spread: float, decision: str) -> None:
    values = analysis.block_values(made_rows(DESIGN, effect, spread), DESIGN, "ndcg@10")
    assert [d.decision for d in analysis.decide(values, DESIGN)] == [decision] * 2


def test_a_refit_without_a_test_value_does_not_count() -> None:
    rows = made_rows(DESIGN, blocks=1)
    lost = [r for r in rows if r.stage == "refit" and r.number == 0]
    more = [*rows, *(type(r)(**{**vars(r), "test_ndcg": None, "test_hit": None, "number": 9}) for r in lost)]
    assert analysis.block_values(more, DESIGN, "ndcg@10").equals(analysis.block_values(rows, DESIGN, "ndcg@10"))


def test_a_block_without_a_value_stops_the_tests() -> None:
    rows = made_rows(DESIGN)
    lost = [r for r in rows if (r.block, r.arm, r.stage) != (3, "focal", "refit")]
    with pytest.raises(StatisticsError, match="blocks without a value: 3"):
        analysis.decide(analysis.block_values(lost, DESIGN, "ndcg@10"), DESIGN)
