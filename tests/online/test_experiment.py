"""An experiment from rows to findings: health first, families, plans and looks, and what stopping early does."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.errors import ConfigError, DataError
from ncf.online import abtest
from ncf.online.means import cuped, ratio, welch
from ncf.stats.checks import StatisticsError
from ncf.stats.findings import CORRECTIONS
from ncf.stats.multiplicity import holm

DATA = pd.read_csv(Path(__file__).parent / "reference" / "ab_data.csv")
TREATED = DATA["variant"].to_numpy() == 1
OPTIONS = {"unit": "user", "arm": "variant"}


def made(users: int = 400, days: int = 4, effect: float = 0.0, seed: int = 0, arms: int = 2) -> pd.DataFrame:
    """A row a user and day, everybody there from the first day."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, arms, users)
    user, day = (axis.ravel() for axis in np.meshgrid(np.arange(users), np.arange(days), indexing="ij"))
    clicks = rng.poisson(1 + effect * (arm[user] > 0))
    return pd.DataFrame({"user": user, "arm": np.array(["A", "B", "C"])[arm[user]], "day": day, "clicks": clicks})


def test_each_metric_by_its_method() -> None:
    found = abtest(DATA.assign(big=(DATA["y"] > 3).astype(int)), **OPTIONS, metric=["y", "clicks/sessions", "big"])
    methods = [one.effect.absolute.method for one in found.compared]
    assert methods == ["Welch", "delta", "two proportions, score"]
    whole = ratio(DATA["clicks"].to_numpy(), DATA["sessions"].to_numpy(), TREATED).absolute
    assert found.compared[1].effect.absolute.value == pytest.approx(whole.value, rel=1e-12)
    raw = np.array([one.p for one in found.compared])
    assert [one.p_adjusted for one in found.compared] == pytest.approx(holm(raw))
    assert found.compared[2].posterior is not None
    assert any("does not control the error rate" in warning for warning in found.warnings)
    assert any("nothing is found equivalent" in warning for warning in found.warnings)


def test_covariates_strata_and_clusters() -> None:
    found = abtest(DATA, **OPTIONS, metric="y", covariate="pre").compared[0].effect.absolute
    assert found.p() == pytest.approx(cuped(DATA["y"].to_numpy(), DATA["pre"].to_numpy(), TREATED).absolute.p())
    strata = DATA.assign(many=(DATA["sessions"] > 3).astype(str))
    assert abtest(strata, **OPTIONS, metric="y", strata="many").compared[0].effect.absolute.method == "stratified"
    clusters = DATA.assign(city=DATA["user"] % 100, variant=DATA["user"] % 2)
    e = abtest(clusters, **OPTIONS, metric="y", cluster="city").compared[0].effect.absolute
    assert (e.method, e.degrees) == ("cluster-robust", 98)
    means = abtest(clusters, **OPTIONS, metric="y", cluster="city", cluster_method="means")
    assert means.compared[0].effect.absolute.method == "cluster means"


@pytest.mark.parametrize("correction", ["holm", "benjamini_hochberg", "none"])
def test_many_arms_and_metrics_are_one_family(correction) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"user": range(900), "arm": rng.choice(["A", "B", "C"], 900)})
    for name in ("x", "y", "z"):
        frame[name] = rng.normal(size=900) + (frame["arm"] == "C") * 0.2
    found = abtest(frame, unit="user", arm="arm", metric=["x", "y", "z"], correction=correction)
    assert len(found.compared) == 6
    raw = np.array([one.p for one in found.compared])
    expected = raw if correction == "none" else CORRECTIONS[correction](raw)
    assert [one.p_adjusted for one in found.compared] == pytest.approx(expected)
    for one in found.compared:
        assert (one.finding == "better") == (one.p_adjusted <= 0.05 and one.effect.absolute.value > 0)


@pytest.mark.parametrize(
    ("shift", "options", "finding"),
    [
        (0.5, {}, "better"),
        (-0.5, {}, "worse"),
        (0.5, {"lower": ["y"]}, "worse"),
        (0.0, {"margin": 0.05}, "equivalent"),
        (0.0, {"region": (-0.2, 0.2)}, "equivalent"),
        (0.0, {}, "undecided"),
    ],
)
def test_findings(shift, options, finding) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(10, 1, 4000)
    y -= np.where(np.arange(4000) % 2, y[1::2].mean(), y[::2].mean()) - 10
    frame = pd.DataFrame({"user": range(4000), "arm": np.arange(4000) % 2, "y": y + shift * (np.arange(4000) % 2)})
    assert abtest(frame, unit="user", arm="arm", metric="y", **options).compared[0].finding == finding


