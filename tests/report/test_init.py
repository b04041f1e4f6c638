"""What holds of the whole room: it knows no study, and only it needs the extra that draws."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ncf

ROOM = Path(ncf.__file__).parent


def test_the_library_points_at_nothing_under_experiments() -> None:
    files = [path for path in ROOM.rglob("*") if path.suffix in (".py", ".j2") and "conf" not in path.parts]
    assert len(files) > 100
    named = re.compile(r"experiments[/.]\w+[/.]|(from|import) experiments")
    assert [str(path) for path in files if named.search(path.read_text("utf-8"))] == []


def test_the_words_of_one_study_are_not_in_the_report_of_any() -> None:
    said = "".join(path.read_text("utf-8") for path in (ROOM / "report").rglob("*") if path.suffix in (".py", ".j2"))
    assert [
        word for word in ("NeuMF", "clamped logits", "focal loss", "make sweep", "make report") if word in said
    ] == []


@pytest.mark.slow
def test_nothing_but_the_report_needs_the_extra() -> None:
    code = """
import sys
sys.modules["matplotlib"] = sys.modules["jinja2"] = None
import ncf, ncf.train, ncf.report.__main__ as command
from ncf.errors import ConfigError
try:
    command.main(["--registration", "r.yaml", "--sweep", "."])
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    expected = "report: matplotlib is not installed; pip install 'ncf[report]' brings it"
    assert done.stdout.strip() == expected, done.stderr
