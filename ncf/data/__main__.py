"""`python -m ncf.data data=ml-1m`: prepare a data set and print its statistics."""

import argparse
import logging
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ncf.config import component
from ncf.data import DATASETS, SPLITS, Interactions
from ncf.data.statistics import describe, table
from ncf.errors import NcfError

_CONF = Path(__file__).parents[2] / "conf"


def main(arguments: list[str] | None = None) -> int:
    """Prepare what the overrides ask for; the exit status is 2 for anything that the user can put right."""
    parser = argparse.ArgumentParser(prog="python -m ncf.data", description="Prepare a data set, print its statistics.")
    parser.add_argument("overrides", nargs="*", help="as for training: data=ml-1m data.threshold=3 split.ties=item_id")
    overrides = parser.parse_args(arguments).overrides
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        print(report(overrides))
    except NcfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (HydraException, OmegaConfBaseException) as error:  # long texts about how Hydra searched
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def report(overrides: list[str], conf: Path = _CONF) -> str:
    """The statistics of the data and split that the overrides choose, as text.

    Raises:
        NcfError, HydraException: as whatever is wrong with the overrides or the data.
    """
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("train", overrides)
    load = component("data", DATASETS, config.data)
    split = component("split", SPLITS, config.split)
    interactions: Interactions = load()
    head = f"{interactions.name}  digest {interactions.digest[:16]}"
    return f"{head}\n{table(describe(interactions, split(interactions)))}"


if __name__ == "__main__":
    sys.exit(main())
