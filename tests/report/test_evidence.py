"""What stands beside the verdicts: intervals over users too, and what the design could and did see."""

from made_up import registration, runs, with_companions

from ncf.report.evidence import detectable, over_users, population, users_method
from ncf.report.kit.prose import TEMPLATES, Prose, line
from ncf.report.study import Study


def said(study: Study, macro: str) -> str:
    return line(Prose(study).macro(TEMPLATES / "sentences.j2", macro, {}))


def test_what_the_design_can_detect_is_known_where_there_is_a_pilot(study: Study) -> None:
    assert list(detectable(study)) == [4]
    found = detectable(study)[4]
    own = [(plan, v) for (_, plan), v in zip(study.plans, (c for v in study.verdicts for c in v.comparisons))]
    planned = [plan.cautious.detectable for plan, _ in own if plan.cautious]
    hoped = [plan.prospect.detectable for plan, _ in own if plan.prospect]
    seen = [judged.detectable for plan, judged in own if plan.prospect and judged.detectable]
    assert found.seeds == 11
    assert (found.planned, found.hoped) == ((min(planned), max(planned)), (min(hoped), max(hoped)))
    assert found.observed == (min(seen), max(seen))
    assert found.planned[0] > found.hoped[0]  # a pilot of few pairs is not taken for the truth


def test_what_was_observed_is_not_said_before_all_runs_are_there() -> None:
    some = Study(registration(), runs(registration()).query("seed < 46"), {}, {})
    assert detectable(some)[4].observed is None


def test_other_users_stand_beside_every_finding(study: Study) -> None:
    judged = study.comparisons()["focal", "bce", "test/ndcg@10", (4,)]
    both = over_users(study, judged)
    assert both
    assert both.ends == (-0.02, 0.07)
    grown = next(iter(study.comparisons("grows").values()))
    assert over_users(study, grown) is None
    null, total = population(study)
    assert null == total == 14
    assert "For other users as well, 14 of the 14 intervals of 95% include no change." in said(study, "for_other_users")


def test_without_ranks_nothing_is_said_of_other_users(study: Study) -> None:
    without = with_companions(study, users=study.companions["users"][:0])
    assert population(without) == (0, 0)
    assert said(without, "for_other_users") == said(without, "users_made") == users_method(without) == ""


def test_the_page_says_how_the_intervals_over_users_were_made(study: Study) -> None:
    assert users_method(study) == "bootstrap"  # of a table that does not say
    assert "drew seeds and users anew (a bootstrap)" in said(study, "users_made")
    now = with_companions(study, users=study.companions["users"].assign(method="crossed t"))
    assert users_method(now) == "crossed t"
    assert "two crossed random effects" in said(now, "users_made")
