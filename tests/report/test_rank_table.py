"""Ranks of many runs in one table: what goes in comes out, ties and several positives too."""

import gzip

import numpy as np
import pandas as pd
import pytest

from ncf.errors import DataError
from ncf.report.rank_table import packed, unpacked


def two_runs() -> pd.DataFrame:
    """Users "b" with one positive and "a" with two; run y has them in another order, and a tie."""
    x = [("x", "b", 7, 3.0, 90, 1), ("x", "a", 9, 1.0, 80, 1), ("x", "a", 8, 80.0, 80, 1)]
    y = [("y", "a", 8, 13.5, 80, 2), ("y", "b", 7, 45.5, 90, 90), ("y", "a", 9, 2.0, 80, 1)]
    return pd.DataFrame([*x, *y], columns=["run", "user_id", "item_id", "rank", "candidates", "tied"])


def test_a_table_by_hand() -> None:
    table = packed(two_runs())
    assert table.to_dict("list") == {
        "user": [0, 0, 1], "candidates": [80, 80, 90], "x": ["80", "1", "3"], "y": ["13.5:2", "2", "45.5:90"],
    }  # fmt: skip


def test_what_is_packed_is_unpacked() -> None:
    table = unpacked(packed(two_runs()))
    assert table["run"].tolist() == ["x"] * 3 + ["y"] * 3
    assert table["rank"].tolist() == [80, 1, 3, 13.5, 2, 45.5]
    assert table["tied"].tolist() == [1, 1, 1, 2, 1, 90]
    assert table["user"].tolist() == [0, 0, 1] * 2
    assert table["candidates"].tolist() == [80, 80, 90] * 2


def test_columns_without_ties_may_have_been_read_as_numbers() -> None:
    table = packed(two_runs())
    table["x"] = table["x"].astype(int)
    assert unpacked(table)["rank"].tolist()[:3] == [80, 1, 3]


def test_runs_of_other_positives_or_candidates_are_refused() -> None:
    rows = two_runs()
    for other in (rows[1:], rows.assign(candidates=rows["candidates"] + (rows["run"] == "y"))):
        with pytest.raises(DataError, match="same positives and candidates"):
            packed(other)


@pytest.mark.parametrize("cell", ["nan", "x", "13:", "13:0", "0", "81", "13.5:2:3", "-1"])
def test_a_cell_that_is_no_rank_is_refused(cell: str) -> None:
    table = packed(two_runs())
    table.loc[0, "x"] = cell
    with pytest.raises(DataError, match=r"^ranks: expected"):
        unpacked(table)


def test_a_table_read_as_text_is_the_same_and_candidates_that_are_no_numbers_are_refused() -> None:
    table = packed(two_runs())
    assert unpacked(table.astype(str)).equals(unpacked(table))
    with pytest.raises(DataError, match=r"^ranks: expected"):
        unpacked(table.assign(candidates="many"))


def test_a_study_of_the_usual_size_fits_in_a_file_that_can_be_kept() -> None:
    """358 runs of 942 users, whose ranks agree as those of trained runs do, in less than 700 KB."""
    rng = np.random.default_rng(0)
    at = rng.normal(4.5, 1.3, 942)
    ranks = np.clip(np.exp(at + rng.normal(0, 0.3, (358, 942))), 1, 1300).round().astype(int)
    table = pd.DataFrame({"user": range(942), "candidates": 1300, **{f"neumf-{n}": row for n, row in enumerate(ranks)}})
    assert len(gzip.compress(table.to_csv(index=False).encode())) < 700_000
