"""docs/causal.md as a reader follows it: every block runs, in order, and says what the page says."""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/causal.md").read_text()
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block prints."""
    said, names = [], {}  # type: ignore[var-annotated]
    with contextlib.chdir(tmp_path_factory.mktemp("causal")):
        for language, text in BLOCK.findall(PAGE):
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                if language == "python":
                    exec(text, names)
                else:
                    for line in text.strip().splitlines():
                        _, _, command, *arguments = shlex.split(line, comments=True)
                        importlib.import_module(command).main(arguments)
            said.append(output.getvalue())
    return said


@pytest.mark.slow
def test_the_page_runs_and_its_figures_are_what_comes_out(followed: list[str]) -> None:
    assert "black, hisp: the same in all units that trimming kept" in followed[1]
    lines = followed[1].partition("\neffect\n")[2].partition("\n\n")[0].splitlines()[1:]
    rows = {cells[0]: cells for line in lines if len(cells := re.split(r"  +", line)) > 5}
    found = [float(rows[name][3]) for name in ("naive", "standardise", "ipw", "match", "aipw", "dml")]
    assert round(found[0]) == -8498
    assert (round(min(found[1:])), round(max(found[1:]))) == (1640, 2102)
    assert "20.94" in followed[3]
    assert all(figure in followed[2] for figure in ("2074.0", "1357.3", "1756.4"))
