"""`python -m ncf.data data=ml-1m`: prepare a data set and print its statistics."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from ncf.core import command_line
from ncf.core.compose import compose
from ncf.core.config import component, plain
from ncf.data import DATASETS, SPLITS, Interactions
from ncf.data.statistics import LEAKING, describe, table

_DECISIVE = ("archive", "threshold", "duplicates", "min_user_positives", "min_item_positives")
_LEAKAGE = (
    "leakage: what other users did later is known in training, as it would not be in use; split=temporal trains on "
    "nothing that is later than what it predicts"
)


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.data", __doc__)
    options.add_overrides("as for training: data=ml-1m data.threshold=3 split.ties=item_id")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(report(options.overrides, options.config_dir))


def report(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """Return the statistics of the data and split that the overrides choose. Raises NcfError for invalid ones."""
    config = compose(overrides, config_dir)
    split = component("split", SPLITS, config.split)
    interactions: Interactions = component("data", DATASETS, config.data)()
    figures = describe(interactions, split(interactions), _rows(config.data))
    lines = [f"{interactions.name}  digest {interactions.digest[:16]}", _settings(config), table(figures)]
    return "\n".join(lines + [_LEAKAGE] * bool(figures.get(LEAKING)))


def _settings(config: DictConfig) -> str:
    """Return the settings that decide the figures, as they are typed."""
    data = plain(config.data)
    shown = {f"data.{key}": data[key] for key in _DECISIVE if data.get(key) is not None or key == "threshold" in data}
    split = {"split" if key == "name" else f"split.{key}": value for key, value in plain(config.split).items()}
    return "of " + " ".join(f"{key}={'null' if value is None else value}" for key, value in {**shown, **split}.items())


def _rows(data: DictConfig) -> str:
    """Return what a row of the data is."""
    return "ratings" if "threshold" in data and data.get("rating", "") is not None else "interactions"


if __name__ == "__main__":
    command_line.run(main)
