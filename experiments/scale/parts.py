"""`python -m experiments.scale.parts`: memory of a process that recommends, or exports, from large tables, by parts.

A GMF of 4 x 10^6 users x 64 whose run folder is made here, with one positive a user. One process loads the weights as
`ncf.load` does, or leaves them in the file; two have half the users each. All figures go to `results/parts.json`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from experiments.scale.plot import RESULTS
from ncf import export, recommend
from ncf.core.compose import compose
from ncf.core.files import write_text
from ncf.core.rng import generator
from ncf.data.split import Pairs, Split
from ncf.runs import checkpoint, loading
from ncf.runs.artifacts import environment, write_result
from ncf.runs.identity import config_hash
from ncf.runs.plan import plan_run
from ncf.training.trainer import Progress

USERS, ITEMS, FACTORS = 4_000_000, 500, 64
WAYS: dict[str, list[str]] = {
    "loaded": [], "1 process": ["part=0/1"], "1st of 2": ["part=0/2"], "2nd of 2": ["part=1/2"],
}  # fmt: skip


def split() -> Split:
    """A positive a user, drawn evenly; made in each process alike."""
    users = np.arange(USERS)
    pairs = Pairs(users, np.random.default_rng(0).integers(0, ITEMS, USERS))
    none = Pairs(users[:0], users[:0])
    return Split(pairs, none, none, USERS, ITEMS, users, np.arange(ITEMS), None, None, "made", "0" * 64)


def make(folder: Path) -> None:
    """Write a run folder: a result, and a checkpoint with the best and the current weights."""
    settings = plan_run(compose(["model=gmf", f"model.factors={FACTORS}"])).settings
    stream = generator(0, "initialisation")
    shapes = {
        "tower.users.weight": (USERS, FACTORS), "tower.items.weight": (ITEMS, FACTORS),
        "output.weight": (1, FACTORS), "output.bias": (1,),
    }  # fmt: skip
    weights = {name: torch.empty(shape).normal_(generator=stream) for name, shape in shapes.items()}
    state = {"settings": settings, "data_digest": "0" * 64, "progress": vars(Progress()), "best": weights}
    checkpoint.save(folder, {**state, "model": {name: weight.clone() for name, weight in weights.items()}})
    metrics = {"ndcg@10": 0.5}
    write_result(folder, {
        "valid": metrics, "test": metrics, "config": settings, "config_hash": config_hash(settings),
        "data_digest": "0" * 64, "weights_sha256": checkpoint.digest(weights),
    })  # fmt: skip


class Peak(threading.Thread):
    """Looks every 10 ms how much memory of its own, not of files, the process has."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous, self.over = 0, threading.Event()

    def run(self) -> None:
        """Look until it is over."""
        while not self.over.wait(0.01):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.anonymous = max(self.anonymous, int(status["RssAnon"].split()[0]))


def process(command: str, arguments: list[str]) -> dict[str, float]:
    """Run one command in this process; its peak memory in MB, and the seconds of processor time."""
    torch.set_num_threads(1)
    if not command:
        split()
        return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    peak = Peak()
    peak.start()
    with patch.object(loading, "split_of", lambda *_: split()):
        {"recommend": recommend.main, "export": export.main}[command](arguments)
    peak.over.set()
    peak.join()
    return {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_anonymous_mb": peak.anonymous / 1024, "seconds": time.process_time(),
    }  # fmt: skip


def measured(command: str, *arguments: str) -> Any:
    """What `process` says of a command in a process of its own."""
    line = [sys.executable, "-m", "experiments.scale.parts", "process", command, *arguments]
    done = subprocess.run(
        line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, Any]) -> str:
    """Rows of the table of docs/scale.md: GB at the peak, in brackets without pages of files."""

    def cell(command: str, way: str) -> str:
        own = found[f"{command}, {way}"]
        return f"{own['peak_mb'] / 1024:.2f} ({own['peak_anonymous_mb'] / 1024:.2f})"

    rows = ([f"`ncf.{c}`", *(cell(c, way) for way in WAYS)] for c in ("recommend", "export"))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Measure both commands in all ways."""
    found: dict[str, Any] = {"bare": measured(""), "users": USERS, "factors": FACTORS, "items": ITEMS}
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        run.mkdir()
        subprocess.run([sys.executable, "-m", "experiments.scale.parts", "make", str(run)], check=True)
        found["file_mb"] = (run / checkpoint.NEWEST).stat().st_size / 2**20
        for command in ("export", "recommend"):
            own = ["user=all", "k=3", "format=parquet"] if command == "recommend" else ["forms=parquet"]
            for way, part in WAYS.items():
                out = Path(place) / f"{command}-{'-'.join(part).replace('/', '-')}"
                name = f"{out}.parquet" if command == "recommend" and not part else str(out)
                found[f"{command}, {way}"] = measured(command, f"run={run}", *own, f"output={name}", *part)
                print(command, way, found[f"{command}, {way}"], flush=True)
                subprocess.run(["rm", "-r", name], check=True)
    write_text(RESULTS / "parts.json", json.dumps({**found, **environment()}, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["process"]:
        print(json.dumps(process(sys.argv[2], sys.argv[3:])))
    else:
        main()