def test_the_region_of_a_margin_is_relative_to_the_control() -> None:
    found = abtest(DATA, **OPTIONS, metric="y", margin=0.12).compared[0]
    assert found.effect.log_ratio is not None
    low, high = np.exp(found.effect.log_ratio.ends(0.9)) - 1
    assert found.p_equivalent is not None
    assert (found.p_equivalent <= 0.05) == (low > -0.12 and high < 0.12)


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"variant": 0}, {}, "expected two arms"),
        ({"variant": (DATA["user"] % 10 > 5).astype(int)}, {}, "sample-ratio mismatch"),
        ({}, {"shares": {"0": 1, "1": 2}}, "sample-ratio mismatch"),
        ({}, {"shares": {"0": 1, "1": 1, "2": 1}}, "expected units in every arm, found none in 2"),
        ({"variant": np.where(DATA["user"] == 3, 2, DATA["variant"])}, {}, "two units or more in each arm"),
        ({"y": "high"}, {}, "expected y as a number"),
        ({"sessions": 0, "clicks": 0}, {"metric": "clicks/sessions"}, "zeros only"),
        ({"sessions": 0}, {"metric": "clicks/sessions"}, "denominator wherever"),
        ({"clicks": -1}, {"metric": "clicks"}, "no negative count"),
        ({"user": DATA["user"] % 2000}, {}, "in one arm"),
        ({}, {"look": 2}, "expected looks= in the plan"),
    ],
)
def test_refusals(change, options, says) -> None:
    with pytest.raises((DataError, StatisticsError)) as error:
        abtest(DATA.assign(**change), **{**OPTIONS, "metric": "y", **options})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_clusters_are_what_was_randomised() -> None:
    """300 users in two clusters of one arm and 300 in three of the other are no sample-ratio mismatch."""
    frame = pd.DataFrame({"user": range(600), "city": np.repeat([0, 1, 2, 3, 4], [400, 50, 50, 50, 50])})
    frame["arm"] = (frame["city"] > 1).astype(int)
    frame["y"] = np.random.default_rng(0).normal(size=600)
    with pytest.raises(DataError, match="sample-ratio"):
        abtest(frame, unit="user", arm="arm", metric="y")
    found = abtest(frame, unit="user", arm="arm", metric="y", cluster="city")
    assert any("5 clusters" in warning for warning in found.warnings)
    with pytest.raises(StatisticsError, match="at least 2 in each arm"):
        abtest(frame[frame["city"] > 0], unit="user", arm="arm", metric="y", cluster="city")


def test_the_health_alone_refuses_nothing() -> None:
    found = abtest(DATA, **OPTIONS, metric="y", shares={"0": 1, "1": 2}, health=True)
    assert (found.checks[0].state, found.compared) == ("refused", ())
    json.dumps(found.to_dict(), allow_nan=False)


def test_health_checks_of_every_kind() -> None:
    rng = np.random.default_rng(0)
    frame = DATA.assign(other=np.where(rng.random(len(DATA)) < 0.8, DATA["variant"], 1 - DATA["variant"]))
    frame["pre"] += 0.5 * frame["variant"]
    frame["sessions"] += 2 * frame["variant"]
    found = abtest(frame, **OPTIONS, metric=["clicks"], covariate="pre", exposure="sessions", experiments="other")
    states = {check.name: check.state for check in found.checks}
    assert states == {
        "sample ratio": "ok", "pre before": "warning", "clicks and sessions": "warning", "variant and other": "warning",
    }  # fmt: skip


def plan(folder: Path, **options) -> Path:
    """A plan with these settings."""
    path = folder / "plan.yaml"
    path.write_text(json.dumps({"question": "?", "unit": "user", "arm": "arm", "metric": ["clicks"], **options}))
    return path


