"""docs/tutorial.md and docs/api.md as a newcomer follows them, on a small data set and in one process."""

import contextlib
import importlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest
from toys import small

from ncf.launch import hydra_app

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
TUTORIAL, API = ((DOCS / f"{name}.md").read_text() for name in ("tutorial", "api"))


@pytest.fixture(scope="module")
def world(root):
    """Overrides that make each run last a moment; users 22 and 196, items 50 and 181 are there."""
    sizes = ("data.users=200", "data.items=200", "data.interactions=4000", "trainer.epochs=1")
    return [o for o in small(root, *sizes) if not o.startswith("model.")]


def follow(line: str, world: list[str]) -> str:
    """What the command says; a run is of the small world, and a sweep in this process."""
    python, *arguments = line.replace("hydra/launcher=stacked", "hydra/launcher=basic").split()
    assert python == "python"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if arguments[0] != "-m":
            runpy.run_path(arguments[0])
        elif arguments[1] == "ncf.train":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [*arguments[1:], *world])
                hydra_app.run(importlib.import_module("ncf.train").main)
        else:
            importlib.import_module(arguments[1]).main(arguments[2:])
    return said.getvalue()


@pytest.fixture(scope="module")
def followed(tmp_path_factory, world):
    """The tutorial followed to its end in this folder: what each command said."""
    folder = tmp_path_factory.mktemp("tutorial")
    said = {}
    with contextlib.chdir(folder):
        for language, text in BLOCK.findall(TUTORIAL):
            if language == "python":
                Path(text.splitlines()[0].removeprefix("# ")).write_text(text)
            else:
                said |= {line: follow(line, world) for line in text.strip().splitlines()}
        yield said


@pytest.mark.slow
def test_the_tutorial_ends_in_a_verdict(followed):
    assert len(list(Path("outputs/sweeps/tutorial").glob("*/result.json"))) == 20
    assert re.search(r"^10 seeds: BCE 0\.\d{4}, focal 0\.\d{4}$", followed["python verdict.py"], re.MULTILINE)
    assert "20 of 20 done" in followed["python -m ncf.status outputs/sweeps/tutorial"]


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_the_api_page_runs(world):
    code = "\n".join(text for _, text in BLOCK.findall(API))
    asked = 'compose(["model=ease", "model.l2=200.0"])'
    assert code.count(asked) == 1
    here: dict = {}
    exec(code.replace(asked, f'compose(["model=ease", "model.l2=200.0", *{world!r}])'), here)
    assert here["result"]["test"].keys() == here["run"].result["test"].keys()
    assert Path("outputs/api/result.json").exists()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
