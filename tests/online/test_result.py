"""What an analysis found: as a table and as JSON with every number."""

import json

import numpy as np
import pandas as pd

from ncf.core.formats import plain
from ncf.online import abtest

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"user": np.repeat(np.arange(300), 3), "day": np.tile(range(3), 300)})
FRAME["arm"] = np.where(FRAME["user"] % 2, "B", "A")
FRAME["clicks"] = RNG.poisson(1, 900)
FOUND = abtest(FRAME, unit="user", arm="arm", metric="clicks", time="day", looks=[3], margin=0.1, segments=["arm"])


def test_every_number_is_in_the_json() -> None:
    found = json.loads(json.dumps(FOUND.to_dict(), allow_nan=False))
    effect = found["effects"][0]
    for key in (
        "effect",
        "standard_error",
        "low",
        "high",
        "relative",
        "p",
        "p_adjusted",
        "p_equivalent",
        "finding",
        "n",
    ):
        assert effect[key] is not None
    assert effect["looks"]["bounds"]
    assert len(effect["by_day"]["daily"]) == 3
    assert found["units"] == {"A": 150, "B": 150}
    assert found["settings"]["margin"] == 0.1
    assert found["health"][0]["name"] == "sample ratio"


def test_the_table_has_a_row_a_comparison() -> None:
    table = FOUND.table()
    assert len(table) == 1
    assert table.loc[0, "effect"] == FOUND.compared[0].effect.absolute.value
    assert FOUND.control == "A"


def test_plain_values() -> None:
    assert plain({"a": (np.float64(1.5), float("inf"), np.int64(2)), 3: [None, "x"]}) == {
        "a": [1.5, None, 2],
        "3": [None, "x"],
    }
