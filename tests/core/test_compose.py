"""The configuration of a run, composed from conf/ and the overrides."""

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from ncf.core.compose import CONF, compose, configuration
from ncf.errors import ConfigError
from ncf.runs.components import GROUPS


def test_conf_holds_the_root_and_a_folder_for_each_group() -> None:
    assert (CONF / "train.yaml").is_file()
    assert all((CONF / group).is_dir() for group in GROUPS)


def test_overrides_choose_groups_and_set_keys() -> None:
    cfg = compose(["model=ease", "model.l2=200.0", "seed=7"])
    assert dict(cfg.model) == {"name": "ease", "l2": 200.0, "decay": "positions", "half_life": None}
    assert cfg.seed == 7
    assert compose([]).seed == 42


def test_hydra_is_left_as_it_was_found() -> None:
    assert not GlobalHydra.instance().is_initialized()
    compose([])
    assert not GlobalHydra.instance().is_initialized()
    with configuration(), configuration():  # the inner one finds Hydra at work, and leaves it so
        compose(["seed=1"])
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("model=netflix", "model: expected one of als, cease, "),
        ("model.layers=3", "model.layers: unknown key, expected one of "),
        ("seed", "Error parsing override 'seed'"),
        ("model=[", "at input"),
        ("${", "${"),
    ],
)
def test_overrides_that_do_not_compose_are_one_line(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_the_users_own_is_searched_beside_conf(tmp_path: Path) -> None:
    folder = tmp_path / "my, conf = files"
    (folder / "loss").mkdir(parents=True)
    (folder / "loss" / "mine.yaml").write_text("name: focal\ngamma: 1.0\nalpha: 0.5\n")
    assert compose(["loss=mine"], str(folder)).loss.gamma == 1.0
    assert compose(["loss=focal"], str(folder)).loss.gamma == 2.0
    with pytest.raises(ConfigError, match=r"^loss: expected one of .*, got 'mine'"):
        compose(["loss=mine"])


def test_a_folder_that_is_not_there_and_a_file_that_names_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--config-dir: expected a folder, got '.*nowhere'$"):
        compose([], str(tmp_path / "nowhere"))
    (tmp_path / "bad.yaml").write_text("hydra:\n  callbacks:\n    mine:\n      _target_: os.system\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml: expected settings, found 'callbacks', which could run code"):
        compose([], str(tmp_path))


@pytest.mark.parametrize("name", ["it's", "a, b", "[x]"])
def test_a_folder_of_configuration_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "loss"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: bce\n")
    assert compose(["loss=mine"], str(tmp_path / name)).loss.name == "bce"
