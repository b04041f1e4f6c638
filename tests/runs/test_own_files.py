"""A run's folder is the run's own: no link leads what is written elsewhere, and no pipe stalls it."""

import os
from pathlib import Path

import pytest

from ncf.errors import CheckpointError
from ncf.runs.own_files import _WRITTEN, outward_links, refuse_strange_files
from ncf.runs.state import claim

WRITTEN = ["train.log", ".lock", "metrics.jsonl", "result.json", "failure.json", ".hydra", ".hydra/config.yaml"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mine")  # also while there is nothing
    with pytest.raises(CheckpointError, match=rf"^{link}: expected a file of the run, found a link to {tmp_path}/mine"):
        refuse_strange_files(tmp_path / "run")


def test_other_links_are_nobodys_business(tmp_path: Path) -> None:
    """From one file to another, and to the folder itself, which may lie on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    (tmp_path / "run" / "best.pt").symlink_to("checkpoint.pt")
    refuse_strange_files(tmp_path / "run")
    refuse_strange_files(tmp_path / "none")
    assert list(outward_links(tmp_path / "run")) == []


@pytest.mark.parametrize("name", _WRITTEN)
@pytest.mark.parametrize("kind", ["fifo", "folder", "circle", "device"])
def test_what_is_no_file_in_the_place_of_one_is_refused_before_the_lock_is_taken(
    name: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    make = {
        "fifo": lambda: os.mkfifo(path), "folder": path.mkdir, "circle": lambda: path.symlink_to(name),
        "device": lambda: path.symlink_to("/dev/zero"),
    }  # fmt: skip
    make[kind]()
    with (
        pytest.raises(CheckpointError, match=rf"^{path}: expected a (regular )?file of the run, found "),
        claim(tmp_path),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
