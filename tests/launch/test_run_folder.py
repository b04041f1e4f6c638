"""A run's folder is the run's own: no link leads what is written elsewhere, and its record is the one Hydra makes."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ncf.core.trust import saved_overrides
from ncf.errors import CheckpointError, FileError
from ncf.launch.run_folder import outward_links, record, refuse_links
from ncf.runs.components import CHOICES

WRITTEN = ["train.log", ".lock", "metrics.jsonl", "result.json", "failure.json", ".hydra", ".hydra/config.yaml"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mine")  # also while there is nothing
    with pytest.raises(CheckpointError, match=rf"^{link}: expected a file of the run, found a link to {tmp_path}/mine"):
        refuse_links(tmp_path / "run")


def test_other_links_are_nobodys_business(tmp_path: Path) -> None:
    """From one file to another, and to the folder itself, which may lie on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    (tmp_path / "run" / "best.pt").symlink_to("checkpoint.pt")
    refuse_links(tmp_path / "run")
    refuse_links(tmp_path / "none")
    assert list(outward_links(tmp_path / "run")) == []


def test_the_record_is_what_resume_reads(tmp_path: Path) -> None:
    own = OmegaConf.create({"hydra": {"output_subdir": None, "job": {"name": "train"}}})
    OmegaConf.set_readonly(own.hydra, True)
    record(tmp_path, OmegaConf.create({"seed": 7}), ["loss=focal", "seed=7"], own)
    assert saved_overrides(tmp_path, CHOICES) == ["loss=focal", "seed=7"]
    texts = {path.name: path.read_text() for path in (tmp_path / ".hydra").iterdir()}
    assert texts == {
        "config.yaml": "seed: 7\n",
        "hydra.yaml": "hydra:\n  output_subdir: .hydra\n  job:\n    name: train\n",
        "overrides.yaml": "- loss=focal\n- seed=7\n",
    }
    assert own.hydra.output_subdir is None


def test_a_record_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".hydra").write_text("a file in its place")
    with pytest.raises(FileError, match=r"/\.hydra: cannot write \(File exists\)$"):
        record(tmp_path, OmegaConf.create({}), [])
