"""The folder of a run, before the run is in it: where its files lead, and the record of what it was started with."""

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, read_write

from ncf.core.files import write_text, writing
from ncf.errors import CheckpointError

CONFIGURATION = ".hydra"


def refuse_links(folder: Path) -> None:
    """Raise CheckpointError if a link in `folder` leads out of it: whoever made it chose what the run would write to.

    Call this before anything in the folder is opened, its lock included.
    """
    for link in outward_links(folder):
        raise CheckpointError(
            f"{link}: expected a file of the run, found a link to {os.path.realpath(link)}, outside its folder; "
            "delete the link, or copy to its place what it leads to"
        )


def outward_links(folder: Path) -> Iterator[Path]:
    """Yield the links anywhere in `folder` that lead out of it; the folder itself may be reached by a link."""
    inside = folder.resolve()
    for name, folders, files in os.walk(folder):
        for path in (Path(name, entry) for entry in sorted([*folders, *files])):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                yield path


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
