"""`python -m experiments.scale.processes`: one run on one and on two processes: time, memory, exchange, and on paper.

One and two processes take turns; each leaves its steps in `results/processes.json`. More processes, several machines
and GPUs are not measured here.
"""

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from experiments.scale.plot import RESULTS
from ncf.core.files import write_text
from ncf.runs.artifacts import environment

ROUNDS = 5
MOVIELENS = {"users": 138_493, "items": 26_744, "model": "neumf", "optimizer": "adam", "warm": 3, "steps": 8}
PARTS: dict[str, dict[str, Any]] = {
    "strong": {**MOVIELENS, "groups": 16384},  # of two processes: the same batch
    "strong_small_batch": {**MOVIELENS, "groups": 4096},
    "weak": {**MOVIELENS, "groups": 8192},  # of each process
    "memory": {
        "users": 9_000_000, "items": 1_000_000, "model": "gmf", "optimizer": "sgd", "warm": 1, "steps": 3,
        "groups": 1024,
    },
}  # fmt: skip
SCALING = ("strong", "strong_small_batch", "weak")
PAPER = {  # assumptions of the estimate, each of which can be changed
    "users": 10**8, "items": 10**7, "interactions": 10**9, "factors": 64, "negatives": 4, "batch_groups": 2**18,
    "processes": 64, "dollars_an_hour_a_process": 0.05, "epochs": 10,
}  # fmt: skip


def measured(processes: int, given: dict[str, Any]) -> Any:
    """The steps of one measurement. Raises CalledProcessError if it failed; its error is on stderr."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launcher, "-m", "experiments.scale.process_side", json.dumps(given)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return json.loads(done.stdout.splitlines()[-1])


def scaling(part: str) -> dict[str, Any]:
    """Ratios of rows a second, two processes over one, round by round: of wall time and of processor time."""
    wall, processor, load = [], [], []
    given = PARTS[part]
    for _ in range(ROUNDS):
        one = measured(1, given)
        two = measured(2, {**given, "groups": given["groups"] * (2 if part == "weak" else 1)})
        more = 2 if part == "weak" else 1
        wall.append(more * statistics.median(one["seconds"]) / statistics.median(two["seconds"]))
        processor.append(more * statistics.median(one["busy"]) / statistics.median(two["busy"]))
        load.append(os.getloadavg()[0])
    return {
        "speedup": statistics.median(wall), "speedups": wall, "of_processor_time": statistics.median(processor),
        "of_processor_times": processor, "load": load, "one_ms": 1000 * statistics.median(one["seconds"]),
        "moved_mb": two["processes"][0]["moved_mb"], "peak_mb": [one["processes"], two["processes"]],
    }  # fmt: skip


def memory() -> dict[str, Any]:
    """Peak memory a process at 10^7 rows x 64, and beside it that of a process with nothing in its tables."""
    empty = {**PARTS["memory"], "users": 100, "items": 100}
    peaks = {n: [p["peak_mb"] for p in measured(n, PARTS["memory"])["processes"]] for n in (1, 2)}
    bare = measured(1, empty)["processes"][0]["peak_mb"]
    return {"peak_mb": peaks, "bare_mb": bare, "share": max(peaks[2]) / peaks[1][0]}


def on_paper(row_bytes_a_second: float, rows_a_second: float) -> dict[str, float]:
    """Estimate a step and a run at 10^8 users and 10^9 interactions from two measured rates of one process.

    Args:
        row_bytes_a_second: exchanged between two processes of this machine, not over a network.
        rows_a_second: of training on one process, exchange included.
    """
    p = PAPER
    rows = p["batch_groups"] * (1 + p["negatives"])
    share = rows / p["processes"]
    exchanged = 2 * (p["processes"] - 1) / p["processes"] * share * (8 + 8 * p["factors"])
    step = share / rows_a_second + exchanged / row_bytes_a_second
    steps = p["epochs"] * p["interactions"] / p["batch_groups"]
    hours = steps * step / 3600
    table_gb = 3 * 4 * p["factors"] * (p["users"] + p["items"]) / 1e9  # weights and two moments
    return {
        "step_seconds": step, "hours": hours, "dollars": hours * p["processes"] * p["dollars_an_hour_a_process"],
        "table_gb_a_process": table_gb / p["processes"],
    }  # fmt: skip


def main() -> None:
    """Measure every part, estimate, and write the results."""
    found: dict[str, Any] = {part: scaling(part) for part in SCALING}
    found["memory"] = memory()
    one = found["strong"]["one_ms"] / 1000
    rows = PARTS["strong"]["groups"] * 11 / one
    slack = max(1e-3, one / found["strong"]["speedup"] - one / 2)  # what exchange costs a step, at most
    found["paper"] = {**PAPER, **on_paper(found["strong"]["moved_mb"] * 2**20 / slack, rows)}
    text = json.dumps({**found, "parts": PARTS, **environment()}, indent=2)
    write_text(RESULTS / "processes.json", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
