"""The split that a run's settings describe."""

from pathlib import Path

import numpy as np
import pytest
from toys import compose, small

from ncf.data import DATASETS, read_split
from ncf.errors import ConfigError, DataError


def test_a_runs_settings_give_its_split(root: Path) -> None:
    split = read_split(compose(*small(root)))
    assert (split.num_users, split.num_items) == (60, 80)
    assert len(split.train) + len(split.valid) + len(split.test) == 1500
    again = read_split({"data": dict(compose(*small(root)).data), "split": {"name": "leave_one_out", "ties": "file"}})
    assert again.digest == split.digest
    assert np.array_equal(again.train.items, split.train.items)


def test_an_unknown_set_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"^data\.name: expected one of csv, ml-100k"):
        read_split({"data": {"name": "netflix"}, "split": {"name": "leave_one_out", "ties": "file"}})


def test_data_that_are_missing_are_an_error_that_names_them(tmp_path: Path) -> None:
    cfg = compose("data=csv", f"data.archive={tmp_path / 'none.csv'}", f"data.root={tmp_path}")
    with pytest.raises(DataError, match=r"data\.archive: no such file: .*none\.csv"):
        read_split(cfg)


def test_every_data_set_is_chosen_by_the_name_of_its_yaml() -> None:
    assert {"ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "csv", "synthetic"} == set(DATASETS)
