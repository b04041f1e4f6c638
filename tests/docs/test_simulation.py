"""docs/simulation.md, applied to an empty folder and run there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/simulation.md").read_text()


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path) -> None:
    for language, text in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if language in ("python", "yaml"):
            name, _, continued = text.splitlines()[0].removeprefix("# ").partition(", ")
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            with (tmp_path / name).open("a" if continued else "w") as file:
                file.write(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    own = next(line for line in PAGE.splitlines() if "--import my_agents --config-dir" in line)
    assert "cumulative" in run(*own.split()[1:])
    assert run("try_it.py").count(",") == 19
    for line in ("agent=refit", "agent=als"):
        command = next(c for c in PAGE.splitlines() if c.startswith("python -m ncf.simulate") and line in c)
        small = ("periods=6", "environment.users=600", "environment.items=30")
        assert "cumulative" in run(*command.split("#")[0].split()[1:], *small)
