"""`python -m ncf.data data=ml-1m`: prepare a data set and print its statistics."""

import logging
from collections.abc import Sequence

from ncf.core import command_line
from ncf.core.compose import compose
from ncf.core.config import component
from ncf.data import DATASETS, SPLITS, Interactions
from ncf.data.statistics import describe, table


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
    head = f"{interactions.name}  digest {interactions.digest[:16]}"
    return f"{head}\n{table(describe(interactions, split(interactions)))}"


if __name__ == "__main__":
    command_line.run(main)
