"""The planner: what a registered design can and cannot show, before a run is made."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from ncf.stats.checks import StatisticsError
from ncf.stats.power import detectable_effect, seeds_needed, upper_spread
from ncf.study.plan import describe, plans, require_plan
from ncf.study.registration import Registration, load

STUDY = Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml"
PILOT = {"metric": "test/ndcg@10", "ratio": 10, "baseline_mean": 0.06, "sd_difference": 0.006, "pairs": 10}


def planned(folder: Path, seeds: int, pilot: list[dict[str, object]]) -> Registration:
    plan = OmegaConf.load(STUDY)
    plan.seeds, plan.pilot = dict.fromkeys((4, 10, 50), seeds), pilot
    path = folder / "preregistration.yaml"
    OmegaConf.save(plan, path)
    return load(path)


def test_the_committed_design_can_conclude():
    require_plan(load(STUDY))


def test_too_few_seeds_are_refused(tmp_path):
    with pytest.raises(StatisticsError, match=r"H1, focal vs bce, test/ndcg@10, 1:10: .*5 seeds cannot conclude"):
        require_plan(planned(tmp_path, 5, []))


def test_the_level_is_shared_by_the_family_of_comparisons(tmp_path):
    """Seven seeds reach 0.0156: below 0.05, above 0.05 over the four comparisons of H1."""
    with pytest.raises(StatisticsError, match=r"H1, .*7 seeds cannot conclude under 4 comparisons"):
        require_plan(planned(tmp_path, 7, []))


def test_a_pilot_gives_prospects_where_it_fits(tmp_path):
    registration = planned(tmp_path, 30, [PILOT])
    rows = plans(registration)
    assert len(rows) == 4 + 8 + 12
    with_pilot = [row for row in rows if row.prospect]
    assert {row.comparison.split(", ", 1)[1] for row in with_pilot} == {"test/ndcg@10, 1:10"}
    first = with_pilot[0]
    assert first.level == pytest.approx(0.0125)
    assert first.prospect.detectable == pytest.approx(detectable_effect(0.006, 30, 0.0125, 0.8) / 0.06)
    assert first.prospect.seeds_needed == seeds_needed(0.003, 0.006, 0.0125, 0.8)


def test_a_line_says_what_the_design_can_conclude_and_detect(tmp_path):
    lines = [describe(row) for row in plans(planned(tmp_path, 5, [PILOT]))]
    assert "5 seeds, smallest p 0.062 against 0.013: CANNOT conclude; detects inf%, power 0.00" in lines[0]
    assert "at the 80% upper limit of the pilot's spread (inf%, 0.00, 51 if its spread were known)" in lines[0]
    assert lines[2].endswith("CANNOT conclude; no pilot, so no power")


def test_a_design_is_planned_by_the_upper_limit_of_the_pilots_spread(tmp_path):
    registration = planned(tmp_path, 30, [PILOT])
    first = plans(registration)[0]
    limit = upper_spread(0.006, 10, 0.8)
    assert limit > 0.006
    assert first.cautious.detectable == pytest.approx(detectable_effect(limit, 30, 0.0125, 0.8) / 0.06)
    assert first.cautious.seeds_needed == seeds_needed(0.003, limit, 0.0125, 0.8) > first.prospect.seeds_needed
    assert first.cautious.power < first.prospect.power
    bolder = plans(registration, confidence=0.5)[0]
    assert bolder.cautious.detectable < first.cautious.detectable


def test_planning_by_the_limit_attains_the_power_as_often_as_promised():
    """Pilots of 6 pairs of a known spread: how often the seeds that they ask for have the power that was wanted."""
    true, rng = 0.006, np.random.default_rng(0)
    sd = true * np.sqrt(rng.chisquare(5, 300) / 5)
    enough = seeds_needed(0.003, true, 0.0125, 0.8, simulate=False)
    asked = [[seeds_needed(0.003, x, 0.0125, 0.8, simulate=False) for x in (s, upper_spread(s, 6, 0.8))] for s in sd]
    own, limit = (np.array(asked) >= enough).mean(0)
    assert abs(limit - 0.8) <= 3 * np.sqrt(0.8 * 0.2 / 300) + 0.03  # seeds are whole
    assert own < 0.55


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan"), "0.8"])
def test_a_limit_of_no_level_is_refused(confidence):
    with pytest.raises(StatisticsError, match="confidence: expected a number in"):
        plans(load(STUDY), confidence=confidence)
