"""An analysis as lines for a terminal."""

import numpy as np
import pandas as pd

from ncf.online import abtest
from ncf.online.sample_size import design
from ncf.online.summary import designed, summary


def test_every_part_is_there() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": np.repeat(np.arange(300), 3), "day": np.tile(range(3), 300)})
    frame["arm"] = np.where(frame["user"] % 2, "B", "A")
    frame["half"] = frame["user"] // 150
    frame["clicks"] = rng.poisson(1, 900)
    text = summary(abtest(frame, unit="user", arm="arm", metric="clicks", time="day", looks=[3], segments=["half"]))
    for part in ("health\n", "effects against A", "looks at clicks, B", "segments", "warning:"):
        assert part in text


def test_a_design() -> None:
    text = designed(design(baseline=0.1, relative=0.1, per_day=1000, looks=5))
    assert "units in each arm" in text
    assert "days" in text
    assert "looks" in text
    assert "days" not in designed(design(baseline=0.1, relative=0.1))
