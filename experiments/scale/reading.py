"""`python -m experiments.scale.reading`: memory a process for reading 10^7 interactions, whole and from shards.

One and two processes, on the whole data set and on two shards of it, take turns; `results/reading.json` has every
round. What is measured is in `reading_side`.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.scale.plot import RESULTS
from ncf.core.files import write_text
from ncf.runs.artifacts import environment

ROUNDS = 3
SHARDS = 2
DATA = ("data=synthetic", "data.users=70000", "data.items=10000", "data.interactions=10000000")
RUN = ("trainer=distributed", "trainer.sharding=row", "model=mf", "model.factors=4", "device=cpu")


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module with arguments."""
    return [sys.executable, "-m", module, *arguments]


def measured(processes: int, overrides: tuple[str, ...]) -> list[dict[str, float]]:
    """What each process took. Raises CalledProcessError if it failed; its error is on stderr."""
    launcher = command("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    arguments = [*launcher, "-m", "experiments.scale.reading_side", *overrides, *RUN]
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True, env=own)
    found: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def rounds(root: str) -> list[dict[str, Any]]:
    """Every measurement, in turn: how the data is read, on how many processes, what each took, and the load."""
    drawn = (*DATA, f"data.root='{root}'")
    subprocess.run(command("ncf.data", *drawn), check=True, stdout=subprocess.DEVNULL)  # the data set, once
    shown = []
    for number in range(ROUNDS):
        for kind in ("whole", "shards"):
            if kind == "shards":
                subprocess.run(command("ncf.data", *drawn, f"shards={SHARDS}"), check=True, stdout=subprocess.DEVNULL)
            for processes in (1, 2):
                took = measured(processes, drawn)
                shown.append({"round": number, "kind": kind, "processes": took, "load": os.getloadavg()[0]})
                print(json.dumps(shown[-1]), flush=True)
        for folder in Path(root).glob("processed/*.shards"):
            shutil.rmtree(folder)
    return shown


def summary(shown: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by how the data is read and on how many processes, of the largest process."""
    found: dict[str, dict[str, float]] = {}
    for kind in ("whole", "shards"):
        for count in (1, 2):
            of = [each["processes"] for each in shown if each["kind"] == kind and len(each["processes"]) == count]
            largest = [{key: max(p[key] for p in processes) for key in processes[0]} for processes in of]
            found[f"{kind} on {count}"] = {key: statistics.median(p[key] for p in largest) for key in largest[0]}
    return found


def main() -> None:
    """Measure, and write the results."""
    with tempfile.TemporaryDirectory() as root:
        shown = rounds(root)
    content = {"rounds": shown, "median": summary(shown), "overrides": [*DATA, *RUN], **environment()}
    write_text(RESULTS / "reading.json", json.dumps(content, indent=2) + "\n")
    print(json.dumps(content["median"], indent=2))


if __name__ == "__main__":
    main()
