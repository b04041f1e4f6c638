"""Tables of effect sizes, users and design: the numbers of the comparisons that they stand for."""

import pytest
from made_up import registration, runs, with_companions

from ncf.report.evidence import designed
from ncf.report.kit.naming import numbers
from ncf.report.sections import effects
from ncf.report.study import NotRunError, Study


def test_effect_sizes_are_those_of_each_comparison_once(study: Study) -> None:
    rows = {row[0]: row[1:] for row in effects.effects(study).rows}
    assert len(rows) == 6 + 2 + 8
    result = study.comparisons()["focal", "bce", "test/hit@10", (4,)].result
    assert result
    assert rows["focal vs BCE, 1:4, HR@10"][:2] == ["11", numbers(result.effects["cohen_dz"])]
    assert "focal vs BCE, growth 1:4 to 1:50, HR@10" in rows


def test_users_stand_beside_the_seeds_of_the_same_comparison(study: Study) -> None:
    rows = {row[0]: row[1:] for row in effects.users(study).rows}
    assert len(rows) == 6 + 8
    seeds, change, both, better = rows["focal vs BCE, 1:4, NDCG@10"]
    assert (seeds, both, better) == ("30", "+3.0% [-2.0%, +7.0%]", "480 / 462 of 942")
    result = study.comparisons()["focal", "bce", "test/ndcg@10", (4,)].result
    assert result
    assert change.startswith(f"{result.effects['relative_change'].estimate:+.1%} [")


def test_users_of_a_comparison_that_nobody_registered_are_left_out(study: Study) -> None:
    table = study.companions["users"]
    other = with_companions(study, users=table.assign(baseline="alpha_bce_balanced"))
    assert [row[0] for row in effects.users(other).rows if row[0].startswith("focal vs BCE")] == []


def test_the_design_says_what_the_pilot_promises_and_where_there_is_none(study: Study) -> None:
    cells = effects.design(study)
    assert cells.header[-2:] == ["power at 5%", "seeds for 5%"]
    by_name = {(row[0], row[1]): row[2:] for row in cells.rows}
    first = study.verdicts[0].comparisons[0]
    assert by_name["H1", "focal vs BCE, 1:10, NDCG@10"][-5:] == ["no pilot", "", f"{first.detectable:.1%}", "", ""]
    plan, judged = next((plan, judged) for plan, judged in designed(study) if plan.prospect)
    assert plan.prospect
    assert plan.cautious
    assert judged.detectable
    assert by_name["H2", "focal vs BCE, 1:4, NDCG@10"][-5:] == [
        f"{plan.cautious.detectable:.1%}", f"{plan.prospect.detectable:.1%}", f"{judged.detectable:.1%}",
        f"{plan.cautious.power:.0%}", f"{plan.cautious.seeds_needed}",
    ]  # fmt: skip


def test_without_three_seeds_there_are_no_effects() -> None:
    plan = registration()
    table = runs(plan)
    with pytest.raises(NotRunError, match="three seeds in both arms"):
        effects.effects(Study(plan, table[table["seed"] < 44], {}, {}))
