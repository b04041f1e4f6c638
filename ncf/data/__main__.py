"""`python -m ncf.data data=ml-1m`: prepare a data set and print its statistics, or cut it into shards."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from ncf.core import command_line
from ncf.core.compose import compose
from ncf.core.config import component, plain
from ncf.data import DATASETS, SPLITS, Interactions, shards
from ncf.data.statistics import LEAKING, describe, table
from ncf.errors import ConfigError

_DECISIVE = ("archive", "threshold", "duplicates", "min_user_positives", "min_item_positives")
_LEAKAGE = (
    "leakage: what other users did later is known in training, as it would not be in use; split=temporal trains on "
    "nothing that is later than what it predicts"
)


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.data", __doc__)
    options.add_overrides("as for training: data=ml-1m data.threshold=3 split.ties=item_id")
    options.add_argument(
        "--shards",
        type=int,
        help="instead, write the split in so many shards for runs with trainer=distributed, which then read their own "
        "parts and not the data set: the number of processes, or a multiple (docs/scale.md)",
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.shards is None:
        print(report(options.overrides, options.config_dir))
    else:
        print(in_shards(options.overrides, options.shards, options.config_dir))


def report(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """Return the statistics of the data and split that the overrides choose. Raises NcfError for invalid ones."""
    config = compose(overrides, config_dir)
    split = component("split", SPLITS, config.split)
    interactions: Interactions = component("data", DATASETS, config.data)()
    figures = describe(interactions, split(interactions), _rows(config.data))
    lines = [f"{interactions.name}  digest {interactions.digest[:16]}", _settings(config), table(figures)]
    return "\n".join(lines + [_LEAKAGE] * bool(figures.get(LEAKING)))


def in_shards(overrides: Sequence[str], count: int, config_dir: str | None = None) -> str:
    """Make the shards of the data and split that the overrides choose, unless they are there; say where they lie.

    Raises:
        NcfError: the overrides or their number are invalid, or the disk is full.
    """
    if not 1 <= count <= shards.MOST:
        raise ConfigError(f"shards: expected 1 to {shards.MOST:,}, got {count}")
    config = compose(overrides, config_dir)
    data, split = component("data", DATASETS, config.data), component("split", SPLITS, config.split)
    settings = {"data": plain(config.data), "split": plain(config.split)}
    made = shards.prepare(shards.address(settings, data, split), count, lambda: split(data()))
    rows = f"{made.rows:,} training positives of {made.outline.num_users:,} users"
    return f"{made.outline.name}  digest {made.outline.digest[:16]}\n{count} shards of {rows} in {made.folder}"


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
