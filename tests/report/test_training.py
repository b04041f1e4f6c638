"""Figures of the training, drawn where there is something to compare."""

import pytest

from ncf.report.figures.training import calibration, gradient_share, loss_share
from ncf.report.study import NotRunError, Study


@pytest.mark.parametrize("draw", [loss_share, gradient_share])
def test_shares_are_drawn_at_the_ratio_that_shows_most_of_the_compared_losses(study: Study, draw) -> None:
    attention = study.companions["attention"]

    def at(*ratios_of_focal: int) -> Study:
        """BCE and alpha-BCE have their dynamics at every ratio, focal loss at some."""
        kept = attention[(attention["loss"] != "focal") | attention["neg_ratio"].isin(ratios_of_focal)]
        return Study(study.registration, study.runs, study.protocol, study.companions | {"attention": kept})

    expected = {(): 10, (4,): 4, (50,): 50, (4, 50): 50, (4, 10, 50): 10}
    for ratios, ratio in expected.items():
        figure, caption = draw(at(*ratios))
        assert caption.startswith(f"At 1:{ratio};")
        assert len(figure.axes) == 2 * (3 if ratios else 2)
    with pytest.raises(NotRunError):
        draw(Study(study.registration, study.runs, study.protocol, study.companions | {"attention": attention[:0]}))


def test_calibration_says_why_a_loss_is_absent(study: Study) -> None:
    assert "absent" not in calibration(study)[1]
    selected = study.joined(study.companions["selected"])
    kept = selected[(selected["loss"] != "bce") | (selected["neg_ratio"] != 10)][study.companions["selected"].columns]
    companions = study.companions | {"selected": kept}
    assert "a loss is absent" in calibration(Study(study.registration, study.runs, study.protocol, companions))[1]
