"""Chances of outcomes before a study: by the rule of the verdict itself, and with its errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.stats.checks import StatisticsError
from ncf.stats.power import power, upper_spread
from ncf.study import outcomes, verdict
from ncf.study.outcomes import Runs, chances, describe_chances, from_pilot, from_runs
from ncf.study.registration import Registration, load, resolved

STUDY = load(Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml")
NDCG, HIT = "test/ndcg@10", "test/hit@10"


def small(**changes: object) -> Registration:
    return STUDY.model_copy(update={"resamples": 999, "seeds": {4: 12, 10: 12, 50: 10}, **changes})


def simulated_runs(registration: Registration, noise: float = 0.002, seed: int = 0) -> pd.DataFrame:
    """Runs whose arms share a seed's luck, and whose metrics go up and down together."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame([run for grid in ("main", "constant_weight") for run in registration.runs(grid)])
    luck = runs["seed"].map({s: rng.normal() for s in runs["seed"].unique()})
    own = rng.normal(size=len(runs))
    for metric, level in ((NDCG, 0.06), (HIT, 0.12)):
        runs[metric] = level + noise * (luck + own + 0.5 * rng.normal(size=len(runs)))
    return runs


def test_a_simulated_study_is_judged_as_a_real_one_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation's own draws, written into a table of results, get the same p and findings from the verdict."""
    registration = small(hypotheses={"H2": STUDY.hypotheses["H2"]})
    kept = []
    tested = outcomes._tested

    def spy(compared, metrics, place, own):  # type: ignore[no-untyped-def]
        kept.append((metrics, place, tested(compared, metrics, place, own)))
        return kept[-1][2]

    monkeypatch.setattr(outcomes, "_tested", spy)
    chances(registration, from_runs(registration, simulated_runs(registration)), effects=[1.0], draws=100)
    (metrics, place, _), *_ = kept
    assert len(kept) == 8
    for draw in range(2):
        judged = verdict(registration, as_results(registration, metrics[draw], place))[0].comparisons
        for one, (*_, (direction, p, p_equivalent)) in zip(judged, kept, strict=True):
            assert one.result is not None
            assert one.result.wilcoxon.p == pytest.approx(p[draw])
            assert one.result.wilcoxon.direction == direction[draw]
            assert one.result.equivalence.p == pytest.approx(p_equivalent[draw])


def as_results(registration: Registration, metrics: np.ndarray, place: dict[tuple[str, int, str], int]) -> pd.DataFrame:
    """A table of results with the metrics (seeds, cells) of one simulated study."""
    rows = {}
    for (arm, ratio, metric), n in place.items():
        selector = {k: resolved(v, ratio) for k, v in registration.arms[arm].items()}
        for seed, value in zip(registration.seeds_at(ratio), metrics[:, n]):
            rows.setdefault((arm, ratio, seed), {**selector, "neg_ratio": ratio, "seed": seed})[metric] = value
    return pd.DataFrame(rows.values())


def single(says: str = "higher") -> Registration:
    """One comparison, so that the chances are those of one test."""
    h1 = STUDY.hypotheses["H1"]
    ratios = [10] if says == "higher" else [4, 10]
    claim = h1.claims[0].model_copy(update={"metrics": [NDCG], "ratios": ratios, "says": says})
    return small(hypotheses={"H": h1.model_copy(update={"claims": [claim]})})


def test_the_chances_of_one_comparison_are_the_power_of_its_test() -> None:
    registration = single()
    runs = from_pilot(registration)
    none, smallest, twice = chances(registration, runs, draws=20_000)
    assert [c.effect for c in (none, smallest, twice)] == [0.0, 0.05, 0.1]
    pilot = next(p for p in STUDY.pilot if (p.metric, p.ratio) == (NDCG, 10))
    sd = upper_spread(pilot.sd_difference, pilot.pairs, 0.8)
    for found in (smallest, twice):
        wanted = power(found.effect * pilot.baseline_mean, sd, 12, 0.05)
        assert found.statuses["holds"] == pytest.approx(wanted, abs=3 * np.hypot(found.error, 0.0035))
    assert none.statuses["holds"] <= 0.025 + 3 * none.error
    assert smallest.statuses["refuted"] <= 0.05 + 3 * smallest.error
    assert found.findings[0]["better"] == found.statuses["holds"]


def test_a_growth_is_simulated_as_the_verdict_fits_it() -> None:
    registration = single("grows")
    pilot = from_pilot(registration)
    still = Runs(pilot.cells, pilot.mean, pilot.covariance * 1e-4, "almost no noise")
    none, smallest, twice = chances(registration, still, draws=200)
    assert (none.statuses["refuted"], twice.statuses["holds"]) == (1.0, 1.0)  # no growth is equivalent, 10% is seen
    assert 0 < smallest.statuses["holds"] <= 1


