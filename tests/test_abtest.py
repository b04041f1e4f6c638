"""The command of online experiments, typed as an analyst would: right, wrong, and before there are data."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf import __main__ as entrance
from ncf.abtest import main
from ncf.errors import NcfError
from ncf.online.plan import load_plan
from ncf.online.sample_size import looks_factor

DATA = Path(__file__).parent / "online" / "reference" / "ab_data.csv"
BASE = [f"data={DATA}", "unit=user", "arm=variant"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A row a user and day of two weeks, users coming in over the first."""
    rng = np.random.default_rng(0)
    user, day = (axis.ravel() for axis in np.meshgrid(np.arange(500), np.arange(14), indexing="ij"))
    here = day >= rng.integers(0, 7, 500)[user]
    user, day = user[here], day[here]
    frame = pd.DataFrame({"user": [f"u{u}" for u in user], "arm": np.where(user % 2, "new", "old")})
    frame["day"] = pd.to_datetime("2026-01-01") + pd.to_timedelta(day, "D")
    frame["clicks"] = rng.poisson(1 + 0.2 * (user % 2))
    frame["bought"] = rng.binomial(1, 0.02 + 0.02 * (user % 2))
    frame["country"] = np.where(user % 3, "de", "fr")
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    main(arguments)
    return capsys.readouterr().out


def test_the_table(capsys) -> None:
    text = said(capsys, *BASE, "metric=y,clicks/sessions", "margin=0.05", "covariate=pre")
    assert "sample ratio" in text
    assert "+4.1" in text
    assert "CUPED" in text
    assert "undecided" in text or "better" in text


def test_json_and_csv(capsys) -> None:
    found = json.loads(said(capsys, *BASE, "metric=y", "format=json"))
    reference = json.loads((DATA.parent / "ab_references.json").read_text())["means"]["welch"]
    assert found["effects"][0]["effect"] == pytest.approx(reference["diff"], rel=1e-12)
    assert found["effects"][0]["p"] == pytest.approx(reference["p"], rel=1e-10)
    lines = said(capsys, *BASE, "metric=y", "format=csv").splitlines()
    assert lines[0].startswith("metric,arm,")
    assert len(lines) == 2
    assert said(capsys, *BASE, "metric=y", "format=csv", "health=true").startswith("name,state,says")


def test_a_plan_from_before_to_the_last_look(capsys, tmp_path, log) -> None:
    path = tmp_path / "plan.yaml"
    settings = ["unit=user", "arm=arm", "metric=clicks,bought", "control=old", "time=day", "looks=7,14", "margin=0.01"]
    text = said(capsys, f"save_plan={path}", "question=Is the new list better?", *settings)
    plan = load_plan(path)
    assert plan.sha256 in text
    assert plan.settings.control == "old"
    with pytest.raises(NcfError, match="a plan is not replaced"):
        main([f"save_plan={path}", *settings])
    found = json.loads(said(capsys, f"data={log}", f"plan={path}", "segments=country", "format=json"))
    assert found["plan"]["sha256"] == plan.sha256
    assert found["effects"][0]["looks"]["taken"] == [7, 14]
    assert len(found["effects"][0]["segments"]) == 2
    with pytest.raises(NcfError, match="as the plan says"):
        main([f"data={log}", f"plan={path}", "margin=0.5"])


def test_posteriors_come_with_their_warning(capsys, log) -> None:
    text = said(capsys, f"data={log}", "unit=user", "arm=arm", "metric=bought", "rows=max", "control=old", "time=day")
    assert "P(better)" in text
    assert "does not control the error rate" in text


def test_designs(capsys) -> None:
    text = said(capsys, "design=true", "baseline=0.1", "effect=0.01", "per_day=1000")
    assert "14,751" in text
    assert "29,502" in text
    found = json.loads(said(capsys, "design=true", "baseline=0.1", "n=3000", "format=json"))
    assert found["detectable"] == pytest.approx(0.032794612721, rel=1e-8)
    found = json.loads(said(capsys, "design=true", *BASE[:2], "metric=y", "covariate=pre", "relative=0.02", "looks=5",
                            "format=json"))  # fmt: skip
    assert found["factors"]["covariate"] == pytest.approx(0.434, abs=0.001)
    assert found["factors"]["looks"] == pytest.approx(1.028, abs=0.001)
    assert said(capsys, "design=true", "baseline=5", "sd=2", "effect=1", "format=csv").startswith("effect,relative,")


