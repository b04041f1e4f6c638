"""`python -m experiments.benchmarks.every_day --before COMMIT`: what everyday commands cost at two commits.

Each commit is unpacked into a temporary folder and runs with this Python, on one core, in turns with the other. A
command of a synthetic set is a process of its own, of which processor seconds and peak memory are taken.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.harness import ROOT

USERS, ITEMS, NEW_USERS = 5_000, 2_000, 1_000
DATA = ["data=synthetic", f"data.users={USERS}", f"data.items={ITEMS}", f"data.interactions={USERS * 40}"]
TRAIN = [*DATA, "trainer.epochs=1", "trainer.progress=false", "device=cpu"]
FOLD_IN = f"""
import sys, ncf
run = ncf.load(sys.argv[1])
items = run.split.item_ids.tolist()
run.recommend_for([items[n % 97 :: 40] for n in range({NEW_USERS})], 10)
"""

# The kernel counts the memory of the process that starts another to the other's peak: a small one has to start it.
ALONE = """
import json, os, sys
null = os.open(os.devnull, os.O_RDWR)
to_null = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (1, 2)]
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=to_null)
_, status, used = os.wait4(process, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""

COMMANDS = {
    "a refused choice (loss=focall)": ["-m", "ncf.train", "loss=focall"],
    "an epoch of GMF": ["-m", "ncf.train", *TRAIN, "model=gmf", "hydra.run.dir={new}"],
    "recommend user=all format=json": ["-m", "ncf.recommend", "run={gmf}", "user=all", "format=json"],
    "beyond": ["-m", "ncf.beyond", "run={gmf}"],
    f"{NEW_USERS:,} new users by NeuMF": ["-c", FOLD_IN, "{neumf}"],
}


@dataclass(frozen=True)
class Cost:
    """Processor seconds, and the largest resident memory in MB, of one process."""

    cpu_seconds: float
    peak_mb: float


def cost(checkout: Path, arguments: Sequence[str]) -> Cost | None:
    """Run Python with `arguments` on the code of `checkout`; None if that code cannot do it."""
    width = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    small = [sys.executable, "-I", "-S", "-c", ALONE, sys.executable, *arguments]
    shown = subprocess.run(small, cwd=checkout, env=os.environ | width, capture_output=True, text=True, check=True)
    status, seconds, kilobytes = json.loads(shown.stdout)
    done = status == 0 or (status == 2 and "loss=focall" in arguments)
    return Cost(seconds, kilobytes / 1024) if done else None


def unpack(commit: str, folder: Path) -> Path:
    """Unpack `commit` of this repository into `folder`. Raises CalledProcessError if there is no such commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def measure(sides: dict[str, Path], rounds: int) -> dict[str, dict[str, list[Cost | None]]]:
    """Take the cost of every command on both sides, in turns, after a round that trains what the commands need."""
    for checkout in sides.values():
        for model in ("gmf", "neumf"):
            cost(checkout, ["-m", "ncf.train", *TRAIN, f"model={model}", f"hydra.run.dir={checkout / model}"])
    found: dict[str, dict[str, list[Cost | None]]] = {name: {side: [] for side in sides} for name in COMMANDS}
    for number in range(rounds):
        for name, arguments in COMMANDS.items():
            for side, checkout in list(sides.items())[:: 1 if number % 2 else -1]:
                folders = {model: checkout / model for model in ("gmf", "neumf")}
                new = checkout / f"new-{time.monotonic_ns()}"
                filled = [a if a == FOLD_IN else a.format(**folders, new=new) for a in arguments]
                found[name][side].append(cost(checkout, filled))
    return found


def table(found: dict[str, dict[str, list[Cost | None]]]) -> str:
    """Markdown: medians over the rounds, with the least and the most processor seconds."""
    sides = list(next(iter(found.values())))
    lines = [
        "| command | " + " | ".join(f"{side}: processor s (least to most), peak MB" for side in sides) + " |",
        "|---|" + "---|" * len(sides),
    ]
    lines += [f"| {name} | {' | '.join(map(_cell, of.values()))} |" for name, of in found.items()]
    return "\n".join(lines)


def _cell(costs: list[Cost | None]) -> str:
    known = [one for one in costs if one is not None]
    if not known:
        return "cannot"
    seconds = [one.cpu_seconds for one in known]
    memory = statistics.median(one.peak_mb for one in known)
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f}), {memory:,.0f}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.every_day", description=__doc__)
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--after", default="HEAD", help="another (HEAD)")
    parser.add_argument("--rounds", type=int, default=3, help="of every command, at least 2 (3)")
    parser.add_argument("--output", type=Path, help="a JSON file for every round")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds: expected at least 2, got {options.rounds}")
    with tempfile.TemporaryDirectory() as folder:
        sides = {side: unpack(getattr(options, side), Path(folder) / side) for side in ("before", "after")}
        found = measure(sides, options.rounds)
    if options.output:
        options.output.write_text(json.dumps(found, default=vars, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
