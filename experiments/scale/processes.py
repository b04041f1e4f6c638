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
NEGATIVES = 10  # a positive
MOVIELENS = {"users": 138_493, "items": 26_744, "model": "neumf", "optimizer": "adam", "warm": 3, "steps": 8}
PARTS: dict[str, dict[str, Any]] = {
    "strong": {**MOVIELENS, "groups": 16384},  # of two processes: the same batch
    "strong_small_batch": {**MOVIELENS, "groups": 4096},
    "weak": {**MOVIELENS, "groups": 8192},  # of each process
    "share": {**MOVIELENS, "users": 1_562_500, "items": 156_250, "groups": 4096},  # of PAPER, that of a process
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


def share() -> dict[str, Any]:
    """Rows a second of one process on tables of the size that each process of `PAPER` has, and what two exchange."""
    one, two = measured(1, PARTS["share"]), measured(2, PARTS["strong"])
    seconds = statistics.median(one["seconds"])
    return {
        "rows_a_second": PARTS["share"]["groups"] * (1 + NEGATIVES) / seconds,
        "mb_a_second": min(process["mb_a_second"] for process in two["processes"]),
    }  # fmt: skip


def on_paper(bytes_a_second: float, rows_a_second: float) -> dict[str, float]:
    """Estimate a step and a run at 10^8 users and 10^9 interactions from two measured rates of one process.

    Args:
        bytes_a_second: sent and received, between two processes of this machine, not over a network.
        rows_a_second: of training on one process.
    """
    p = PAPER
    rows = p["batch_groups"] * (1 + p["negatives"])
    own = rows / p["processes"]
    ids = own + p["batch_groups"] / p["processes"]  # of items and users; each is taken to be there once
    exchanged = (
        2 * 2 * (p["processes"] - 1) / p["processes"] * ids * (8 + 2 * 4 * p["factors"])
    )  # two tables, both ways
    step = own / rows_a_second + exchanged / bytes_a_second
    steps = p["epochs"] * p["interactions"] / p["batch_groups"]
    hours = steps * step / 3600
    table_gb = 2 * 3 * 4 * p["factors"] * (p["users"] + p["items"]) / 1e9  # two tables; weights and two moments
    return {
        "step_seconds": step, "exchange_seconds": exchanged / bytes_a_second, "hours": hours,
        "dollars": hours * p["processes"] * p["dollars_an_hour_a_process"],
        "table_gb_a_process": table_gb / p["processes"],
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The table of the page: what two processes do in the time of one."""
    rows = [
        (f"the same batch, {PARTS['strong']['groups']:,} positives", found["strong"]),
        (f"the same batch, {PARTS['strong_small_batch']['groups']:,} positives", found["strong_small_batch"]),
        (f"{PARTS['weak']['groups']:,} positives a process", found["weak"]),
    ]
    lines = ["| | two processes over one | of processor time | MB a process and step |", "|---|---|---|---|"]
    for name, own in rows:
        low, high = min(own["speedups"]), max(own["speedups"])
        lines.append(
            f"| {name} | {own['speedup']:.2f}x [{low:.2f}, {high:.2f}] | {own['of_processor_time']:.2f}x "
            f"| {own['moved_mb']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure the parts that are named, or all; estimate; and write the results."""
    path = RESULTS / "processes.json"
    parts = sys.argv[1:] or [*SCALING, "memory", "share"]
    found: dict[str, Any] = {} if not sys.argv[1:] else json.loads(path.read_text())
    for part in parts:
        found[part] = memory() if part == "memory" else share() if part == "share" else scaling(part)
    own = found["share"]
    found["paper"] = {**PAPER, **on_paper(own["mb_a_second"] * 2**20, own["rows_a_second"])}
    write_text(path, json.dumps({**found, "parts": PARTS, **environment()}, indent=2) + "\n")
    print(table(found), json.dumps(found["paper"], indent=2), sep="\n")


if __name__ == "__main__":
    main()