def test_a_plan_is_followed_and_hashed(tmp_path) -> None:
    path = plan(tmp_path, time="day", looks=[2, 4], control="B")
    found = abtest(made(), plan=path, segments=["arm"])
    assert found.control == "B"
    assert found.to_dict()["plan"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert abtest(made(), plan=path, control="B").control == "B"
    with pytest.raises(ConfigError, match="control: expected B, as the plan says, got A"):
        abtest(made(), plan=path, control="A")
    with pytest.raises(ConfigError, match="alpha: expected none, as the plan does not have it"):
        abtest(made(), plan=path, alpha=0.1)


def test_looks_of_a_plan(tmp_path) -> None:
    path = plan(tmp_path, time="day", looks=[2, 4])
    first = abtest(made(days=2, seed=1), plan=path).compared[0]
    assert first.looks is not None
    assert (first.looks.taken, first.looks.ended, first.finding) == ((2,), False, "undecided")
    assert first.ends[1] - first.ends[0] > first.effect.absolute.high - first.effect.absolute.low
    early = abtest(made(days=2, effect=0.8), plan=path).compared[0]
    assert early.looks is not None
    assert (early.looks.outcome.stopped, early.finding) == (True, "better")
    last = abtest(made(days=4), plan=path).compared[0]
    assert last.looks is not None
    early_rows = made(days=4).query("day < 2")
    units = early_rows.groupby("user").agg(arm=("arm", "first"), clicks=("clicks", "sum"))
    e = welch(units["clicks"].to_numpy(float), units["arm"].to_numpy() == "B").absolute
    assert last.looks.z[0] == pytest.approx(e.value / e.standard_error, rel=1e-9)
    for days, says in ((5, "more looks than planned"), (3, "the data have 3 days")):
        with pytest.raises(DataError, match=says):
            abtest(made(days=days), plan=path)


@pytest.mark.parametrize("metric", ["clicks", "clicks/visits", "bought"])
def test_a_test_that_a_bound_ended_has_the_effect_of_its_last_look(tmp_path, metric) -> None:
    frame = made(users=1200, days=4, effect=0.5)
    frame["visits"], frame["bought"] = 1 + frame["clicks"] % 2, (frame["clicks"] > 1).astype(int)
    options = {"time": "day", "rows": "max" if metric == "bought" else "sum", "metric": [metric]}
    path = plan(tmp_path, **options, looks=[2, 4])
    found = abtest(frame, plan=path)
    late, early = found.compared[0], abtest(frame.query("day < 2"), plan=path).compared[0]
    assert late.looks is not None
    assert late.looks.crossed == 2
    ours, theirs = late.row(), early.row()
    for name in ("effect", "control", "treatment", "relative", "standard_error"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-12)
    assert (ours["n"], ours["finding"]) == (theirs["n"], "better")
    # errors of proportions over n and over n - 1
    assert (ours["low"], ours["high"]) == pytest.approx((theirs["low"], theirs["high"]), rel=1e-3)
    assert late.ends[0] < late.effect.absolute.value < late.ends[1]
    assert (late.posterior is None) == (metric != "bought")
    assert late.posterior == early.posterior
    assert any("a bound was crossed after 2 days" in warning for warning in found.warnings)


def test_a_posterior_knows_that_less_is_better() -> None:
    frame = DATA.assign(big=(DATA["y"] > 3).astype(int))
    more = abtest(frame, **OPTIONS, metric="big").compared[0].posterior
    less = abtest(frame, **OPTIONS, metric="big", lower="big").compared[0].posterior
    assert more is not None
    assert less is not None
    assert less.probability == pytest.approx(1 - more.probability)
    assert (less.loss, less.loss_control) == (more.loss_control, more.loss)
    assert less.difference == more.difference


def test_one_absolute_region_for_several_metrics_is_warned_of() -> None:
    said = [abtest(DATA, **OPTIONS, metric=metric, region=(-1, 1)).warnings for metric in (["y"], ["y", "clicks"])]
    assert [any("one absolute region" in warning for warning in warnings) for warnings in said] == [False, True]


def test_looks_of_several_treatments_share_alpha(tmp_path) -> None:
    path = plan(tmp_path, time="day", looks=[2, 4], region=[-0.6, 0.6])
    found = abtest(made(arms=3), plan=path).compared
    for one in found:
        assert one.looks is not None
        assert one.looks.level == pytest.approx(0.975)
        assert one.row()["level"] == pytest.approx(0.975)
        assert one.p_adjusted == pytest.approx(min(1.0, 2 * one.p))
        assert one.p_equivalent is not None
        assert 0.025 < one.p_equivalent < 0.05  # not enough for two treatments
        assert one.finding == "undecided"
    alone = abtest(made(), plan=path).compared[0]
    assert (alone.row()["level"], alone.p_adjusted) == (pytest.approx(0.95), alone.p)


def test_looks_of_an_adjusted_metric_are_adjusted_at_each(tmp_path) -> None:
    rng = np.random.default_rng(3)
    frame = made(days=4)
    before = rng.normal(size=400)
    frame["pre"] = before[frame["user"]]
    frame["clicks"] += (before[frame["user"]] > 0).astype(int)
    found = abtest(frame, plan=plan(tmp_path, time="day", looks=[2, 4], covariate=["pre"])).compared[0]
    assert found.looks is not None
    units = frame[frame["day"] < 2].groupby("user").agg(arm=("arm", "first"), clicks=("clicks", "sum"))
    e = cuped(units["clicks"].to_numpy(float), before, units["arm"].to_numpy() == "B").absolute
    assert found.looks.z[0] == pytest.approx(e.value / e.standard_error, rel=1e-9)


def test_looks_without_days(tmp_path) -> None:
    frame = made(days=1)
    path = plan(tmp_path, looks=[200, 400])
    found = abtest(frame, plan=path, look=1).compared[0]
    assert found.looks is not None
    assert found.looks.z[0] == pytest.approx(found.effect.absolute.value / found.effect.absolute.standard_error)
    with pytest.raises(DataError, match="at most the 2 planned looks"):
        abtest(frame, plan=path, look=3)


def test_other_metrics_wait_for_the_primary_one(tmp_path) -> None:
    frame = made(days=2)
    frame["more"] = frame["clicks"] + 3 * (frame["arm"] == "B")
    found = abtest(frame, plan=plan(tmp_path, time="day", looks=[2, 4], metric=["clicks", "more"]))
    assert [one.finding for one in found.compared] == ["undecided", "undecided"]
    assert found.compared[1].alone == "better"
    assert any("not corrected for looks" in warning for warning in found.warnings)


def test_constants_order_and_arms() -> None:
    one = abtest(DATA, **OPTIONS, metric="y").compared[0].effect.absolute
    shifted = abtest(DATA.assign(y=DATA["y"] + 100), **OPTIONS, metric="y").compared[0].effect.absolute
    shuffled = abtest(DATA.sample(frac=1, random_state=0), **OPTIONS, metric="y").compared[0].effect.absolute
    swapped = abtest(DATA, **OPTIONS, metric="y", control="1").compared[0].effect.absolute
    assert [e.value for e in (shifted, shuffled, swapped)] == pytest.approx(
        [one.value, one.value, -one.value], rel=1e-9
    )
    assert (swapped.low, swapped.high) == pytest.approx((-one.high, -one.low), rel=1e-9)


def test_segments_of_the_effect() -> None:
    frame = DATA.assign(country=np.where(DATA["user"] % 3, "de", "fr"))
    found = abtest(frame, **OPTIONS, metric=["y", "clicks/sessions"], segments="country")
    assert [[s.value for s in one.segments] for one in found.compared] == [["de", "fr"], ["de", "fr"]]


@pytest.mark.slow
@pytest.mark.parametrize("late", [True, False])
def test_planned_looks_keep_the_level_and_unplanned_ones_do_not(tmp_path, late) -> None:
    """2,000 experiments without an effect, looked at on each of ten days.

    Users come in over the days, or are all there from the first, with a level of their own beside each day's noise:
    the days are then less information than they count for, and the test errs on the safe side.
    """
    runs, planned, naive = 2000, 0, 0
    path = plan(tmp_path, time="day", looks=list(range(1, 11)), bounds="obrien_fleming")
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        users, arm = 600 if late else 120, rng.integers(0, 2, 600)
        user = np.arange(600) if late else np.tile(np.arange(users), 10)
        frame = pd.DataFrame({"user": user, "day": np.repeat(range(10), 600 // 10 if late else users)})
        frame["arm"] = arm[user]
        frame["clicks"] = rng.normal(size=len(user)) + rng.normal(0, 0.5, 600)[user] * (not late)
        try:
            looks = abtest(frame, plan=path).compared[0].looks
        except DataError:  # a sample-ratio mismatch by chance, of one in a thousand
            continue
        assert looks is not None
        planned += looks.outcome.stopped
        naive += max(abs(z) for z in looks.z if z is not None) > 1.96
    error = 3 * np.sqrt(0.05 * 0.95 / runs)
    assert planned / runs <= 0.05 + error + 0.005  # z of few units at the first looks
    if late:
        assert planned / runs >= 0.05 - error
    assert naive / runs > 0.1  # 0.15 to 0.19


@pytest.mark.parametrize("control", ["0", "1"])
def test_a_relative_margin_is_tested_on_the_log_ratio(control) -> None:
    one = abtest(DATA, **OPTIONS, metric="y", margin=0.2, control=control).compared[0]
    assert one.effect.log_ratio is not None
    expected = one.effect.log_ratio.p_equivalent((float(np.log(0.8)), float(np.log(1.2))))
    assert one.p_equivalent == pytest.approx(expected, rel=1e-9)


def test_rows_are_the_exposure_where_no_column_is(tmp_path) -> None:
    names = [check.name for check in abtest(made(), unit="user", arm="arm", metric="clicks", time="day").checks]
    assert "clicks and rows" in names
    going_on = abtest(made(days=2, seed=1), plan=plan(tmp_path, time="day", looks=[2, 4])).compared[0]
    assert (going_on.p, going_on.p_adjusted, going_on.shown_p) == (1, 1, None)
