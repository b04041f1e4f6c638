"""Units from arrays, frames and files, and every refusal by its name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.causal.units import read_units, units
from ncf.errors import ConfigError, DataError
from ncf.stats.checks import StatisticsError

RNG = np.random.default_rng(2)
FRAME = pd.DataFrame({
    "t": np.tile([0, 1], 20), "y": RNG.normal(size=40), "a": RNG.normal(size=40), "b": RNG.normal(size=40),
    "city": np.tile(["Ulm", "Bonn", "Köln", "Ulm"], 10), "id": np.arange(40), "g": np.repeat(np.arange(10), 4),
})  # fmt: skip


@pytest.mark.parametrize("kind", ["frame", "csv", "tsv", "parquet"])
def test_a_table_is_read_from_wherever_it_lies(kind: str, tmp_path: Path) -> None:
    source: pd.DataFrame | Path = FRAME
    if kind != "frame":
        source = tmp_path / f"x.{kind}"
        if kind == "parquet":
            pytest.importorskip("pyarrow")
            FRAME.to_parquet(source)
        else:
            FRAME.to_csv(source, index=False, sep="," if kind == "csv" else "\t")
    found = read_units(source, "t", "y", ["a", "b"], categories=["city"], cluster="g", unit="id")
    assert found.names == ("a", "b", "city=Köln", "city=Ulm")
    np.testing.assert_allclose(found.confounders[:, :2], FRAME[["a", "b"]])
    np.testing.assert_array_equal(found.confounders[:, 3], FRAME["city"] == "Ulm")
    assert found.clusters is not None
    assert len(found) == 40
    assert found.treated.sum() == 20


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, {"confounders": ["a", "c"]}, DataError, "expected a column 'c'"),
        ({}, {"confounders": ["a", "t"]}, ConfigError, "t: expected each column in one role, found it in 2"),
        ({}, {"confounders": []}, ConfigError, "confounders: expected at least one column"),
        ({"a": ["x"] * 40}, {}, DataError, "row 1: expected a as a number, found 'x'; .* categories=a"),
        ({"t": [0, 1, 2, 1] * 10}, {}, DataError, "row 3: expected t as 0 or 1, found 2"),
        ({"t": [1] * 40}, {}, StatisticsError, "expected at least 2 treated and 2 untreated units, got 40 and 0"),
        ({"a": [None, *range(39)]}, {}, DataError, "found 1 of a in 40 rows"),
        ({"a": [3.0] * 40}, {}, StatisticsError, "a: expected a confounder that varies, found 3"),
        ({"a": 2 * FRAME["b"]}, {"confounders": ["b", "a"]}, StatisticsError, "a: .* linear combination of b"),
        ({"id": [0, *range(39)]}, {"unit": "id"}, DataError, "row 2: expected each id once, found 0 again"),
        ({"city": "Ulm"}, {"categories": ["city"]}, DataError, "city: expected a category of 2 to 100 levels, found 1"),
        ({"y": [float("inf"), *range(39)]}, {}, DataError, "row 1: expected y as a finite number"),
    ],
)
def test_refusals_name_what_is_wrong(change: dict, arguments: dict, error: type[Exception], message: str) -> None:
    options = {"treatment": "t", "outcome": "y", "confounders": ["a", "b"]} | arguments
    with pytest.raises(error, match=message):
        read_units(FRAME.assign(**change), **options)


def test_arrays_are_checked_too() -> None:
    d, y, x = FRAME["t"], FRAME["y"], FRAME[["a", "b"]]
    assert units(d, y, x).names == ("a", "b")
    assert units(d, y, x.to_numpy()).names == ("x1", "x2")
    assert units(d, y, x.to_numpy()[:, 0]).confounders.shape == (40, 1)
    assert units(d, y, np.empty((40, 0))).names == ()
    with pytest.raises(StatisticsError, match="got 40, 39, 40"):
        units(d, y[1:], x)
    with pytest.raises(StatisticsError, match=r"0 or 1, got 0\.5 at position 1"):
        units(d / 2, y, x)
    with pytest.raises(StatisticsError, match="names: expected 2"):
        units(d, y, x, ["a"])


def test_what_does_not_vary_can_be_left_out() -> None:
    found = units(FRAME["t"], FRAME["y"], FRAME[["a", "b"]])
    same = found.confounders.copy()
    same[:, 0] = 1
    left, gone = type(found)(found.treatment, found.outcome, same, found.names).varying()
    assert (left.names, gone) == (("b",), ("a",))
