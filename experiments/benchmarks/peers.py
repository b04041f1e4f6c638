"""The peers' virtual environment: `.venv-peers`, made on first use, never a dependency of ncf."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from experiments.benchmarks.harness import ROOT

PINS = Path(__file__).with_name("peers.txt")
FOLDER = ROOT / ".venv-peers"


def peers_python() -> str:
    """The interpreter of `.venv-peers`, which is made first if it is not there or not of these pins.

    Raises:
        subprocess.CalledProcessError: pip could not install the peers; its own message says why.
    """
    ready, python = FOLDER / ".ready", FOLDER / "bin" / "python"
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != digest:
        print(f"making {FOLDER.name} (a few minutes, once)", file=sys.stderr)
        shutil.rmtree(FOLDER, ignore_errors=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        subprocess.run([*pip, "-r", PINS], check=True, cwd=FOLDER)
        ready.write_text(digest)
    return str(python)
