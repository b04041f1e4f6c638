"""Effects by day: by hand, adding up to the whole, novelty found, and errors that count shared units."""

import numpy as np
import pandas as pd
import pytest

from ncf.online.clusters import cluster_robust
from ncf.online.days import by_day
from ncf.online.means import ratio, welch
from ncf.online.units import read_units
from ncf.stats.checks import StatisticsError

OPTIONS = {"unit": "user", "arm": "arm", "values": ["clicks", "sessions"], "time": "day"}


def made(users: int, days: int, seed: int = 0, novelty: float = 0.0, late: bool = True) -> pd.DataFrame:
    """A row a user and day, of users who come in later if `late`; the effect falls by `novelty` a day from 1."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, users)
    first = rng.integers(0, days // 2, users) if late else np.zeros(users, int)
    level = rng.gamma(3, 1, users)
    user, day = (axis.ravel() for axis in np.meshgrid(np.arange(users), np.arange(days), indexing="ij"))
    keep = (day >= first[user]) & ((day == first[user]) | (rng.random(len(user)) < 0.7))
    user, day = user[keep], day[keep]
    sessions = 1 + rng.poisson(1, len(user))
    clicks = rng.poisson(level[user]) + arm[user] * rng.poisson(max(novelty, 0) * np.maximum(1 - 0.2 * day, 0))
    frame = pd.DataFrame({"user": user, "arm": arm[user], "day": day, "clicks": clicks, "sessions": sessions})
    return frame.sample(frac=1, random_state=seed)


LOG = made(200, 8)


def test_the_last_day_is_the_whole_experiment() -> None:
    units = read_units(LOG, **OPTIONS)
    assert units.log is not None
    found = by_day(units.log, units.arm, 1, "clicks")
    whole = welch(units.values["clicks"], units.arm == 1).absolute
    last = found.running[-1]
    assert (last.effect, last.error, last.n) == pytest.approx((whole.value, whole.standard_error, 200), rel=1e-10)
    over = by_day(units.log, units.arm, 1, "clicks", "sessions").running[-1]
    expected = ratio(units.values["clicks"], units.values["sessions"], units.arm == 1).absolute
    assert (over.effect, over.error) == pytest.approx((expected.value, expected.standard_error), rel=1e-10)


def test_each_day_by_hand() -> None:
    units = read_units(LOG, **OPTIONS)
    assert units.log is not None
    found = by_day(units.log, units.arm, 1, "clicks")
    arms = LOG.groupby("user")["arm"].first()
    for day, total in zip(found.daily, found.running, strict=True):
        so_far = LOG[LOG["day"] <= day.day]
        entered = so_far["user"].unique()
        own = LOG[LOG["day"] == day.day].groupby("user")["clicks"].sum().reindex(entered, fill_value=0)
        both = so_far.groupby("user")["clicks"].sum().reindex(entered)
        for one, values in ((day, own), (total, both)):
            e = welch(values.to_numpy(np.float64), arms[entered].to_numpy() == 1).absolute
            assert (one.effect, one.error, one.n) == pytest.approx((e.value, e.standard_error, len(entered)), rel=1e-9)


def test_a_mean_of_rows_and_one_row_a_unit() -> None:
    units = read_units(LOG, **OPTIONS, rows="mean")
    assert units.log is not None
    last = by_day(units.log, units.arm, 1, "clicks", rows="mean").running[-1]
    whole = welch(units.values["clicks"], units.arm == 1).absolute
    assert (last.effect, last.error) == pytest.approx((whole.value, whole.standard_error), rel=1e-10)
    first = LOG.sort_values("day").groupby("user", as_index=False).first()
    one = read_units(first, **OPTIONS)
    assert one.rows == "one"
    assert one.log is not None
    found = by_day(one.log, one.arm, 1, "clicks", rows="one")
    assert [day.n for day in found.daily] == first["day"].value_counts().sort_index().tolist()
    assert found.running[-1].n == 200


def test_a_maximum_so_far() -> None:
    bought = LOG.assign(clicks=(LOG["clicks"] > 4).astype(int))
    units = read_units(bought, **OPTIONS, rows="max")
    assert units.log is not None
    last = by_day(units.log, units.arm, 1, "clicks", rows="max").running[-1]
    assert last.effect == pytest.approx(welch(units.values["clicks"], units.arm == 1).absolute.value, rel=1e-12)


def test_of_three_arms_two_are_compared() -> None:
    frame = LOG.assign(arm=LOG["user"] % 3)
    units = read_units(frame, **OPTIONS)
    assert units.log is not None
    last = by_day(units.log, units.arm, 2, "clicks").running[-1]
    own, treated = units.against(2)
    whole = welch(units.values["clicks"][own], treated).absolute
    assert (last.effect, last.error, last.n) == pytest.approx((whole.value, whole.standard_error, len(own)), rel=1e-10)


def test_clusters_make_errors_wider() -> None:
    frame = LOG.assign(city=LOG["user"] % 20)
    frame["arm"] = frame["city"] % 2
    frame["clicks"] += frame["city"] // 2
    units = read_units(frame, **OPTIONS, groups=["city"])
    assert units.log is not None
    codes = pd.factorize(units.groups["city"])[0]
    found = by_day(units.log, units.arm, 1, "clicks", clusters=codes)
    alone = by_day(units.log, units.arm, 1, "clicks")
    assert found.running[-1].error > 2 * alone.running[-1].error
    robust = cluster_robust(units.values["clicks"], units.arm == 1, codes).absolute.standard_error
    assert found.running[-1].error == pytest.approx(robust, rel=0.05)  # another small-sample factor


def test_novelty_is_found() -> None:
    units = read_units(made(3000, 6, novelty=1.5, late=False), **OPTIONS)
    assert units.log is not None
    found = by_day(units.log, units.arm, 1, "clicks")
    check = found.check("clicks")
    assert check is not None
    assert check.state == "warning"
    assert "novelty" in check.says
    assert found.slope == pytest.approx(-0.2 * 1.5 * 0.7, abs=4 * found.slope_error + 0.05)


def test_the_trend_test_keeps_its_level() -> None:
    """Days share users, whose clicks go together; 400 experiments without a trend."""
    runs, rejected = 400, 0
    for seed in range(runs):
        units = read_units(made(80, 5, seed, late=False), **OPTIONS)
        assert units.log is not None
        p = by_day(units.log, units.arm, 1, "clicks").p
        assert p is not None
        rejected += p <= 0.05
    assert rejected / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_two_days_have_no_trend_and_too_few_units_no_day() -> None:
    units = read_units(LOG[LOG["day"] < 2], **OPTIONS)
    assert units.log is not None
    found = by_day(units.log, units.arm, 1, "clicks")
    assert found.p is None
    assert found.check("clicks") is None
    frame = pd.DataFrame({"user": [1, 2, 3, 4], "arm": [0, 1, 0, 1], "day": [1, 1, 2, 2], "clicks": 1, "sessions": 1})
    single = read_units(frame, **OPTIONS)
    assert single.log is not None
    assert len(by_day(single.log, single.arm, 1, "clicks", rows="one").running) == 1
    with pytest.raises(StatisticsError, match="two units of each arm"):
        by_day(read_units(frame[:2], **OPTIONS).log, np.array([0, 1]), 1, "clicks")


@pytest.mark.parametrize("rows", ["sum", "mean", "max"])
def test_equal_values_have_no_effect_and_no_trend(rows) -> None:
    user = np.repeat(np.arange(101), 4)
    frame = pd.DataFrame({"user": user, "arm": user % 3 == 0, "day": np.tile(np.arange(4), 101), "clicks": 0.1})
    units = read_units(frame, unit="user", arm="arm", values=["clicks"], time="day", rows=rows)
    assert units.log is not None
    found = by_day(units.log, units.arm, 1, "clicks", rows=rows)
    assert [day.effect for day in (*found.daily, *found.running)] == [0] * 8
    assert (found.slope, found.p) == (0, 1)


def test_copies_of_units_in_clusters_say_no_more_of_the_trend_than_one() -> None:
    frame = made(60, 5, seed=4)
    copies = pd.concat([frame.assign(user=frame["user"] + shift) for shift in (0, 1000, 2000)])
    found = []
    for rows in (frame, copies):
        units = read_units(rows, unit="user", arm="arm", values=["clicks"], time="day", rows="sum")
        assert units.log is not None
        clusters = np.arange(len(units)) % (len(units) // (len(rows) // len(frame)))
        found.append(by_day(units.log, units.arm, 1, "clicks", clusters=clusters))
    assert found[1].slope_error == pytest.approx(found[0].slope_error, rel=1e-9)
    assert found[1].p == pytest.approx(found[0].p, rel=1e-9)
