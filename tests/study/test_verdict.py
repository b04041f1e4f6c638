"""From a results table to a verdict by the registered rule: paired by seed, corrected within the hypothesis."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from ncf.stats.checks import StatisticsError
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon
from ncf.stats.power import detectable_from
from ncf.study.registration import Registration, load
from ncf.study.verdict import Verdict, verdict

STUDY = Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml"
NDCG, HIT = "test/ndcg@10", "test/hit@10"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Registration:
    """The study with few resamples, twelve seeds at every ratio."""
    plan = OmegaConf.load(STUDY)
    plan.resamples, plan.seeds = 999, {4: 12, 10: 12, 50: 12}
    path = tmp_path_factory.mktemp("study") / "preregistration.yaml"
    OmegaConf.save(plan, path)
    return load(path)


@pytest.fixture(scope="module")
def h1_only(study: Registration) -> Registration:
    """The same with its first hypothesis alone, for what is not about the others: most time goes into intervals."""
    return study.model_copy(update={"hypotheses": {"H1": study.hypotheses["H1"]}})


def results(study: Registration, gain: dict[str, float], growth: float = 0.0, noise: float = 0.002) -> pd.DataFrame:
    """Made-up runs: gain of each loss over 0.06, growing by `growth` a factor e of ratio for focal."""
    runs = pd.DataFrame([run for grid in ("main", "constant_weight") for run in study.runs(grid)])
    rng = np.random.default_rng(0)
    level = runs["loss"].map(gain) + (runs["loss"] == "focal") * growth * np.log(runs["neg_ratio"])
    for metric in (NDCG, HIT):
        runs[metric] = 0.06 + level + noise * rng.normal(size=len(runs))
    return runs.sample(frac=1, random_state=0)


def statuses(verdicts: list[Verdict]) -> list[str]:
    return [v.conclusion.status for v in verdicts]


CLEAR = {"bce": 0.0, "alpha_bce": 0.005, "focal": 0.02}


def test_claims_of_clear_gains_hold(study):
    verdicts = verdict(study, results(study, CLEAR, growth=0.01))
    assert [v.hypothesis for v in verdicts] == ["H1", "H2", "H3"]
    assert statuses(verdicts) == ["holds"] * 3
    assert verdicts[0].conclusion.sentence == "holds: all 4 comparisons are better"


def test_a_gain_that_does_not_grow_leaves_robustness_without_support(study):
    verdicts = verdict(study, results(study, CLEAR))
    assert statuses(verdicts)[0] == "holds"
    assert statuses(verdicts)[1] != "holds"


def test_losses_and_equivalence_refute(study):
    worse = verdict(study, results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": -0.02}))
    assert statuses(worse) == ["refuted", "fails", "refuted"]  # growth is undecided
    assert {c.finding for c in worse[0].comparisons} == {"worse"}
    same = verdict(study, results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, noise=0.0005))
    assert statuses(same) == ["refuted"] * 3
    assert {c.finding for c in same[0].comparisons} == {"equivalent"}


def test_noise_is_undecided(study):
    noisy = verdict(study, results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.001}, noise=0.02))
    assert statuses(noisy) == ["undecided"] * 3


def test_numbers_can_be_recomputed_from_the_table(study, h1_only):
    table = results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.002}, noise=0.003)
    h1 = verdict(h1_only, table)[0]
    expected = []
    for ratio in (10, 50):
        for metric in (NDCG, HIT):
            rows = table[table["neg_ratio"] == ratio].sort_values("seed")
            focal = rows[(rows["loss"] == "focal") & (rows["alpha"] == 0.25)][metric].to_numpy()
            bce = rows[rows["loss"] == "bce"][metric].to_numpy()
            expected.append(wilcoxon(focal, bce).p)
    assert [c.result.wilcoxon.p for c in h1.comparisons] == expected
    assert [c.p for c in h1.comparisons] == holm(np.array(expected)).tolist()


def test_the_order_of_rows_and_other_runs_change_nothing(study, h1_only):
    table = results(study, CLEAR)
    others = table[table["loss"] == "focal"].assign(gamma=3.0)
    late = table.assign(seed=table["seed"] + 100)
    again = pd.concat([others, table.iloc[::-1], late])
    assert verdict(h1_only, again) == verdict(h1_only, table)


def test_runs_are_paired_by_seed(study, h1_only):
    """A strong seed effect that pairing removes."""
    table = results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.004}, noise=0.0002)
    shift = table["seed"].map(dict(zip(study.seeds_at(4), np.random.default_rng(1).normal(0, 0.02, 12))))
    shifted = table.assign(**{NDCG: table[NDCG] + shift, HIT: table[HIT] + shift})
    assert statuses(verdict(h1_only, shifted))[0] == "holds"


def test_missing_runs_are_named_and_decide_nothing(study):
    table = results(study, CLEAR, growth=0.01)
    lost = (
        (table["loss"] == "focal")
        & (table["alpha"] == 0.25)
        & (table["neg_ratio"] == 50)
        & table["seed"].isin([43, 45])
    )
    h1, h2, h3 = verdict(study, table[~lost])
    assert statuses([h1, h2, h3]) == ["undecided"] * 3
    incomplete = [c for c in h1.comparisons if c.finding == "incomplete"]
    assert {c.compared.ratios for c in incomplete} == {(50,)}
    assert all(c.missing == (43, 45) and c.p == 1 and c.result.seeds == 10 for c in incomplete)
    assert h1.conclusion.sentence == "undecided: 2 of 4 comparisons are better, 2 incomplete"


def test_an_incomplete_comparison_stays_in_the_family(study, h1_only):
    table = results(study, CLEAR)
    whole, part = verdict(h1_only, table)[0], verdict(h1_only, table[table["neg_ratio"] != 50])[0]
    raw = [c.result.wilcoxon.p for c in part.comparisons if c.result]
    assert [c.result is None for c in part.comparisons] == [False, False, True, True]
    assert [c.p for c in part.comparisons[:2]] == holm(np.array([*raw, 1, 1])).tolist()[:2]
    assert len(whole.comparisons) == len(part.comparisons)


def test_an_empty_table_is_undecided(study):
    table = results(study, CLEAR).head(0)
    assert statuses(verdict(study, table)) == ["undecided"] * 3


def test_growth_is_that_of_the_fitted_gain(study):
    table = results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, growth=0.004, noise=1e-5)
    grown = [c for c in verdict(study, table)[1].comparisons if c.compared.claim.says == "grows"]
    for comparison in grown:
        assert comparison.result.effects["mean_difference"].estimate == pytest.approx(0.004 * np.log(12.5), rel=0.01)
        assert comparison.finding == "better"


def test_two_runs_of_one_seed_are_refused(study):
    table = results(study, CLEAR)
    with pytest.raises(StatisticsError, match=r"expected one run of .* with seed .* got several"):
        verdict(study, pd.concat([table, table[table["loss"] == "bce"].head(1)]))


def test_a_nan_metric_is_refused(study, h1_only):
    table = results(study, CLEAR)
    row = table.index[(table["loss"] == "bce") & (table["neg_ratio"] == 10) & (table["seed"] == 44)]
    table.loc[row, NDCG] = np.nan
    with pytest.raises(StatisticsError, match=r"finite test/ndcg@10 of .* at 1:10 with seed 44, got nan"):
        verdict(h1_only, table)


def test_a_missing_column_is_named(study, h1_only):
    with pytest.raises(StatisticsError, match=r"missing columns \['gamma'\]"):
        verdict(h1_only, results(study, CLEAR).drop(columns="gamma").assign(**{"0": 1}).rename(columns={"0": 0}))


def test_a_column_that_is_there_twice_or_complex_is_refused(study, h1_only):
    table = results(study, CLEAR)
    for column in ("seed", "neg_ratio", NDCG, "loss"):
        with pytest.raises(StatisticsError, match=f"each column once, got several {column}"):
            verdict(h1_only, pd.concat([table, table[[column]]], axis=1))
    with pytest.raises(StatisticsError, match="complex"):
        verdict(h1_only, table.assign(**{NDCG: table[NDCG] + 1j}))


def test_identical_arms_are_equivalent(study, h1_only):
    table = results(study, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, noise=0.0)
    same = next(c for c in verdict(h1_only, table)[0].comparisons if c.compared.name == f"focal vs bce, {NDCG}, 1:10")
    assert (same.p, same.p_equivalent, same.finding, same.obstacle) == (1.0, 0.0, "equivalent", None)
    assert same.result is not None
    assert same.result.effects["relative_change"].ends is None
    assert (verdict(h1_only, table)[0].conclusion.status, same.detectable) == ("refuted", None)


def test_a_verdict_is_plain_data(study, h1_only):
    assert dataclasses.asdict(verdict(h1_only, results(study, CLEAR))[0])["conclusion"]["status"] == "holds"


def test_an_incomplete_comparison_that_cannot_be_computed_yet_does_not_stand_in_the_way(study, h1_only):
    table = results(study, CLEAR, growth=0.01)
    begun = (table["neg_ratio"] == 50) & table["seed"].isin([42, 43, 44])
    table.loc[begun, NDCG] = 0.06 + 0.02 * (table.loc[begun, "loss"] == "focal")  # differences without spread
    findings = {c.compared.name: c for c in verdict(h1_only, table[(table["neg_ratio"] != 50) | begun])[0].comparisons}
    assert findings[f"focal vs bce, {NDCG}, 1:50"].result is None
    assert findings[f"focal vs bce, {NDCG}, 1:50"].finding == "incomplete"
    assert findings[f"focal vs bce, {NDCG}, 1:10"].finding == "better"
    table.loc[table["neg_ratio"] == 50, NDCG] = 0.06 + 0.02 * (table["loss"] == "focal")
    complete = {c.compared.name: c for c in verdict(h1_only, table)[0].comparisons}
    assert "no spread" in (complete[f"focal vs bce, {NDCG}, 1:50"].obstacle or "")  # a complete one says why
    assert complete[f"focal vs bce, {NDCG}, 1:50"].finding == "undecided"
    assert complete[f"focal vs bce, {NDCG}, 1:10"].finding == "better"


@pytest.mark.parametrize(("seeds", "why"), [(3, "the interval is not finite: 3 pairs are too few"), (2, "2 pairs, ")])
def test_a_complete_comparison_of_too_few_pairs_is_undecided_and_says_why(h1_only, seeds, why):
    few = h1_only.model_copy(update={"seeds": dict.fromkeys(h1_only.seeds, seeds)})
    table = results(h1_only, CLEAR).query(f"seed < {42 + seeds}")
    gain = (table["loss"] == "focal") * table["seed"].map({42: -1, 43: 1, 44: 2}) / 32  # resamples lack spread
    judged = verdict(few, table.assign(**{NDCG: 0.5 + gain, HIT: 0.5 + gain}))[0]
    assert judged.conclusion.status == "undecided"
    assert {c.finding for c in judged.comparisons} == {"undecided"}
    assert any(why in (c.obstacle or "") for c in judged.comparisons)


def test_the_direction_is_that_of_the_test(h1_only):
    """One seed in twelve gains much, all others lose: the mean says better, the test says worse."""
    table = results(h1_only, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, noise=0.0)
    loss = -0.004 - 0.0001 * (table["seed"] - 42)
    gain = (table["loss"] == "focal") * np.where(table["seed"] == 42, 0.08, loss)
    judged = verdict(h1_only, table.assign(**{NDCG: table[NDCG] + gain, HIT: table[HIT] + gain}))[0]
    for one in judged.comparisons:
        assert one.result.treatment_mean > one.result.baseline_mean
        assert one.result.effects["rank_biserial"].estimate < 0
        assert (one.alone, one.p <= 0.05 * 4) == ("worse", True)
    assert judged.conclusion.sentence == "refuted: all 4 comparisons are worse or equivalent (4 worse)"


def test_a_gain_that_is_shown_to_be_too_small_to_matter_is_equivalent(h1_only):
    table = results(h1_only, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.001}, noise=0.0004)  # 1.7%, the margin is 5%
    judged = verdict(h1_only, table)[0]
    assert all(one.p <= 0.05 and one.result.wilcoxon.direction == 1 for one in judged.comparisons)
    assert {one.finding for one in judged.comparisons} == {"equivalent"}


def test_a_conclusion_says_which_part_failed_and_which_is_undecided(h1_only):
    table = results(h1_only, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, noise=0.012)
    worse = (table["loss"] == "focal") & (table["neg_ratio"] == 50)
    table.loc[worse, NDCG] -= 0.06
    conclusion = verdict(h1_only, table)[0].conclusion
    assert conclusion.sentence == "fails: 1 of 4 comparisons is worse, 3 undecided"
    assert conclusion.failed == (f"focal vs bce, {NDCG}, 1:50",)
    assert len(conclusion.undecided) == 3


def test_a_claim_of_all_needs_no_correction_to_hold(h1_only):
    """Four parts at p = 0.02 to 0.04 each: none survives Holm alone, together they hold."""
    table = results(h1_only, {"bce": 0.0, "alpha_bce": 0.0, "focal": 0.0}, noise=0.0)
    steps = np.array([1, 2, 3, -4, 5, 6, -7, 8, 9, 10, 11, 12])
    for metric in (NDCG, HIT):
        table[metric] += (table["loss"] == "focal") * table["seed"].map(
            {42 + n: 0.0015 * s for n, s in enumerate(steps)}
        )
    judged = verdict(h1_only, table)[0]
    assert all(0.0125 < one.result.wilcoxon.p <= 0.05 for one in judged.comparisons)
    assert {(one.finding, one.alone) for one in judged.comparisons} == {("undecided", "better")}
    assert judged.conclusion.status == "holds"
    assert judged.conclusion.sentence == (
        "holds: all 4 comparisons are better; as single findings, after correction, 4 undecided"
    )


def test_intervals_say_whether_they_are_corrected(h1_only):
    table = results(h1_only, CLEAR)
    plain, corrected = verdict(h1_only, table)[0], verdict(h1_only, table, intervals="corrected")[0]
    assert plain.intervals == "95% each, not corrected for 4 comparisons"
    assert corrected.intervals == "95% together, corrected for 4 comparisons"
    for one, other in zip(plain.comparisons, corrected.comparisons):
        a, b = (judged.result.effects["relative_change"] for judged in (one, other))
        assert (a.level, b.level) == (0.95, pytest.approx(0.9875))
        assert b.high - b.low > a.high - a.low
    assert [c.p for c in plain.comparisons] == [c.p for c in corrected.comparisons]


def test_what_the_runs_could_have_shown_stands_beside_what_they_did(h1_only):
    table = results(h1_only, CLEAR)
    one = verdict(h1_only, table)[0].comparisons[0]
    rows = table[table["neg_ratio"] == 10].sort_values("seed")
    focal = rows[(rows["loss"] == "focal") & (rows["alpha"] == 0.25)][NDCG].to_numpy()
    bce = rows[rows["loss"] == "bce"][NDCG].to_numpy()
    assert one.detectable == pytest.approx(detectable_from(focal - bce, 0.0125, 0.8) / bce.mean())
