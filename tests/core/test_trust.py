"""What comes from a stranger can name no code: overrides of a run folder, arguments, YAML files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ncf.core.compose import CONF
from ncf.core.trust import check_arguments, refuse_code, saved_overrides
from ncf.errors import ConfigError
from ncf.runs.components import CHOICES

Save = Callable[[str], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """save(text) -> a run folder whose .hydra/overrides.yaml is `text`."""

    def make(text: str) -> Path:
        (tmp_path / ".hydra").mkdir()
        (tmp_path / ".hydra" / "overrides.yaml").write_text(text)
        return tmp_path

    return make


def test_the_overrides_of_a_run_come_back_as_they_were(save: Save) -> None:
    lines = [
        "loss=focal", "loss.gamma=2.5", "model=neumf", "model.hidden=[8,4]", "+experiment=ablation_gamma",
        "experiment=", "~tracking", "~model.hidden", "data.archive='/data/../my set.zip'", "seed=7",
        "++trainer.note=two words",
    ]  # fmt: skip
    assert saved_overrides(save("".join(f"- {line!r}\n" for line in lines)), CHOICES) == lines


@pytest.mark.parametrize(
    "line",
    [
        "hydra.launcher._target_=os.system",
        "+hydra.callbacks.mine._target_=os.system",
        "hydra/launcher=joblib",
        "hydra=x",
        "loss=../../evil",
        "loss@model=evil",
        "+loss=/etc/evil",
        "~loss=../evil",
        "--config-dir=/evil",
        "--import=evil",
        "-cd=/evil",
        "seed",
        "",
        "loss=focal\nhydra.x=1",
    ],
)
def test_a_line_that_no_run_begins_with_is_refused_and_shown(save: Save, line: str) -> None:
    folder = save(f"- seed=1\n- {line!r}\n" if "\n" not in line else f'- "{line.encode("unicode_escape").decode()}"\n')
    with pytest.raises(ConfigError, match=r"overrides\.yaml: expected overrides of a training run, found ") as caught:
        saved_overrides(folder, CHOICES)
    assert repr(line) in str(caught.value)


@pytest.mark.parametrize("text", ["{}", "seed=1", "- 1\n", "- [seed]\n", ""])
def test_overrides_that_are_no_list_of_texts_are_refused(save: Save, text: str) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: expected a list of overrides$"):
        saved_overrides(save(text), CHOICES)


@pytest.mark.parametrize("text", ["- !!python/object/apply:os.system [touch x]\n", "- [\n", "[" * 1500, "\x00"])
def test_a_file_that_is_no_safe_yaml_is_one_line(save: Save, text: str) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: cannot be read \(") as caught:
        saved_overrides(save(text), CHOICES)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: cannot be read \(No such file or directory\)$"):
        saved_overrides(tmp_path, CHOICES)


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.yaml", "_target_: os.system\n", "_target_"),
        ("loss/a.yaml", "deep:\n- list:\n  - {_target_: os.system}\n", "_target_"),
        ("a.yaml", "hydra.callbacks.mine: 1\n", "callbacks"),
        ("a.yaml", "hydra/env_set: x\n", "env_set"),
        ("a.yaml", "hydra:\n  searchpath: [file:///evil]\n", "searchpath"),
        ("a.yaml", "hydra:\n  job_logging:\n    handlers: {}\n", "job_logging"),
        ("a.yaml", "handlers:\n  h:\n    (): os.system\n", "()"),
        ("a.yaml", "handlers:\n  h:\n    class: logging.FileHandler\n", "class"),
        ("a.yaml", "defaults:\n- mine@hydra.hydra_logging: x\n", "hydra_logging"),
        ("a.yaml", "# @package hydra.callbacks\nx: 1\n", "hydra.callbacks"),
        ("hydra/callbacks/a.yaml", "x: 1\n", "callbacks"),
        ("hydra/launcher/a.yaml", "setup: [touch x]\n", "setup"),
    ],
)
def test_a_file_that_could_make_hydra_call_something_is_refused(
    tmp_path: Path, name: str, text: str, found: str
) -> None:
    put(tmp_path, "good.yaml", "x: 1\n")
    put(tmp_path, name, text)
    with pytest.raises(ConfigError) as caught:
        refuse_code(tmp_path, exempt=tmp_path / "nothing")
    assert str(caught.value) == (f"{tmp_path / name}: expected settings, found {found!r}, which could run code")


def test_settings_choices_of_a_logging_file_and_other_files_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "experiment/a.yaml", "# @package _global_\ndefaults:\n- override /loss: focal\nseed: 1\n")
    put(
        tmp_path, "b.yaml", "defaults:\n- override hydra/job_logging: file\n- override /hydra/hydra_logging: warnings\n"
    )
    put(tmp_path, "notes.txt", "_target_: os.system\n")
    refuse_code(tmp_path, exempt=tmp_path / "nothing")


def test_only_the_exempt_folder_may_set_hydra_up(tmp_path: Path) -> None:
    put(tmp_path, "hydra/job_logging/file.yaml", "handlers:\n  h:\n    class: logging.FileHandler\n")
    refuse_code(tmp_path, exempt=tmp_path / "hydra")
    with pytest.raises(ConfigError, match="job_logging"):
        refuse_code(tmp_path, exempt=tmp_path / "hydra" / "launcher")
    refuse_code(CONF, exempt=CONF / "hydra")


def test_files_behind_links_are_read_and_circles_end(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/evil.yaml", "_target_: os.system\n")
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "circle").symlink_to(folder)
    refuse_code(folder, exempt=folder / "hydra")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="_target_"):
        refuse_code(folder, exempt=folder / "hydra")


def test_a_folder_of_a_calling_name_is_refused_though_it_was_seen_under_another(tmp_path: Path) -> None:
    put(tmp_path, "loss/a.yaml", "x: 1\n")
    (tmp_path / "env_set").symlink_to(tmp_path / "loss")
    with pytest.raises(ConfigError, match="found 'env_set'"):
        refuse_code(tmp_path, exempt=tmp_path / "hydra")


@pytest.mark.parametrize("argument", ["loss=../evil", "+model=../../evil", "~experiment=a/../../b", "++data=.."])
def test_a_choice_that_leads_out_of_conf_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"expected the name of a file in .*conf, got a path that leaves it$"):
        check_arguments([argument], CONF, CHOICES)


@pytest.mark.parametrize("spelling", ["--experimental-rerun", "--experimental-re"])
def test_a_pickle_is_refused_however_it_is_spelt(spelling: str) -> None:
    with pytest.raises(ConfigError, match=r"^--experimental-rerun: expected overrides, got a pickle"):
        check_arguments([spelling, "config.pickle"], CONF, CHOICES)


@pytest.mark.parametrize("option", ["--config-dir", "--config-path", "-cd", "-cp"])
def test_folders_of_configuration_that_are_typed_are_looked_through(tmp_path: Path, option: str) -> None:
    check_arguments([option, str(tmp_path)], CONF, CHOICES)
    put(tmp_path, "a.yaml", "_target_: os.system\n")
    with pytest.raises(ConfigError, match="_target_"):
        check_arguments([option, str(tmp_path)], CONF, CHOICES)


def test_a_file_that_has_changed_is_looked_at_anew(tmp_path: Path) -> None:
    """The keys of a file are kept by its text, for as long as the process lasts."""
    for text in ("x: 1\n", "x: 2\n"):
        put(tmp_path, "a.yaml", text)
        refuse_code(tmp_path, exempt=tmp_path / "hydra")
    for _ in range(2):  # what was refused is refused again
        put(tmp_path, "a.yaml", "_target_: os.system\n")
        with pytest.raises(ConfigError, match="_target_"):
            refuse_code(tmp_path, exempt=tmp_path / "hydra")
        put(tmp_path, "a.yaml", "x: [\n")
        with pytest.raises(ConfigError, match="cannot be read"):
            refuse_code(tmp_path, exempt=tmp_path / "hydra")


def test_what_the_user_types_is_the_users_own() -> None:
    check_arguments(["-m", "loss=focal,bce", "hydra.launcher.n_jobs=2", "data.archive=../set.zip"], CONF, CHOICES)
