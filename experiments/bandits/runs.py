"""The registered runs: made by an ordinary sweep, read back as a table of runs and curves over time."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ncf.core.outside import read_yaml
from ncf.errors import ConfigError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REGISTRATION = HERE / "registration.yaml"
RUNS = Path("outputs/sweeps/bandits")


@cache
def registered() -> dict[str, Any]:
    """The registration."""
    found: dict[str, Any] = read_yaml(REGISTRATION, ConfigError)
    return found


def seeds(count: int | None = None) -> list[int]:
    """The registered seeds, or the first `count` of them."""
    first = registered()["first_seed"]
    return list(range(first, first + (count or registered()["seeds"])))


def simulate(jobs: int, count: int | None = None) -> None:
    """Make the runs that are not there yet, seed by seed, so that what is done at any time is paired."""
    plan = registered()
    command = [
        sys.executable, "-m", "ncf.simulate", "-m", f"seed={','.join(map(str, seeds(count)))}",
        f"environment={','.join(plan['environments'])}", f"agent={','.join(plan['agents'])}",
        f"periods={plan['periods']}", f"registration={REGISTRATION.relative_to(ROOT)}", f"hydra.sweep.dir={RUNS}",
        "device=cpu", "hydra/launcher=cores", f"hydra.launcher.n_jobs={jobs}",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)
