"""The recipes of docs/extending.md, applied to a copy of the package and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toys import small

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PAGE = (ROOT / "docs/extending.md").read_text()


def apply_diff(text: str, root: Path) -> None:
    """Replace the lines of context and `-` by those of context and `+`, which must occur exactly once."""
    head, *lines = text.splitlines()
    path = root / head.removeprefix("--- ")
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
    source = path.read_text()
    assert source.count(old) == 1, f"{path.name} does not hold these lines once:\n{old}"
    path.write_text(source.replace(old, new))


def apply_file(text: str, root: Path) -> None:
    """Write the file that the first line names, or put the rest above the line that it names."""
    head, body = text.split("\n", 1)
    name, _, anchor = head.removeprefix("# ").partition(", above ")
    path = root / name
    if not anchor:
        path.write_text(body)
        return
    before, after = path.read_text().split(f"\n{anchor}", 1)
    path.write_text(f"{before}\n{body}\n\n{anchor}{after}")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with every recipe applied."""
    root = tmp_path_factory.mktemp("extended")
    for part in ("ncf", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for language, text in BLOCK.findall(PAGE):
        if language == "diff":
            apply_diff(text, root)
        elif language in ("python", "yaml"):
            apply_file(text, root)
    return root


@pytest.mark.parametrize("line", [text.strip() for language, text in BLOCK.findall(PAGE) if language == "sh"])
def test_the_commands_of_the_page_run(extended, root, tmp_path, line):
    python, *arguments = line.split()
    assert python == "python"
    world = [o for o in small(root) if not o.startswith("model.")]
    folders = [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    done = subprocess.run(
        [sys.executable, *arguments, *world, *folders], cwd=extended, env=os.environ | {"PYTHONPATH": str(extended)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("result.json"))


def test_the_refusal_that_the_page_quotes(extended, root):
    done = subprocess.run(
        [sys.executable, "-m", "ncf.train", "loss=hinge", "loss.margin=0.0"], cwd=extended,
        env=os.environ | {"PYTHONPATH": str(extended)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"`{done.stderr.strip()}`" in PAGE
