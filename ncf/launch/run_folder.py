"""The record of what a run was started with, `.hydra/`."""

import copy
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, read_write

from ncf.core.files import write_text, writing

CONFIGURATION = ".hydra"


def record(folder: Path, cfg: DictConfig, overrides: Sequence[str], own: DictConfig | None = None) -> None:
    """Write `.hydra/` as Hydra does, which would write it before anyone knows whether the folder is free for the run.

    Args:
        cfg: the run's configuration.
        overrides: what the run was started with; `resume=` starts it with the same.
        own: Hydra's own configuration, if it is known.

    Raises:
        FileError: the folder cannot be written to.
    """
    with writing(folder / CONFIGURATION):
        (folder / CONFIGURATION).mkdir(exist_ok=True)
    contents = {"config": cfg, "hydra": _as_if_written_by_hydra(own), "overrides": OmegaConf.create(list(overrides))}
    for name, content in contents.items():
        if content is not None:
            write_text(folder / CONFIGURATION / f"{name}.yaml", OmegaConf.to_yaml(content))


def _as_if_written_by_hydra(own: DictConfig | None) -> DictConfig | None:
    """Return a copy with the name of the folder, which is null for Hydra not to write it."""
    if own is not None:
        own = copy.deepcopy(own)
        with read_write(own.hydra):
            own.hydra.output_subdir = CONFIGURATION
    return own
