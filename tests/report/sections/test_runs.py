"""All runs: means and spreads that the results give, and the noise between seeds."""

import itertools

import numpy as np
import pytest
from made_up import presented

from ncf.report.kit.naming import mean_sd
from ncf.report.sections import runs
from ncf.report.study import NotRunError, Study


def test_results_have_every_arm_at_every_ratio(study: Study) -> None:
    rows = runs.results(study).rows
    assert len(rows) == 3 * 5
    table = study.runs[(study.runs["loss"] == "bce") & (study.runs["neg_ratio"] == 10)]
    cells = [mean_sd(table[metric]) for metric in study.registration.metrics]
    assert ["1:10", "BCE", "10", *cells, "8"] in rows


def test_results_list_the_grids_that_the_report_names_after_the_arms(study: Study) -> None:
    rows = [row[:3] for row in runs.results(presented(study, grids=["gentle"])).rows]
    assert rows[5:7] == [["1:4", "focal (γ 0.5, α 0.25)", "3"], ["1:4", "focal (γ 1, α 0.25)", "3"]]
    assert len(rows) == 3 * 5 + 2  # the grid has runs at 1:4 alone


def test_every_run_of_an_arm_is_a_point(study: Study) -> None:
    ax = runs.distribution(study).figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["11"] * 5 + ["10"] * 5 + ["6"] * 5


def test_noise_is_the_spread_of_the_baseline_over_its_seeds(study: Study) -> None:
    facts = runs.SECTION.remarks["noise"](study)
    assert facts is not None
    assert facts["arm"] == "BCE"
    values = study.values(study.registration.arms["bce"], 4, study.primary)
    apart = [abs(a - b) > 0.05 * values.mean() for a, b in itertools.combinations(values, 2)]
    assert facts["spread"][4] == pytest.approx((values.std() / values.mean(), np.mean(apart)))
    one = Study(study.registration, study.runs[study.runs["seed"] == 42], {}, {})
    assert runs.SECTION.remarks["noise"](one) is None


def test_without_a_registered_run_there_is_nothing_to_show(study: Study) -> None:
    other = Study(study.registration, study.runs.assign(loss="hinge"), {}, {})
    for make in (runs.distribution, runs.results):
        with pytest.raises(NotRunError, match="no registered run"):
            make(other)
