"""From raw files to interactions and splits; `DATASETS` is the registry behind the `data` group."""

from ncf.data.delimited import delimited
from ncf.data.interactions import Interactions
from ncf.data.movielens import loader
from ncf.data.releases import RELEASES
from ncf.data.split import SPLITS, Pairs, Split
from ncf.data.synthetic import synthetic

DATASETS = {release.name: loader(release) for release in RELEASES} | {"csv": delimited, "synthetic": synthetic}

__all__ = ["DATASETS", "SPLITS", "Interactions", "Pairs", "Split"]
