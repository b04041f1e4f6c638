"""A checkpoint, a run folder or a YAML file from a stranger executes nothing; archives are `tests/data`'s."""

import ast
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from apart import finish
from quickly import composed
from toys import compose, small

import ncf
from ncf import negatives, tune
from ncf.core import trust
from ncf.core.compose import CONF
from ncf.data import __main__ as data
from ncf.errors import CheckpointError, ConfigError, NcfError
from ncf.runs import checkpoint, resume
from ncf.runs.components import CHOICES, GROUPS
from ncf.train import train


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.proof}'",)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """A file that exists once something was executed."""
    return tmp_path / "executed"


def as_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


def as_old_torch_file(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


FORMS = {"torch file": lambda path, content: torch.save(content, path), "pickle": as_pickle, "old": as_old_torch_file}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["at the top", "inside"])
def test_a_checkpoint_that_is_a_pickle_with_code_is_refused(form: str, place: str, proof: Path, tmp_path: Path) -> None:
    bomb = Bomb(proof)
    FORMS[form](tmp_path / checkpoint.NEWEST, bomb if place == "at the top" else {"format": 1, "settings": [bomb]})
    with pytest.raises(CheckpointError, match="not a checkpoint, or damaged"):
        checkpoint.load(tmp_path)
    assert not proof.exists()
    if form == "pickle":
        pickle.loads((tmp_path / checkpoint.NEWEST).read_bytes())
        assert proof.exists()  # it is a real one


