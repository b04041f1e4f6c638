"""The record of a run is the one that Hydra makes."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ncf.core.trust import saved_overrides
from ncf.errors import FileError
from ncf.launch.run_folder import record
from ncf.runs.components import CHOICES


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
