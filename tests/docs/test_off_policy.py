"""docs/off_policy.md: its commands and its Python run, and say what the page says."""

import re
import sys
from pathlib import Path

import pytest

from ncf.core import command_line
from ncf.off_policy.__main__ import main
from ncf.off_policy.estimators import ESTIMATORS
from ncf.off_policy.list_analysis import ESTIMATORS as OF_LISTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "off_policy.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [text.split() for language, text in BLOCKS if language == "sh"]


def test_the_first_command_shows_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    main([*COMMANDS[0][3:], f"root={ROOT / 'data'}"])
    said = capsys.readouterr().out
    for words in ("effective sample size", "largest weight", "largest share", "on policy value", "SNIPS", "DRos"):
        assert words in said


def test_the_second_is_refused_in_these_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["off_policy", *COMMANDS[1][3:], f"root={ROOT / 'data'}"])
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == 2
    quoted = next(text for language, text in BLOCKS if language == "text")
    assert capsys.readouterr().err.strip() == quoted.strip()


def test_the_python_finds_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    exec(next(text for language, text in BLOCKS if language == "python"), {})
    lines = capsys.readouterr().out.splitlines()
    value, low, high, truth = map(float, re.findall(r"\d\.\d+", lines[0]))
    assert low < truth < high
    assert low < value < high
    assert lines[1] == "better than the old policy: better"
    assert [line.split()[0] for line in lines[2:]] == ["SNIPS", "DR"]


def test_every_estimator_is_on_the_page() -> None:
    assert all(f"| `{name}` |" in PAGE for name in (*ESTIMATORS, *OF_LISTS))