def test_all_statuses_add_up_and_more_effect_holds_more_often() -> None:
    found = chances(small(), from_pilot(small()), draws=500)
    assert [c.hypothesis for c in found] == ["H1"] * 3 + ["H2"] * 3 + ["H3"] * 3
    for c in found:
        assert sum(c.statuses.values()) == pytest.approx(1)
        assert all(sum(one.values()) == pytest.approx(1) for one in c.findings)
        assert 0 <= c.error <= 0.0224
    for none, smallest, twice in zip(found[::3], found[1::3], found[2::3]):
        assert none.statuses["holds"] <= smallest.statuses["holds"] + 0.03
        assert smallest.statuses["holds"] < twice.statuses["holds"]
        assert none.statuses["holds"] <= 0.05
        assert smallest.statuses["fails"] + smallest.statuses["refuted"] <= 0.05 + 3 * smallest.error


def test_the_same_design_has_the_same_chances() -> None:
    one, other = (chances(single(), from_pilot(single()), draws=200) for _ in range(2))
    assert one == other


def test_metrics_that_go_together_hold_together() -> None:
    apart, together = (
        chances(STUDY, from_pilot(STUDY, correlation=r), effects=[2.0])[0].statuses["holds"] for r in (0.0, 0.95)
    )
    assert together > apart


def test_the_spread_of_runs_is_that_observed() -> None:
    registration = small()
    table = simulated_runs(registration)
    runs = from_runs(registration, table)
    n, m = (runs.cells.index((arm, 10, NDCG)) for arm in ("focal", "bce"))
    rows = table[(table["neg_ratio"] == 10) & (table["seed"] < 54)].sort_values("seed")
    focal = rows[(rows["loss"] == "focal") & (rows["alpha"] == 0.25)][NDCG].to_numpy()
    bce = rows[rows["loss"] == "bce"][NDCG].to_numpy()
    assert runs.covariance[n, n] == pytest.approx(focal.var(ddof=1))
    assert runs.covariance[n, m] == pytest.approx(np.cov(focal, bce)[0, 1], abs=0.3 * focal.var())
    assert np.linalg.eigvalsh(runs.covariance).min() > -1e-12


def test_a_line_says_what_a_design_will_say() -> None:
    found = chances(single(), from_pilot(single()), effects=[0.0, 1.0], draws=400)
    assert describe_chances(found[0]).startswith("H  with no effect: holds 0.0")
    assert "H  with a change of 5.0%: holds 0." in describe_chances(found[1])
    assert describe_chances(found[1]).endswith("spread of the pilot, at the 80% upper limit of its spread)")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_pilot(small(pilot=[])), "pilot: expected at least one spread"),
        (lambda: from_runs(STUDY, simulated_runs(STUDY).head(0)), "runs: expected at least 3 registered seeds"),
        (lambda: chances(STUDY, Runs((("bce", 10, NDCG),), np.ones(2), np.ones((1, 1)), "")), "runs: expected means"),
        (lambda: chances(STUDY, from_pilot(STUDY), draws=1), "draws: expected a whole number"),
        (lambda: chances(single(), Runs(from_pilot(single()).cells, from_pilot(single()).mean,
                                        -from_pilot(single()).covariance, "")), "expected no negative eigenvalue"),
        (lambda: chances(single(), Runs(from_pilot(single()).cells, from_pilot(single()).mean,
                                        0 * from_pilot(single()).covariance, "")), "a positive variance of every cell"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError, match=message):
        call()


def test_hypotheses_without_a_spread_are_left_out() -> None:
    registration = small(pilot=[p for p in STUDY.pilot if p.ratio != 50])
    assert chances(registration, from_pilot(registration), draws=100) == []


@pytest.mark.slow
def test_the_committed_design_before_and_after_its_runs() -> None:
    """How often H1 to H3 would have held, by the pilot and by the runs; and that no claim holds without effect."""
    runs = pd.read_csv(Path(__file__).parents[2] / "experiments/focal_loss/results.csv")
    for source in (from_pilot(STUDY), from_pilot(STUDY, correlation=0.7), from_runs(STUDY, runs)):
        for found in chances(STUDY, source, draws=20_000):
            print(describe_chances(found))
            if found.effect == 0:
                assert found.statuses["holds"] <= 0.05 + 3 * found.error
            if found.effect == STUDY.smallest_effect:
                assert found.statuses["fails"] + found.statuses["refuted"] <= 0.05 + 3 * found.error
