"""The rule of the rooms, which `make lint` holds: each breach, planted in a copy, makes the linter fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the linter reads."""
    for part in ("ncf", "hydra_plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` in the folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_rooms_are_in_order(copy):
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("ncf/stray.py", "x = 1", id="a file that is no command and in no room"),
        pytest.param("ncf/core/files.py", "import ncf.data.split", id="an import upwards"),
        pytest.param("ncf/models/gmf.py", "def late() -> None:\n    import ncf.runs.job", id="an import upwards, late"),
        pytest.param("ncf/models/gmf.py", "import ncf.losses", id="an import of a room beside"),
        pytest.param("ncf/launch/worker.py", "import ncf.train", id="a room that imports a command"),
        pytest.param("ncf/tune.py", "import ncf.train", id="a command that imports a command"),
        pytest.param("ncf/report/study.py", "import ncf.data.__main__", id="a room that imports a package's command"),
        pytest.param("ncf/launch/sweep.py", "import hydra_plugins.ncf_sweeper", id="a room that imports a plugin"),
        pytest.param("ncf/training/trainer.py", "import ncf.training.fast.stack", id="the trainer knows a fast path"),
        pytest.param("ncf/runs/job.py", "import ncf.training.fast.adam", id="a run knows a fast path"),
    ],
)
def test_a_breach_fails(copy, path, text):
    with (copy / path).open("a") as file:
        file.write(f"\n{text}\n")
    done = lint(copy)
    assert done.returncode == 1
    assert "1 broken" in done.stdout
