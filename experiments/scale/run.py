"""`python -m experiments.scale.run [PART ...]`: measure, and draw. Some minutes, 6 GB of memory, 2 GB of disk.

Each part is a process of its own with one thread, and leaves `results/<part>.json`; by default every part is measured.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from itertools import pairwise
from typing import Any

from tqdm import tqdm

from experiments.scale.plot import RESULTS, draw
from ncf.core.files import write_text
from ncf.runs.artifacts import environment

ROWS = [10_000, 100_000, 1_000_000]
REPEATS = 7
USERS, ITEMS = 138_493, 26_744  # of MovieLens-20M, whose 20 million interactions are the last of these
INTERACTIONS = [100_000, 1_000_000, 20_000_000]
STEPS, EVALUATED = 200, 400


def measure(name: str, **arguments: Any) -> Any:
    """The result of one measurement. Raises CalledProcessError if it failed; its error is on stderr."""
    command = [sys.executable, "-m", "experiments.scale.measure", name, json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(side: dict[str, Any]) -> dict[str, Any]:
    """The median and quartiles of a side's repeats, beside the repeats themselves."""
    low, middle, high = statistics.quantiles(side["seconds"], n=4)
    return {**side, "median": middle, "quartiles": [low, high]}


def tenfold(sides: list[dict[str, Any]], optimizer: str) -> dict[str, float]:
    """How much longer a step takes when the catalogue grows tenfold, by the larger size."""
    step = {side["rows"]: side["median"] for side in sides if side["optimizer"] == optimizer}
    return {str(large): step[large] / step[small] for small, large in pairwise(ROWS)}


def catalogue() -> dict[str, Any]:
    """Step time of both optimisers by rows of the catalogue."""
    sides = [summary(side) for side in measure("catalogue", rows=ROWS, repeats=REPEATS)]
    return {"sides": sides, "tenfold": {name: tenfold(sides, name) for name in ("adam", "row_adam")}}


def interactions(count: int) -> dict[str, Any]:
    """Time and memory of a run on `count` interactions, with as many a user as in MovieLens-20M."""
    users = round(USERS * count / INTERACTIONS[-1])
    with tempfile.TemporaryDirectory() as root:
        world = {"users": users, "items": ITEMS, "interactions": count, "root": root}
        return dict(measure("pipeline", **world, steps=STEPS, evaluated=EVALUATED))


def main() -> None:
    """Measure the parts named on the command line; draw once all are there."""
    parts = {"catalogue": catalogue} | {f"interactions-{n}": partial(interactions, n) for n in INTERACTIONS}
    for name in tqdm(sys.argv[1:] or list(parts)):
        result = {"environment": environment(), **parts[name]()}
        write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
    if all((RESULTS / f"{name}.json").exists() for name in parts):
        draw(RESULTS / "scale.svg")


if __name__ == "__main__":
    main()
