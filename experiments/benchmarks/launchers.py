"""`python -m experiments.benchmarks.launchers`: what Ray costs a sweep of eight tiny runs, beside `cores`.

Two jobs at a time with either launcher, in turns, each in a folder of its own; a round that is not kept comes first.
By the clock, in three parts: until the first run begins, until the last has its result, and until the sweep has ended.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks.harness import ROOT, machine, spread

LAUNCHERS = ("ray", "cores")
PARTS = ("until the first run begins", "runs", "after the last", "all")
RUNS = 8
TINY = [
    "data=synthetic", "data.users=60", "data.items=80", "data.interactions=1500", "trainer.epochs=3", "device=cpu",
    "model.gmf_factors=8", "model.mlp_factors=8", "model.hidden=[16,8]", f"seed=range(1,{RUNS + 1})",
]  # fmt: skip


def sweep(launcher: str, folder: Path, data: Path) -> list[float]:
    """Return the seconds of the parts of a sweep in `folder`. Raises CalledProcessError if it fails."""
    places = [f"data.root='{data}'", f"hydra.sweep.dir='{folder}'"]
    options = [f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=2"]
    begun = time.time()
    subprocess.run(
        [sys.executable, "-m", "ncf.train", "-m", *TINY, *places, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    ended = time.time()
    first = min(path.stat().st_mtime for path in folder.glob("*/.hydra"))
    results = [path.stat().st_mtime for path in folder.glob("*/result.json")]
    assert len(results) == RUNS
    return [first - begun, max(results) - first, ended - max(results), ended - begun]


def measure(rounds: int) -> dict[str, list[list[float]]]:
    """Return launcher -> rounds -> the seconds of the parts."""
    taken: dict[str, list[list[float]]] = {launcher: [] for launcher in LAUNCHERS}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(rounds + 1):
            for launcher in LAUNCHERS if turn % 2 else LAUNCHERS[::-1]:
                seconds = sweep(launcher, Path(scratch, f"{turn}-{launcher}"), Path(scratch, "data"))
                if turn:
                    taken[launcher].append(seconds)
    return taken


def line(part: str, ray: Sequence[float], cores: Sequence[float]) -> str:
    """Return both sides' median, and the median and extremes of their difference and ratio, round by round."""
    more, ratio = (spread(list(map(of, ray, cores))) for of in (float.__sub__, float.__truediv__))
    return (
        f"{part:<28}ray {spread(list(ray))['median']:5.1f} s, cores {spread(list(cores))['median']:5.1f} s, "
        f"{more['median']:+.1f} s [{more['min']:+.1f}, {more['max']:+.1f}], "
        f"{ratio['median']:.2f}x [{ratio['min']:.2f}, {ratio['max']:.2f}]"
    )


def main() -> None:
    """Print the comparisons, and the machine."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.launchers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternations (at least 2)")
    arguments = parser.parse_args()
    before = machine()
    taken = measure(max(2, arguments.rounds))
    for n, part in enumerate(PARTS):
        print(line(part, *([seconds[n] for seconds in taken[launcher]] for launcher in LAUNCHERS)))
    print(before)


if __name__ == "__main__":
    main()
