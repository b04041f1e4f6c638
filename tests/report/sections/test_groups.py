"""The effect within thirds of users and items."""

import pytest
from made_up import with_companions

from ncf.report.sections.groups import group_effects, groups
from ncf.report.study import NotRunError, Study


def test_the_effect_within_a_third_is_the_mean_paired_difference(study: Study) -> None:
    table = group_effects(study, "focal", "bce")
    assert len(table) == 3 * 2 * 3
    row = table[(table["neg_ratio"] == 10) & (table["grouping"] == "item") & (table["third"] == 2)].iloc[0]
    groups = study.joined(study.companions["groups"])
    own = groups[(groups["neg_ratio"] == 10) & (groups["grouping"] == "item") & (groups["third"] == 2)]
    focal = own[(own["loss"] == "focal") & (own["gamma"] == 2) & (own["alpha"] == 0.25)].set_index("seed")["ndcg@10"]
    bce = own[own["loss"] == "bce"].set_index("seed")["ndcg@10"]
    assert row["seeds"] == len(bce)
    assert row["estimate"] == pytest.approx((focal - bce).mean())
    assert row["low"] < row["estimate"] < row["high"]


def test_only_the_groupings_that_are_known_are_drawn(study: Study) -> None:
    table = study.companions["groups"]
    users = with_companions(study, groups=table[table["grouping"] == "user"])
    assert [ax.get_title() for ax in groups(users).figure.axes] == ["by activity of the user"]
    few = study.runs.loc[study.runs["seed"] < 44, "run"]
    with pytest.raises(NotRunError, match="no ratio has three seeds of both losses"):
        groups(with_companions(study, groups=table[table["run"].isin(few)]))
