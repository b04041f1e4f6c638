"""Rows of experiments: kept as they come, replaced by their keys, the same bytes for the same rows."""

from pathlib import Path

import pytest

from experiments.rows import Rows


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_rows_are_kept_in_the_order_of_their_keys_and_replaced_by_them(tmp_path: Path, name: str) -> None:
    rows = Rows(tmp_path / name, ["arm", "seed"])
    assert not rows.has(arm="a", seed=1)
    rows.add([{"arm": "b", "seed": 1, "value": 0.5}])
    rows.add([{"arm": "a", "seed": 1, "value": 0.25}, {"arm": "a", "seed": 0, "value": 1.0}])
    rows.add([{"arm": "b", "seed": 1, "value": 0.75}])
    assert rows.table().to_dict("list") == {"arm": ["a", "a", "b"], "seed": [0, 1, 1], "value": [1.0, 0.25, 0.75]}
    assert rows.has(arm="a", seed=1)
    assert rows.has(arm="b", value=0.75)
    assert not rows.has(arm="b", seed=2)
    before = rows.path.read_bytes()
    rows.add([{"arm": "a", "seed": 1, "value": 0.25}])
    assert rows.path.read_bytes() == before
