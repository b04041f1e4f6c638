"""The page of an online experiment: every part drawn, what is in a name escaped, nothing of the user's replaced."""

import json

import numpy as np
import pandas as pd
import pytest

from ncf.errors import DataError
from ncf.online import abtest
from ncf.online.result import ABTest
from ncf.report import abtest as page

RNG = np.random.default_rng(0)
USERS, DAYS = 300, 4
FRAME = pd.DataFrame({"user": np.repeat(np.arange(USERS), DAYS), "day": np.tile(np.arange(DAYS), USERS)})
FRAME["arm"] = np.where(FRAME["user"] % 2, "<b>new</b>", "control $x$")
FRAME["clicks"] = RNG.poisson(2, len(FRAME))
FRAME["sessions"] = 1 + RNG.poisson(1, len(FRAME))
FRAME["bought"] = RNG.binomial(1, 0.1, len(FRAME))
FRAME["country"] = np.where(FRAME["user"] % 3, "de", "fr")
OPTIONS = {"unit": "user", "arm": "arm", "time": "day"}


def found(**options) -> ABTest:
    """An analysis with these settings."""
    return abtest(FRAME, **OPTIONS, **{"metric": ["clicks", "clicks/sessions"], **options})


def test_every_part(tmp_path) -> None:
    analysis = found(looks=[2, 4], segments=["country"], margin=0.05)
    path = page.write(analysis, tmp_path / "report")
    text = path.read_text()
    for figure in ("effects", "looks", "days", "segments"):
        assert f'<figure id="{figure}">' in text
        assert (tmp_path / f"report/figures/{figure}.svg").exists()
        assert (tmp_path / f"report/figures/{figure}.png").exists()
    assert "posteriors" not in text
    assert "Health" in text
    assert "<b>new" not in text
    assert "&lt;b&gt;new&lt;/b&gt;" in text
    stored = json.loads((tmp_path / "report/result.json").read_text())
    assert stored == json.loads(json.dumps(analysis.to_dict()))
    assert len(pd.read_csv(tmp_path / "report/estimates.csv")) == 2


def test_posteriors_say_that_stopping_on_them_deceives(tmp_path) -> None:
    text = page.write(found(metric=["bought"], rows="max"), tmp_path / "report").read_text()
    assert '<figure id="posteriors">' in text
    assert "does not control the error rate" in text


def test_the_health_alone_has_a_page(tmp_path) -> None:
    text = page.write(found(health=True), tmp_path / "report").read_text()
    assert "<figure" not in text
    assert "sample ratio" in text


@pytest.mark.slow
def test_a_second_report_replaces_the_first_and_nothing_else(tmp_path) -> None:
    page.write(found(segments=["country"]), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    page.write(found(), tmp_path)
    assert not (tmp_path / "figures/segments.svg").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["result.json", "estimates.csv"])
def test_the_results_of_another_are_not_replaced(tmp_path, name) -> None:
    (tmp_path / name).write_text("of a run")
    with pytest.raises(DataError, match="name another output="):
        page.write(found(), tmp_path)
    assert (tmp_path / name).read_text() == "of a run"
    assert not (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_the_same_analysis_is_the_same_bytes(tmp_path) -> None:
    one, other = (page.write(found(), tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == other
