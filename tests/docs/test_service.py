"""docs/service.md: its design of one's own, and its commands, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ncf.core.compose import CONF
from ncf.service import DESIGNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/service.md").read_text()


@pytest.mark.slow
def test_a_design_of_one_s_own_is_one_file_and_one_yaml(tmp_path: Path) -> None:
    code = re.search(r"```python\n# my_design.py.*?\n(.*?)```", PAGE, re.DOTALL)
    command = next(line for line in PAGE.splitlines() if "--import my_design" in line)
    assert code is not None
    (tmp_path / "my_design.py").write_text(code[1])
    (tmp_path / "my_conf/design").mkdir(parents=True)
    (tmp_path / "my_conf/design/even_numbers.yaml").write_text("even_numbers: {}\n")
    small = ["world.users=60", "world.regions=5", "days=3", "hydra.run.dir=out"]
    typed = [sys.executable, *command.split()[1:], *small]
    done = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "even numbers" in done.stdout


def test_every_design_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == set(DESIGNS) == {path.stem for path in (CONF / "design").glob("*.yaml")}
