"""What the page says of its own decision rule."""

from dataclasses import replace

import pytest

from experiments.focal_loss import rule
from ncf.report.kit.prose import Prose, line
from ncf.report.study import NotRunError, Study
from ncf.study.outcomes import chances, from_runs


def words(study: Study) -> str:
    return line(Prose(study).macro(rule.SECTION.prose, "readme", rule.said(study)))


def test_the_registered_rule_moves_no_finding_and_calls_all_refuted(quick: Study) -> None:
    said = rule.said(quick)
    assert said["refuted"] == ["H1", "H2", "H3"]
    assert (said["undecided"], said["total"], said["moved"]) == (16, 24, 0)
    assert "they move no finding of a comparison" in words(quick)


def test_the_effect_comes_before_the_region_and_the_mean_gives_its_direction(quick: Study) -> None:
    worse = next(one for one in quick.comparisons().values() if one.finding == "worse")
    assert rule.registered(quick, replace(worse, p_equivalent=0.01)) == "worse"
    assert rule.registered(quick, replace(worse, p=0.06, p_equivalent=0.01)) == "equivalent"
    assert rule.registered(quick, replace(worse, p=0.06)) == "undecided"
    assert worse.result
    means = {"treatment_mean": worse.result.baseline_mean, "baseline_mean": worse.result.treatment_mean}
    assert rule.registered(quick, replace(worse, result=replace(worse.result, **means))) == "better"
    assert rule.registered(quick, replace(worse, missing=(42,), finding="incomplete")) == "incomplete"


@pytest.mark.slow
def test_the_chances_are_those_that_the_planner_simulates(quick: Study) -> None:
    found = chances(quick.registration, from_runs(quick.registration, quick.runs))
    cells = rule.outcomes(quick)
    assert [row[0] for row in cells.rows] == [c.hypothesis for c in found]
    assert cells.rows[0][2:] == [f"{found[0].statuses[kind]:.0%}" for kind in rule.STATUSES]
    anyway = dict(rule.said(quick)["anyway"])
    for c in found:
        if c.effect == 0:
            assert anyway[c.hypothesis] == c.statuses["fails"] + c.statuses["refuted"]
            assert f"{c.hypothesis} in {anyway[c.hypothesis]:.0%}" in words(quick)


def test_before_there_are_runs_nothing_is_refuted_and_nothing_simulated(quick: Study) -> None:
    before = Study(quick.registration, quick.runs[:2], quick.protocol, {})
    with pytest.raises(NotRunError, match="three registered seeds"):
        rule.outcomes(before)
    assert "none is" in words(before)
