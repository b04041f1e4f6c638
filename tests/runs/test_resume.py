"""`resume=<folder>` on the command line: the overrides that began the run, then those that are given, its folder."""

from pathlib import Path

import pytest
import yaml
from toys import compose

from ncf.errors import CheckpointError, ConfigError
from ncf.runs.artifacts import resolved
from ncf.runs.components import CHOICES
from ncf.runs.identity import resolved
from ncf.runs.resume import refuse_changes, spelt_out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["loss=focal", "seed=7", "resume=elsewhere"]))
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["seed=1"], ["resume=", "seed=1"], ["resume=null"], ["--help"]])
def test_other_command_lines_stay_as_they_are(arguments: list[str]) -> None:
    assert spelt_out(arguments, CHOICES) == arguments


def test_what_began_the_run_comes_first_so_that_what_is_given_counts(folder: Path) -> None:
    line = spelt_out([f"resume={folder}", "trainer.epochs=9"], CHOICES)
    assert line[:3] == ["loss=focal", "seed=7", "trainer.epochs=9"]
    assert f"hydra.run.dir='{folder}'" in line
    assert compose(*[o for o in line if not o.startswith("hydra")]).trainer.epochs == 9


def test_the_last_of_several_folders_counts(folder: Path) -> None:
    assert f"hydra.run.dir='{folder}'" in spelt_out(["resume=gone", f"resume={folder}"], CHOICES)


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: cannot be read \(No such file or directory\)"):
        spelt_out([f"resume={tmp_path}"], CHOICES)


def test_changes_are_refused_by_key_and_how_long_to_train_is_none() -> None:
    began = resolved(compose())
    refuse_changes(Path("run"), resolved(compose("trainer.epochs=3", "trainer.patience=2", "data.root=/other")), began)
    with pytest.raises(CheckpointError) as caught:
        refuse_changes(Path("run"), resolved(compose("loss=focal", "seed=7", "trainer.epochs=3")), began)
    assert str(caught.value) == (
        "run: cannot go on with other settings than it began with "
        "(loss.alpha: None -> 0.25; loss.gamma: None -> 2.0; loss.name: 'bce' -> 'focal'; seed: 42 -> 7)"
    )
