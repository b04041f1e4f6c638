"""Data, from raw files to interactions and splits; `DATASETS` is the registry of the `data` config group.

In the order of the data: `sources` finds the files, `table` parses lines, `ratings` checks rows, `interactions` selects
the positives, and `splitting` divides them into a `split`.
"""

from collections.abc import Mapping
from typing import Any

from ncf.core.config import component
from ncf.core.registry import Registry
from ncf.data.batch import Batch
from ncf.data.delimited import delimited
from ncf.data.interactions import Interactions
from ncf.data.movielens import loader
from ncf.data.releases import RELEASES
from ncf.data.split import Pairs, Split
from ncf.data.splitting import SPLITS
from ncf.data.synthetic import synthetic

DATASETS = Registry(
    "data", {release.name: loader(release) for release in RELEASES} | {"csv": delimited, "synthetic": synthetic}
)


def read_split(settings: Mapping[str, Any]) -> Split:
    """Load the data set that a run's settings describe, and split it.

    Raises:
        ConfigError: the settings are invalid.
        DataError: the data is missing or damaged.
    """
    load = component("data", DATASETS, settings["data"])
    split: Split = component("split", SPLITS, settings["split"])(load())
    return split


__all__ = ["DATASETS", "SPLITS", "Batch", "Interactions", "Pairs", "Split", "read_split"]
