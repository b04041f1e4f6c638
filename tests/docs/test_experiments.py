"""docs/experiments.md as an analyst follows it: every block runs, in its order, in one folder."""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/experiments.md").read_text()
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """What each command said; the page's Python shares one set of names."""
    said, names = {}, {}
    with contextlib.chdir(tmp_path_factory.mktemp("experiments")):
        for language, text in BLOCK.findall(PAGE):
            if language == "python":
                exec(text, names)
                continue
            for line in text.strip().splitlines():
                python, dash, module, *arguments = shlex.split(line)
                assert (python, dash) == ("python", "-m")
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    importlib.import_module(module).main(arguments)
                said[line] = out.getvalue()
        yield said, names


@pytest.mark.slow
def test_the_designs_are_those_of_the_page(followed):
    first = next(text for line, text in followed[0].items() if "effect=0.01" in line)
    assert "29,502" in first
    assert re.search(r"days +15\n", first)


def test_the_plan_is_followed(followed):
    text = next(text for line, text in followed[0].items() if "segments=country" in line)
    assert "looks at clicks, new" in text
    assert "plan: SHA-256" in text
    assert Path("report/report.html").exists()


def test_python_finds_the_same(followed):
    said, names = followed
    assert [one.metric for one in names["found"].compared] == ["clicks", "clicks/sessions"]
    assert "P(better)" in next(text for line, text in said.items() if "metric=bought" in line)
