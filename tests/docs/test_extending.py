"""docs/extending.md, applied to an empty folder beside an installed wheel, and run there."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from functools import partial
from pathlib import Path

import pytest
from apart import finish
from toys import small

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PAGE = (ROOT / "docs/extending.md").read_text()
OWN = ("--import", "my_parts", "--config-dir", "my_conf")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with what it depends on taken from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A path in a .pth file brings the packages there, but not their own .pth files: not the checkout.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/python"


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, in a folder of their own."""
    folder = tmp_path_factory.mktemp("own")
    for language, text in BLOCK.findall(PAGE):
        if language in ("python", "yaml"):
            # Pasted whole, as a reader would: Hydra sees `@package` only where nothing stands before it.
            head = next(line for line in text.splitlines() if not line.startswith("# @"))
            name, _, continued = head.removeprefix("# ").partition(", ")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("a" if continued else "w") as file:
                file.write(text)
    return folder


def run(installed: Path, own: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python of the environment with these arguments, in the folder of one's own files."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "NCF_IMPORT")}
    return subprocess.run(
        [str(installed), *arguments], cwd=own, env=env, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_installed_package_is_not_the_checkout(installed, own):
    done = run(installed, own, "-c", "import ncf; print(ncf.__file__)")
    assert str(ROOT / "ncf") not in done.stdout
    assert "site-packages" in done.stdout


COMMANDS = [text.strip() for language, text in BLOCK.findall(PAGE) if language == "sh"]


@pytest.mark.parametrize("line", [COMMANDS[0], *(pytest.param(line, marks=pytest.mark.slow) for line in COMMANDS[1:])])
def test_the_commands_of_the_page_run(installed, own, root, tmp_path, line):
    python, *arguments = line.split()
    assert python == "python"
    world = [o for o in small(root) if not o.startswith("model.")]
    done = run(installed, own, *arguments, *world, f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("result.json"))


def test_the_refusal_that_the_page_quotes(own, tmp_path):
    line, log = [*OWN, "loss=hinge", "loss.margin=0.0"], tmp_path / "log"
    assert finish(line, log, partial(os.chdir, own), partial(sys.path.insert, 0, str(own))) == 2
    assert f"`{log.read_text().strip()}`" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "stacked"])
def test_the_workers_of_a_sweep_know_the_components_too(installed, own, root, tmp_path, launcher):
    world = [o for o in small(root) if not o.startswith("model.")]
    sweep = ["-m", "loss=hinge", "loss.margin=0.5,1.0", "model=gmf", f"hydra.sweep.dir={tmp_path}"]
    launched = [f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=1"]
    done = run(installed, own, "-m", "ncf.train", *OWN, *sweep, *launched, *world)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*/result.json"))) == 2


@pytest.mark.slow
def test_no_yaml_file_can_import_a_module(installed, own, tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss/evil.yaml").write_text("name: bce\n_target_: my_parts.Hinge\n")
    done = run(installed, own, "-m", "ncf.train", "--config-dir", str(tmp_path), "loss=evil")
    assert done.returncode == 2
    assert "which could run code" in done.stderr


@pytest.mark.slow
def test_every_command_runs_from_an_installed_wheel(installed, own, root, tmp_path):
    world = [o for o in small(root) if not o.startswith("model.")]
    folder = tmp_path / "run"
    assert run(installed, own, "-m", "ncf.train", "model=gmf", *world, f"hydra.run.dir={folder}").returncode == 0
    for line in (
        f"ncf.recommend run={folder} user=0 k=3",
        f"ncf.beyond run={folder}",
        f"ncf.compare {folder} {folder}",
        f"ncf.export run={folder} output={tmp_path}/vectors forms=npy",
        f"ncf.data {' '.join(world[:4])} data.root={root}",
        "ncf.report --help",
        "ncf.tune --help",
        "ncf.negatives --help",
    ):
        done = run(installed, own, "-m", *line.split())
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert run(installed, own, "-m", "ncf.status").returncode == 2  # no sweep in this folder
