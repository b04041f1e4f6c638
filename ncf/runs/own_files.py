"""A run folder holds only what the run itself writes: whoever made anything else could choose what is overwritten."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ncf.errors import CheckpointError

_WRITTEN = (
    "result.json", "ranks.csv", "metrics.jsonl", "dynamics.jsonl", "failure.json", "train.log", ".lock",
    "wandb_id.txt",
    "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.damaged.pt", "periods.csv",
    "feedback.csv", "simulate.log", "estimates.csv", "index_faiss_hnsw.npz", "index_faiss_ivf.npz",
)  # fmt: skip


def refuse_strange_files(folder: Path) -> None:
    """Raise CheckpointError if a link in `folder` leads out of it, or what is in a file's place is none.

    Call this before anything in the folder is opened, its lock included.
    """
    for path in outward_links(folder):
        raise CheckpointError(
            f"{path}: expected a file of the run, found a link to {os.path.realpath(path)}, outside its folder; "
            "delete the link, or copy to its place what it leads to"
        )
    for path in _irregular(folder):
        raise CheckpointError(f"{path}: expected a regular file of the run, found something else; move it away")


def outward_links(folder: Path) -> Iterator[Path]:
    """Yield the links anywhere in `folder` that lead out of it; the folder itself may be reached by a link."""
    inside = Path(os.path.realpath(folder))
    for name, folders, files in os.walk(folder):
        for path in (Path(name, entry) for entry in sorted([*folders, *files])):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                yield path


def _irregular(folder: Path) -> Iterator[Path]:
    """Yield what is no regular file, nor a link to one, under the name of a file that a run writes."""
    for path in (folder / name for name in _WRITTEN):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError:  # a link in a circle
            yield path
        else:
            if not stat.S_ISREG(mode):
                yield path