def test_prepared_data_with_a_pickle_in_it_is_built_again(proof: Path, tmp_path: Path) -> None:
    cfg = compose(*small(tmp_path))
    train(cfg, tmp_path)
    for cached in (tmp_path / "processed").glob("*.npz"):
        with zipfile.ZipFile(cached, "w") as archive, archive.open("users.npy", "w") as member:
            np.lib.format.write_array(member, np.array([Bomb(proof)], object), allow_pickle=True)
    (tmp_path / "again").mkdir()
    assert train(cfg, tmp_path / "again") is not None
    assert not proof.exists()


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A run folder as a stranger sends it: half-way, nothing wrong with it yet."""
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(small(root))))
    return folder


HOSTILE = [
    "hydra.callbacks.x._target_=os.system",
    "+hydra.callbacks={x: {_target_: os.system, command: touch PROOF}}",
    "++hydra.callbacks.x={_target_: os.system, command: touch PROOF}",
    "hydra/launcher=evil",
    "+hydra/callbacks=evil",
    "hydra.launcher._target_=os.system",
    "hydra.job.env_set.LD_PRELOAD=evil.so",
    "hydra.searchpath=[file://EVIL]",
    "hydra.job_logging.handlers.x={(): os.system, command: touch PROOF}",
    "~hydra.run",
    " hydra.run.dir=elsewhere",
    "\thydra.run.dir=elsewhere",
    "+experiment@hydra.callbacks=evil",
    "loss@hydra.callbacks.x=bce",
    "experiment=../../EVIL/evil",
    "+experiment='../../EVIL/evil'",
    "experiment=${seed}",
    "experiment=[h1,'../../EVIL/evil']",
    "loss=../EVIL/evil",
    "--config-dir=EVIL",
    "-cd=EVIL",
    "--config-path=EVIL",
    "--config-name=evil",
    "--experimental-rerun=EVIL/evil.pickle",
    "--multirun",
    "-m",
    "",
    "defaults",
    "=",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_a_run_folder_whose_overrides_reach_for_code_is_refused(line: str, folder: Path, proof: Path) -> None:
    evil = folder / "evil"
    evil.mkdir()
    text = "# @package _global_\nhydra:\n  callbacks:\n    x: {_target_: os.system, command: touch 'PROOF'}\n"
    (evil / "evil.yaml").write_text(text.replace("PROOF", str(proof)))
    line = line.replace("PROOF", str(proof)).replace("EVIL", os.path.relpath(evil, CONF.parent))
    saved = folder / ".hydra" / "overrides.yaml"
    saved.write_text(yaml.safe_dump([*yaml.safe_load(saved.read_text()), line]))
    with pytest.raises(ConfigError, match=r"overrides\.yaml: expected overrides of a training run, found"):
        resume.spelt_out([f"resume={folder}"], CHOICES)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch PROOF']",
        "- seed=1\n- !!python/object/apply:os.system ['touch PROOF']",
        "seed: 1",
        "- {seed: 1}",
        "",
        "\0",
        "- &a [*a]",
        "[" * 5000,
    ],
)
def test_a_run_folder_whose_yaml_is_no_list_of_overrides_is_refused(text: str, folder: Path, proof: Path) -> None:
    (folder / ".hydra" / "overrides.yaml").write_text(text.replace("PROOF", str(proof)))
    with pytest.raises(ConfigError, match=r"overrides\.yaml: (expected|cannot be read)") as caught:
        resume.spelt_out([f"resume={folder}"], CHOICES)
    assert "\n" not in str(caught.value)
    assert not proof.exists()


def test_what_a_folder_s_own_configuration_names_is_not_even_read(folder: Path, proof: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "hydra.yaml"):
        text = f"hydra: {{callbacks: {{x: {{_target_: os.system, command: touch '{proof}'}}}}}}\n"
        (folder / ".hydra" / name).write_text(f"{text}loss: !!python/object/apply:os.system ['touch {proof}']\n")
    assert finish([f"resume={folder}"], tmp_path / "log") == 0, (tmp_path / "log").read_text()
    assert not proof.exists()


def test_the_overrides_that_runs_begin_with_are_taken(folder: Path) -> None:
    lines = ["loss=focal", "loss.gamma=2.5", "experiment=h1", "+experiment=grid", "data=ml-100k", "~tracking", "seed=7"]
    lines += ["data.archive='/a b/c=d, e.zip'", "model.hidden=[16,8]", "++trainer.epochs=3", 'data.delimiter="\\t"']
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(lines))
    assert trust.saved_overrides(folder, (*CHOICES, "tracking")) == lines


EVIL_YAML = {
    "a callback": "# @package _global_\nhydra: {callbacks: {x: {_target_: os.system, command: touch 'PROOF'}}}",
    "a logger": "# @package _global_\nhydra: {job_logging: {handlers: {x: {(): os.system, command: touch 'PROOF'}}}}",
    "a handler": "# @package _global_\nhydra: {job_logging: {handlers: {x: {class: os.system}}}}",
    "an environment": "# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: evil.so}}}",
    "a search path": "# @package _global_\nhydra: {searchpath: ['pkg://evil']}",
    "another package": "# @package hydra.job.env_set\nLD_PRELOAD: evil.so",
    "a default": "# @package _global_\ndefaults: [{override /hydra/callbacks: evil}]",
    "a package in a default": "# @package _global_\ndefaults: [{/loss@hydra.callbacks.x: bce}]",
    "a dotted key": "# @package _global_\nhydra.callbacks.x: {command: touch 'PROOF'}",
    "logging that imports": "# @package _global_\nhydra: {job_logging: {handlers: {file: {delay: 'ext://evil.x'}}}}",
    "logging into a file": "# @package _global_\nhydra: {job_logging: {handlers: {file: {filename: .bashrc}}}}",
    "logging by a dotted key": "# @package _global_\nhydra.hydra_logging.root.level: ext://evil.x",
    "logging by a package": "# @package _global_\ndefaults: [{/loss@hydra.job_logging: bce}]",
    "a command of a Slurm job": "# @package _global_\nhydra: {launcher: {setup: ['touch PROOF']}}",
    "a component": "loss: {name: bce, _target_: os.system}",
    "a tag": "seed: !!python/object/apply:os.system ['touch PROOF']",
}


@pytest.mark.parametrize("kind", EVIL_YAML)
def test_a_yaml_file_that_names_code_is_refused_before_hydra_reads_it(
    kind: str, root: Path, proof: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "conf" / "experiment" / "evil.yaml"
    evil.parent.mkdir(parents=True)
    evil.write_text(EVIL_YAML[kind].replace("PROOF", str(proof)) + "\n")
    folder = str(evil.parents[1])
    for option in ([f"--config-dir={folder}"], ["-cd", folder], ["--config-d", folder], [f"--config-p={folder}"]):
        with pytest.raises(ConfigError, match=r"evil\.yaml: (expected settings, found|cannot be read)"):
            trust.check_arguments([*option, "experiment=evil"], tmp_path / "of the package", CHOICES)


@pytest.mark.parametrize("place", ["experiment", "hydra/job_logging"])
def test_a_yaml_file_behind_a_link_is_read_too(place: str, tmp_path: Path) -> None:
    """As a repository or an archive from a stranger may hold links; Hydra follows them."""
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload" / "evil.yaml").write_text(EVIL_YAML["a callback"] if place == "experiment" else "version: 1")
    link = tmp_path / "conf" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "payload")
    for circle in ("here", "there"):  # were each followed through the other, 2 ** 40 folders
        (tmp_path / "conf" / circle).symlink_to(tmp_path / "conf")
    with pytest.raises(ConfigError, match=r"evil\.yaml: expected settings, found "):
        trust.check_arguments([f"--config-dir={tmp_path / 'conf'}"], tmp_path / "of the package", CHOICES)


@pytest.mark.parametrize("command", [tune.main, negatives.main, data.main], ids=lambda main: main.__module__)
@pytest.mark.parametrize("kind", ["a callback", "a component", "a tag", "a search path"])
def test_the_other_commands_refuse_a_yaml_file_that_names_code_too(
    command: Callable[[list[str]], object], kind: str, root: Path, proof: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "conf" / "experiment" / "evil.yaml"
    evil.parent.mkdir(parents=True)
    evil.write_text(EVIL_YAML[kind].replace("PROOF", str(proof)) + "\n")
    own = [o for o in small(root) if not o.startswith(("model.", "device", "trainer"))]
    more = {tune.main: ["model=ease", f"folder={tmp_path}"], negatives.main: [f"output={tmp_path / 'x.npz'}"]}
    with pytest.raises(ConfigError, match=r"evil\.yaml: (expected settings, found|cannot be read)"):
        command(["--config-dir", str(tmp_path / "conf"), *own, *more.get(command, []), "+experiment=evil"])
    assert not proof.exists()


OWN_DATA = """
defaults: [synthetic]
users: 33
items: 41
interactions: 600
"""


@pytest.mark.parametrize("command", [tune.main, negatives.main, data.main], ids=lambda main: main.__module__)
def test_the_other_commands_take_a_yaml_file_of_one_s_own(
    command: Callable[[list[str]], object], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "mine.yaml").write_text(OWN_DATA)
    more, shown = {
        tune.main: (["model=ease", "trials=1", f"folder={tmp_path}"], "of 1 trials"),
        negatives.main: (["evaluation.negatives=5", f"output={tmp_path / 'x.npz'}"], "each of 66 positives"),
        data.main: ([], "33"),
    }[command]
    command([f"--config-dir={tmp_path / 'conf'}", "data=mine", f"data.root='{root}'", "evaluation.cutoffs=[10]", *more])
    assert shown in capsys.readouterr().out


def test_how_hydra_logs_may_be_picked_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("# @package _global_\ndefaults: [{override /hydra/job_logging: file}]\n")
    trust.check_arguments([f"--config-dir={tmp_path}"], CONF, CHOICES)


def test_the_command_line_refuses_it_in_one_line(arguments: list[str], proof: Path, tmp_path: Path) -> None:
    evil = tmp_path / "conf" / "experiment" / "evil.yaml"
    evil.parent.mkdir(parents=True)
    evil.write_text(EVIL_YAML["a callback"].replace("PROOF", str(proof)))
    status = finish([*arguments, f"--config-dir={evil.parents[1]}", "+experiment=evil"], tmp_path / "log")
    assert status == 2
    assert (tmp_path / "log").read_text().startswith(f"error: {evil}: expected settings, found ")
    assert not proof.exists()


@pytest.mark.parametrize(
    "arguments",
    [["experiment=../../evil"], ["+experiment=../x"], ["--experimental-rerun", "x.pickle"], ["--exp=x.pickle"]],
    ids=" ".join,
)
def test_paths_and_pickles_are_no_configuration(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        trust.check_arguments(arguments, CONF, CHOICES)


def test_our_own_configuration_passes() -> None:
    trust.check_arguments(["-c", "job"], CONF, CHOICES)
    trust.check_arguments(["loss=focal", "-m", "seed=1,2", "data.archive=../x.zip"], CONF, CHOICES)


@pytest.mark.parametrize("group", GROUPS)
def test_no_component_takes_a_target(group: str, tmp_path: Path) -> None:
    with pytest.raises(NcfError, match=rf"{group}\._target_: unknown key"):
        train(composed(f"+{group}._target_=os.system"), tmp_path)


FORBIDDEN = {
    "import pickle": "TID251",
    "pickle.load(file)": "S301",
    "torch.load('x', weights_only=False)": "TID251",
    "yaml.load('x', yaml.Loader)": "TID251",
    "yaml.unsafe_load('x')": "TID251",
    "hydra.utils.instantiate({})": "TID251",
    "hydra.utils.call({})": "TID251",
    "from hydra.utils import instantiate": "TID251",
    "pandas.read_pickle('x')": "S301",
    "marshal.loads(b'')": "S302",
    "eval('1')": "S307",
    "exec('1')": "S102",
    "torch.manual_seed(1)": "TID251",
    "numpy.random.seed(1)": "TID251",
}
IMPORTS = "import marshal, pickle, hydra, numpy, pandas, torch, yaml\n"


@pytest.mark.parametrize("name", ["ncf/new.py", "ncf/checkpoint.py", "hydra_plugins/new.py", "experiments/new.py"])
def test_lint_refuses_each_call_everywhere(name: str) -> None:
    project = Path(ncf.__file__).parents[1]
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", f"--stdin-filename={name}", "-"]
    code = IMPORTS + "\n".join(FORBIDDEN)
    found = subprocess.run(command, input=code, cwd=project, capture_output=True, text=True).stdout.splitlines()
    for line, rule in enumerate(FORBIDDEN.values(), 2):
        assert any(text.startswith(f"{name}:{line}:") and f" {rule} " in text for text in found), (line, rule, found)


def test_torch_files_are_read_in_one_place_and_as_data_only() -> None:
    """The one line that lint lets call `torch.load` unpickles nothing but tensors and primitives."""
    calls: list[tuple[str, dict[str, Any]]] = []
    project = Path(ncf.__file__).parents[1]
    for path in [*project.glob("ncf/**/*.py"), *project.glob("hydra_plugins/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                keys = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
                calls.append((f"{ast.unparse(node.func)} in {path.name}", keys))
    assert [name for name, _ in calls if name.startswith("torch")] == ["torch.load in checkpoint.py"]
    for name, keys in calls:
        assert keys.get("weights_only") is True if name.startswith("torch") else keys.get("allow_pickle") is False, name
