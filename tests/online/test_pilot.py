"""Past data: what they say of a metric."""

import numpy as np
import pandas as pd
import pytest

from ncf.errors import DataError
from ncf.online.pilot import pilot

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"user": np.arange(600), "city": np.arange(600) // 20, "pre": RNG.normal(size=600)})
FRAME["y"] = FRAME["pre"] + RNG.normal(size=600) + np.repeat(RNG.normal(size=30), 20)
FRAME["bought"] = (RNG.random(600) < 0.2).astype(int)
FRAME["sessions"] = 1 + RNG.poisson(2, 600)


def test_means_rates_and_ratios() -> None:
    found = pilot(FRAME, unit="user", metric="y", covariate="pre", cluster="city")
    assert found.baseline == pytest.approx(FRAME["y"].mean())
    assert found.sd == pytest.approx(FRAME["y"].std())
    assert found.correlation == pytest.approx(np.corrcoef(FRAME["y"], FRAME["pre"])[0, 1])
    assert found.icc == pytest.approx(1 / 3, abs=0.2)
    assert found.cluster_size == 20
    rate = pilot(FRAME, unit="user", metric="bought")
    assert (rate.baseline, rate.sd, rate.icc) == (pytest.approx(FRAME["bought"].mean()), None, None)
    over = pilot(FRAME, unit="user", metric="bought/sessions")
    assert over.baseline == pytest.approx(FRAME["bought"].sum() / FRAME["sessions"].sum())
    top, under = FRAME["bought"].to_numpy(float), FRAME["sessions"].to_numpy(float)
    assert over.sd == pytest.approx(((top - over.baseline * under) / under.mean()).std(ddof=1))


def test_rows_of_a_unit_are_added_up() -> None:
    found = pilot(pd.concat([FRAME, FRAME]), unit="user", metric="sessions")
    assert (found.baseline, found.units) == (pytest.approx(2 * FRAME["sessions"].mean()), 600)


def test_refusals() -> None:
    with pytest.raises(DataError, match="three units"):
        pilot(FRAME[:2], unit="user", metric="y")
    with pytest.raises(DataError, match="above zero"):
        pilot(FRAME.assign(sessions=0), unit="user", metric="y/sessions")
    with pytest.raises(DataError, match="three clusters"):
        pilot(FRAME[:40], unit="user", metric="y", cluster="city")
    with pytest.raises(DataError, match="did you mean"):
        pilot(FRAME, unit="user", metric="session")
