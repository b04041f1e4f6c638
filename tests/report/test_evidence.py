"""What stands beside the verdicts: intervals over users too, and what the design could and did see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import registration, runs, with_companions
from scipy import stats

from ncf.report.evidence import _two_level, detectable, over_users, population, users_method
from ncf.report.kit.prose import TEMPLATES, Prose, line
from ncf.report.study import Study
from ncf.stats.intervals import two_level


def said(study: Study, macro: str) -> str:
    return line(Prose(study).macro(TEMPLATES / "sentences.j2", macro, {}))


def said_of(study: Study) -> str:
    """The sentence on the first comparison that has users."""
    judged = study.comparisons()["focal", "bce", "test/ndcg@10", (4,)]
    words = '{% import "sentences.j2" as say %}{% macro one() %}{{ say.finding(judged) }}{% endmacro %}'
    return line(str(Prose(study)._environment.from_string(words).make_module({"judged": judged}).one()))


def bootstrap_of_seeds_and_users(t: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The interval that reports used to make: rows and columns drawn independently (Owen 2007)."""
    drawn = [rng.multinomial(n, np.full(n, 1 / n), 4000) / n for n in t.shape]
    t_mean, b_mean = (((drawn[0] @ table) * drawn[1]).sum(1) for table in (t, b))
    return np.quantile(t_mean / b_mean - 1, [0.025, 0.975]).tolist()


@pytest.mark.parametrize("kind", ["seeds", "users", "what a seed does to single users"])
@pytest.mark.parametrize("seeds", [10, 36])
def test_the_limits_from_a_bootstrap_hold_the_exact_interval(kind: str, seeds: int) -> None:
    """Whatever the variance is due to; and where it is all seeds or all users, they say which."""
    rng = np.random.default_rng(seeds)
    size = {"seeds": (seeds, 1), "users": (1, 900)}.get(kind, (seeds, 900))
    b = 1 + 0.02 * rng.normal(size=(seeds, 900))
    t = b + rng.normal(size=size) * (0.1 if kind == "seeds" else 1)
    exact = two_level(t, b, level=0.95)[1]
    low, high = bootstrap_of_seeds_and_users(t, b, rng)
    plan = registration().model_copy(update={"seeds": {4: seeds}})
    rows = [
        {"run": f"{loss}-{n}", "model": "neumf", "loss": loss, "neg_ratio": 4, "seed": 42 + n, "test/ndcg@10": value,
         "gamma": 2.0 if loss == "focal" else np.nan, "alpha": 0.25 if loss == "focal" else np.nan}
        for loss, table in (("focal", t), ("bce", b)) for n, value in enumerate(table.mean(1))
    ]  # fmt: skip
    row = {"treatment": "focal", "baseline": "bce", "metric": "test/ndcg@10", "neg_ratio": 4, "seeds": seeds,
           "users": 900, "change": exact.estimate, "change_low": low, "change_high": high}  # fmt: skip
    study = Study(plan, pd.DataFrame(rows), {}, {"users": pd.DataFrame([row])})
    narrowest, widest = _two_level(study)["focal", "bce", "test/ndcg@10", (4,)]
    width = {name: one.high - one.low for name, one in zip("nwe", (narrowest, widest, exact))}
    error = 1 + 4 / np.sqrt(4000)  # of the ends of a bootstrap of 4,000, twice over
    assert width["n"] <= width["e"] * 1.0001
    assert width["e"] <= width["w"] * error
    if kind == "users":
        assert width["w"] == pytest.approx(width["e"], rel=error - 1)
    if kind == "seeds":
        assert width["n"] == pytest.approx(width["e"], rel=1e-6)
    if kind.startswith("what"):  # a third of the bootstrap's variance is real; it is known by its seeds
        ratio = (high - low) / width["e"] * stats.t.ppf(0.975, seeds - 1) / stats.norm.ppf(0.975)
        assert ratio == pytest.approx(np.sqrt(3), rel=np.sqrt(2 / (seeds - 1)))


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


def of_a_bootstrap(study: Study) -> Study:
    """The study as earlier versions wrote its users, without the method."""
    return with_companions(study, users=study.companions["users"].drop(columns="method"))


def test_other_users_stand_beside_every_finding(study: Study) -> None:
    judged = study.comparisons()["focal", "bce", "test/ndcg@10", (4,)]
    both = over_users(study, judged)
    assert both
    assert both.ends == (-0.02, 0.07)
    grown = next(iter(study.comparisons("grows").values()))
    assert over_users(study, grown) is None
    assert population(study) == (14, 14, 14)  # made of other runs: nothing more is known of them
    assert "For other users as well, 14 of the 14 intervals of 95% include no change." in said(study, "for_other_users")
    before = of_a_bootstrap(study)
    assert over_users(before, judged) == replace(both, method="bootstrap")
    assert "no change; the ranks that would tell how many were not kept." in said(before, "for_other_users")


def test_without_ranks_nothing_is_said_of_other_users(study: Study) -> None:
    without = with_companions(study, users=study.companions["users"][:0])
    assert population(without) == (0, 0, 0)
    assert said(without, "for_other_users") == said(without, "users_made") == users_method(without) == ""


def test_the_page_says_how_the_intervals_over_users_were_made(study: Study) -> None:
    before = of_a_bootstrap(study)
    assert users_method(before) == "bootstrap"  # of a table that does not say
    assert "drew seeds and users anew (a bootstrap)" in said(before, "users_made")
    assert "within [-2.0%, +7.0%] for other users and seeds" in said_of(before)
    assert "within [" not in said_of(study)
    assert users_method(study) == "crossed t"
    assert "two crossed random effects" in said(study, "users_made")
