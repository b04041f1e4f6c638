"""Figures of the training, drawn where there is something to compare."""

import pytest
from made_up import with_companions

from ncf.report.kit.naming import loss_name
from ncf.report.sections.training import attention, calibration, curves, gradient_share, loss_share
from ncf.report.study import NotRunError, Study


@pytest.mark.slow
@pytest.mark.parametrize("draw", [loss_share, gradient_share])
def test_shares_are_drawn_at_the_ratio_that_shows_most_of_the_compared_losses(study: Study, draw) -> None:
    table = study.companions["attention"]

    def at(*ratios_of_focal: int) -> Study:
        """BCE and alpha-BCE have their dynamics at every ratio, focal loss at some."""
        kept = table[(table["loss"] != "focal") | table["neg_ratio"].isin(ratios_of_focal)]
        return with_companions(study, attention=kept)

    expected = {(): 10, (4,): 4, (50,): 50, (4, 50): 50, (4, 10, 50): 10}
    for ratios, ratio in expected.items():
        drawing = draw(at(*ratios))
        assert drawing.facts["ratio"] == ratio
        assert len(drawing.figure.axes) == 2 * (3 if ratios else 2)
    with pytest.raises(NotRunError):
        draw(with_companions(study, attention=table[:0]))


def test_calibration_says_why_a_loss_is_absent(study: Study) -> None:
    assert not calibration(study).facts["absent"]
    selected = study.joined(study.companions["selected"])
    kept = selected[(selected["loss"] != "bce") | (selected["neg_ratio"] != 10)][study.companions["selected"].columns]
    drawing = calibration(with_companions(study, selected=kept))
    assert drawing.facts == {"runs": {4: 55, 10: 40, 50: 30}, "absent": True}


def test_curves_end_where_half_of_the_runs_have_stopped(study: Study) -> None:
    lines = curves(study).figure.axes[0].get_lines()
    longest = study.joined(study.companions["curves"]).query("loss == 'bce' and neg_ratio == 4").groupby("run").size()
    assert lines[0].get_xdata()[-1] == sorted(longest)[len(longest) // 2]


def test_attention_is_the_mean_over_the_registered_seeds(study: Study) -> None:
    rows = attention(study).rows
    assert len(rows) == 3 * 5
    own = study.joined(study.companions["selected"]).query("loss == 'bce' and neg_ratio == 10")
    (row,) = (row for row in rows if row[:2] == ["1:10", loss_name({"loss": "bce"})])
    assert row[2:] == ["10", "0.500", "0.900", "89%", "67%", "0.050%", "0.300", "0.200", f"{own['ece'].mean():.3f}"]