def test_a_design_shows_what_it_read_and_knows_when_the_looks_are(capsys) -> None:
    text = said(capsys, "design=true", *BASE[:2], "metric=y", "relative=0.02", "sd=3")
    assert f"baseline in the data        {pd.read_csv(DATA)['y'].mean():.6g}" in text
    assert "sd in the data" not in text  # what is given is not read
    factors = []
    for looks in ("2", "7,14", "7,28"):
        options = ["design=true", "baseline=0.1", "effect=0.01", "bounds=pocock", f"looks={looks}", "format=json"]
        factors.append(json.loads(said(capsys, *options))["factors"]["looks"])
    assert factors[0] == factors[1]
    assert factors[2] == pytest.approx(looks_factor([0.25, 1.0], kind="pocock"))
    assert factors[2] != pytest.approx(factors[0], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["unit=user"], "data: expected a file"),
        ([f"data={DATA}"], "unit: expected a column"),
        ([f"data={DATA}", "unit=user", "arm=variant"], "metric: expected a column"),
        (["data=none.csv", "unit=u", "arm=a", "metric=m"], "no such file"),
        ([*BASE, "metric=clicked"], "did you mean 'clicks'"),
        ([*BASE, "metric=y", "alpha=often"], "alpha"),
        ([*BASE, "metric=y", "alpha=5"], "alpha"),
        ([*BASE, "metric=y", "shares=0.5,0.5"], "arm:share"),
        ([*BASE, "metric=y", "shares=:0.5"], "arm:share"),
        ([*BASE, "metric=y", "region=1"], "two numbers"),
        ([*BASE, "metric=y", "region=2,1"], "lower end first"),
        ([*BASE, "metric=y", "control=7"], "expected control '7' among the arms"),
        ([*BASE, "metric=y", "power=0.9"], "design=true alone"),
        ([*BASE, "metric=y", "look=x"], "whole number"),
        ([*BASE, "metric=y", "frobnicate=1"], "frobnicate"),
        ([*BASE, "metric=y", "looks=seven"], "looks"),
        ([*BASE, "metric=y", "plan=none.yaml"], "no such file"),
        ([*BASE, "metric=y", "save_plan=p.yaml"], "expected no data="),
        (["design=true"], "baseline"),
        (["design=true", "baseline=0.1"], "one of effect="),
        (["design=true", "baseline=ten"], "baseline"),
        (["design=true", "baseline=0.1", "effect=0.01", "alpha=x"], "alpha"),
        (["design=true", f"data={DATA}", "unit=user", "metric=y,clicks", "effect=1"], "one metric="),
        (["design=true", "plan=p.yaml"], "no plan="),
        (["design=true", "baseline=0.1", "effect=0.01", "bounds=none", "looks=3"], "bounds: expected one of"),
        (["design=true", "baseline=0.1", "effect=0.01", "looks=weekly"], "looks: expected their number"),
        (["design=true", "baseline=0.1", "effect=0.01", "margin=0.02"], "sizes the test of a difference"),
    ],
)
def test_refusals_are_one_line(arguments, says) -> None:
    with pytest.raises(NcfError) as error:
        main(arguments)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # an earlier test has imported it
def test_a_refusal_ends_with_2_and_help_with_0(tmp_path, capsys, monkeypatch) -> None:
    bad = tmp_path / "bad.csv"
    rows = "".join(f"{user},{'A' if user < 30 else 'B'},1\n" for user in range(300))
    bad.write_text("user,arm,clicks\n" + rows)
    command = ["ncf", "abtest", f"data={bad}", "unit=user", "arm=arm", "metric=clicks"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        entrance.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert "sample-ratio mismatch" in err
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--metric" in capsys.readouterr().out


@pytest.mark.parametrize("looks", ["7,x", "0", "2.5", "-3"])
def test_looks_of_a_design_that_are_no_days_are_refused(looks: str) -> None:
    with pytest.raises(NcfError, match="looks: expected their number, as in 5, or days"):
        main(["design=true", "baseline=0.1", "relative=0.1", f"looks={looks}"])
