"""The registered comparisons as they are drawn, tabled and told."""

from dataclasses import replace

import numpy as np
from made_up import registration, runs

from ncf.report.kit.prose import Prose
from ncf.report.sections import comparisons
from ncf.report.study import Study


def texts(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def bars(figure) -> list[object]:
    return [line for line in figure.axes[0].lines if line.get_linewidth() == 1.6 and len(line.get_xdata()) == 2]


def test_the_forest_has_a_row_for_each_comparison_and_a_heading_for_each_hypothesis(study: Study) -> None:
    labels = [tick.get_text() for tick in comparisons.forest(study).figure.axes[0].get_yticklabels()]
    assert len(labels) == 3 + 4 + 8 + 8
    assert labels[0] == f"H1: {study.verdicts[0].conclusion.status}"
    assert labels[1] == "focal vs BCE, 1:10, NDCG@10"


def test_the_forest_shows_other_users_beside_other_seeds(study: Study) -> None:
    lines = comparisons.forest(study).figure.axes[0].lines
    thin = [line.get_xdata() for line in lines if line.get_linewidth() == 0.7]
    assert len(thin) == 4 + 6 + 8  # growth is not known over users
    assert {tuple(ends) for ends in thin} == {(-0.02, 0.07)}


def test_what_lacks_runs_has_no_corrected_p() -> None:
    plan = registration()
    table = runs(plan)
    ratio = table["neg_ratio"]
    some = Study(plan, table[(ratio == 4) | (ratio == 10) & (table["seed"] < 50)], {}, {})  # 1:10 lacks seeds, 1:50 all
    rows = {(row[0], row[1]): row[2:] for row in comparisons.comparisons(some).rows}
    assert rows["H2", "focal vs BCE, 1:50, NDCG@10"] == [""] * 7 + ["incomplete"]
    partial = rows["H2", "focal vs BCE, 1:10, NDCG@10"]
    assert (partial[0], partial[5:]) == ("8", ["", "", "incomplete"])
    whole = rows["H2", "focal vs BCE, 1:4, NDCG@10"]
    assert all(whole)
    assert texts(comparisons.forest(some).figure).count("not enough runs yet") == 6


def test_a_pair_is_won_where_the_treatment_is_above_the_baseline(study: Study) -> None:
    arms = study.registration.arms
    focal, bce = (study.values(arms[name], 10, study.primary) for name in ("focal", "bce"))
    drawing = comparisons.paired(study)
    assert drawing.figure.axes[1].get_title() == f"1:10: focal > BCE in {(focal > bce).sum()} of 10"
    assert drawing.facts == {"treatment": "focal (γ 2, α 0.25)", "baseline": "BCE", "seeds": {4: 11, 10: 10, 50: 6}}


def test_gain_has_a_line_for_each_contrast_and_metric(study: Study) -> None:
    axes = comparisons.gain(study).figure.axes
    assert [ax.get_title() for ax in axes] == ["test NDCG@10", "test HR@10"]
    assert axes[0].get_legend_handles_labels()[1] == [
        "focal vs BCE", "focal vs α-BCE", "focal vs α-BCE, balanced α",
    ]  # fmt: skip


def test_what_went_against_its_claim_is_told_once(study: Study) -> None:
    find, words = comparisons.SECTION.remarks["against"], Prose(study)
    other = Study(study.registration, study.runs, study.protocol, study.companions)
    turned = [
        replace(
            v,
            comparisons=tuple(
                replace(c, finding="worse" if c.compared.ratios == (10,) else "better") for c in v.comparisons
            ),
        )
        for v in study.verdicts
    ]
    object.__setattr__(other, "verdicts", turned)
    facts = find(other)
    assert facts is not None
    said = " ".join(words.macro(comparisons.SECTION.prose, "against", facts).split())
    assert said.startswith("Against its claim, the treatment is worse in 6: focal vs BCE, 1:10, NDCG@10: 0.")
    assert said.count("10 seeds, corrected p ") == 6
    object.__setattr__(other, "verdicts", [replace(v, comparisons=()) for v in study.verdicts])
    assert find(other) is None


def test_an_interval_that_is_withheld_is_not_drawn() -> None:
    plan = registration()
    few = Study(plan, runs(plan).query("seed < 47"), {}, {})  # five pairs
    figure, whole = (comparisons.forest(study).figure for study in (few, Study(plan, runs(plan), {}, {})))
    drawn = [v for verdict in few.verdicts for v in verdict.comparisons if v.result]
    assert {v.result.effects["relative_change"].short for v in drawn if v.result} == {"5 pairs"}
    assert sum("[not shown: 5 pairs]" in text for text in texts(figure)) == len(drawn)
    assert (len(bars(figure)), len(bars(whole))) == (0, 20)
    segments = [s for c in comparisons.gain(few).figure.axes[0].collections for s in c.get_segments()]
    assert all(not len(segment) or np.isnan(segment[:, 1]).any() for segment in segments)
