"""`python -m experiments.benchmarks.before_after --before PATH --after PATH`: has a change made ncf slower?

Both are checkouts with a .venv. Each does the same work by its own code in a process of its own, in turns and on one
core. It answers by its own `ncf_side` and `focal_sides`, so that only their commands have to agree.
"""

import argparse
import os
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks.harness import ROOT, Comparison, Side, Timing, alternate, side

DATA = f"data.root={ROOT / 'data'}"  # one copy for both
SMALL = ["data=synthetic", "data.users=40", "data.items=60", "data.interactions=900", "neg_ratio=4"]
STARTS = 3  # of both processes: where a process lies in memory makes some per cent, for as long as it lives
# glibc keeps what is freed. Else a process asks the system for every large tensor again, or never does, by chance: a
# focal loss of a million logits then takes between 0.6 and 1.7 times as long in two processes of one checkout.
KEEP_FREED = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**31 - 1))
MILLION = ["neg_ratio=19", "trainer.batch_size=262144"]  # 1,016,329 negatives in five batches


@dataclass(frozen=True)
class Work:
    """What both sides do: the module that serves it, what that prepares, and what every round asks for."""

    module: str
    prepared: dict[str, Any]
    ask: Callable[[Side], Timing]


def command(name: str, **arguments: Any) -> Callable[[Side], Timing]:
    """Ask for a command that times itself."""
    return lambda process: process.ask(name, **arguments)


def prepare_again(process: Side, times: int = 10) -> Timing:
    """Compose, plan and build a small run, timed from outside."""
    wall, processor = time.perf_counter(), process.processor_seconds()
    for _ in range(times):
        process.ask("prepare", overrides=[DATA, *SMALL])
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": process.processor_seconds() - processor}


def run(*overrides: str, ask: Callable[[Side], Timing]) -> Work:
    """Work on a run of MovieLens-100K, unless the overrides name other data."""
    return Work("ncf_side", {"overrides": [DATA, *overrides]}, ask)


def focal(logits: int, repeats: int) -> Work:
    """Forward and backward of the fused focal loss."""
    prepared = {"logits": logits, "compiled": False, "device": "cpu"}
    return Work("focal_sides ncf", prepared, command("run", repeats=repeats))


WORK = {
    "an epoch of NeuMF at 1:10, batch 256": run(ask=command("epoch")),
    "an epoch of MF by BPR at 1:10, batch 256": run("model=mf", "loss=bpr", ask=command("epoch")),
    "full ranking of all users by NeuMF": run(ask=command("validate")),
    "a million negatives": run(*MILLION, ask=command("draw_epoch")),
    "all batches of an epoch at 1:10, batch 256": run(ask=command("draw_epoch")),
    "focal loss of 256 x 11 logits, 2,000 times": focal(256 * 11, 2000),
    "focal loss of a million logits, 20 times": focal(10**6, 20),
    "composing, planning and building a small run, 10 times": run(*SMALL, ask=prepare_again),
}


def compare(before: Path, after: Path, rounds: int) -> list[Comparison]:
    """Every piece of work, and the start of the command line, by turns: `STARTS` times `rounds` of each."""
    starting = "the start of python -m ncf.train --cfg job"
    found = {name: Comparison(name, [], []) for name in (*WORK, starting)}
    for _ in range(STARTS):
        for module in dict.fromkeys(work.module for work in WORK.values()):
            with (
                side(module, str(before / ".venv/bin/python"), root=before) as old,
                side(module, str(after / ".venv/bin/python"), root=after) as new,
            ):
                for name, work in WORK.items():
                    if work.module == module:
                        add(found[name], work_by_turns(name, work, old, new, rounds))
        add(found[starting], alternate(starting, partial(start, before), partial(start, after), rounds))
    return list(found.values())


def work_by_turns(name: str, work: Work, old: Side, new: Side, rounds: int) -> Comparison:
    """One piece of work by both sides."""
    for process in (old, new):
        process.ask("prepare", **work.prepared)
    return alternate(name, partial(work.ask, old), partial(work.ask, new), rounds)


def add(whole: Comparison, part: Comparison) -> None:
    """Add the rounds of `part` to `whole`."""
    whole.ours.extend(part.ours)
    whole.theirs.extend(part.theirs)


def start(checkout: Path) -> Timing:
    """Show the configuration of the default run. Raises CalledProcessError if it cannot be shown."""
    python, width = checkout / ".venv/bin/python", {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    wall, processor = time.perf_counter(), _children_seconds()
    shown = [python, "-m", "ncf.train", "--cfg", "job"]
    subprocess.run(shown, cwd=checkout, env=os.environ | width, stdout=subprocess.DEVNULL, check=True)
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": _children_seconds() - processor}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(comparisons: list[Comparison]) -> str:
    """Markdown: the time after over the time before, round by round, and that of the fastest rounds of both."""
    lines = [
        "| work | after / before by processor time | quartiles | fastest rounds | by the clock | before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for comparison in comparisons:
        clock, processor, before, after = comparison.summary().values()
        fastest = [min(t["cpu_seconds"] for t in side) for side in (comparison.theirs, comparison.ours)]
        lines.append(
            f"| {comparison.name} | {processor['median']:.3f} | {processor['lower']:.3f} to {processor['upper']:.3f} "
            f"| {fastest[0] / fastest[1]:.3f} | {clock['median']:.3f} "
            f"| {before['median']:.3g} s | {after['median']:.3g} s |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout without the change")
    parser.add_argument("--after", type=Path, default=ROOT, help="one with it (this one)")
    parser.add_argument(
        "--rounds", type=int, default=5, help=f"of each piece of work after each of {STARTS} starts, at least 2 (5)"
    )
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds: expected at least 2, got {options.rounds}")
    os.environ.update(KEEP_FREED)
    print(table(compare(options.before.resolve(), options.after.resolve(), options.rounds)))


if __name__ == "__main__":
    main()
