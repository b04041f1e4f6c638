"""Alternating two sides, each in a long-lived process of its own, and what is kept of it."""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ncf.runs.artifacts import environment

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
SCRATCH = ROOT / "outputs" / "benchmarks"  # where the peers leave their logs

Timing = dict[str, float]


class Side:
    """A process running `python -m experiments.benchmarks.<module>`, with `threads` for torch, OpenMP and MKL.

    `module` may have an argument behind a space; `root` is the checkout whose code it runs.
    """

    def __init__(self, module: str, python: str, threads: int, root: Path = ROOT) -> None:
        SCRATCH.mkdir(parents=True, exist_ok=True)
        width = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [python, "-m", *f"experiments.benchmarks.{module}".split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=SCRATCH,
            env=os.environ | width | {"PYTHONPATH": os.pathsep.join(path), "KINETO_LOG_LEVEL": "9"},
        )

    def send(self, command: str, **arguments: Any) -> None:
        """Ask for `command`; `receive` gives its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest `send` without one. Raises RuntimeError if the process has died."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with status {self._process.wait()}; its error is above")
        return dict(json.loads(line))

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send, and wait for the answer."""
        self.send(command, **arguments)
        return self.receive()

    def processor_seconds(self) -> float:
        """Processor time of the process so far, from /proc."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Close its input, which ends it."""
        self._process.communicate()


@contextlib.contextmanager
def side(module: str, python: str = sys.executable, threads: int = 1, root: Path = ROOT) -> Iterator[Side]:
    """A side that ends with the block."""
    process = Side(module, python, threads, root)
    try:
        yield process
    finally:
        process.end()


@dataclass(frozen=True)
class Comparison:
    """Timings of two sides, round by round: `ours[i]` and `theirs[i]` ran next to each other.

    `needed` is the least ratio that was set as a goal, None where there is none.
    """

    name: str
    ours: list[Timing]
    theirs: list[Timing]
    needed: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def ratios(self, key: str = "seconds") -> list[float]:
        """Their time over ours, one a round: above 1 where ours is faster."""
        return [b[key] / a[key] for a, b in zip(self.ours, self.theirs, strict=True)]

    def summary(self) -> dict[str, Any]:
        """Median and spread of both sides and of their ratio, by the clock and by processor time."""
        return {
            "ratio": spread(self.ratios()),
            "ratio_of_cpu_seconds": spread(self.ratios("cpu_seconds")),
            "ours_seconds": spread([t["seconds"] for t in self.ours]),
            "theirs_seconds": spread([t["seconds"] for t in self.theirs]),
        }

    def __str__(self) -> str:
        ratio, processor, ours, theirs = self.summary().values()
        needed = "" if self.needed is None else f"  (goal {self.needed:g})"
        return (
            f"{self.name:<58}{ratio['median']:7.2f}x [{ratio['min']:.2f}, {ratio['max']:.2f}]{needed}"
            f"  processor time {processor['median']:.2f}x  {ours['median']:.3g} s against {theirs['median']:.3g} s"
        )


def spread(values: list[float]) -> dict[str, float]:
    """Median, extremes and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {
        "median": median,
        "min": min(values),
        "lower": low,
        "upper": high,
        "max": max(values),
        "rounds": len(values),
    }


def alternate(
    name: str,
    ours: Callable[[], Timing],
    theirs: Callable[[], Timing],
    rounds: int,
    needed: float | None = None,
    **facts: Any,
) -> Comparison:
    """Run both sides `rounds` times next to each other, each first by turns, after one round that is not kept."""
    comparison = Comparison(name, [], [], needed, facts)
    sides = [(comparison.ours, ours), (comparison.theirs, theirs)]
    for turn in range(-1, rounds):
        for kept, run in sides if turn % 2 else reversed(sides):
            timing = run()
            if turn >= 0:
                kept.append(timing)
    print(comparison, flush=True)
    return comparison


def machine() -> dict[str, Any]:
    """What the timings are taken on, and how busy it was before."""
    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "load_before": os.getloadavg()[0],
        **environment(),
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def save(subject: str, comparisons: list[Comparison], on: dict[str, Any]) -> None:
    """`results/<subject>.json`: every round of every comparison, and the machine."""
    rows = [asdict(c) | {"summary": c.summary()} for c in comparisons]
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": on, "load_after": os.getloadavg()[0], "comparisons": rows}, indent=1)
    (RESULTS / f"{subject}.json").write_text(text + "\n")


def tabulate() -> None:
    """`results/README.md`: a row for every comparison in `results/*.json`, from what they hold."""
    lines = [
        "# Measured",
        "",
        "Written by `python -m experiments.benchmarks`. A ratio is the other side's time over ours: median",
        "[least, most] of the rounds. Processor time counts other work on the machine less. Goals are for the ratio.",
        "",
        "| comparison | goal | ratio by the clock | by processor time | ours | theirs | rounds | load before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text())
        lines += [_row(row, kept["machine"]["load_before"]) for row in kept["comparisons"]]
        place = kept["machine"].get("device") if path.stem == "gpu" else None
        machine = f"{path.stem}: {place or kept['machine']['processor']}, {kept['machine']['cores']} cores"
        lines.append(f"| *{machine}, torch {kept['machine']['versions']['torch']}* | | | | | | | |")
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n")


def _row(row: dict[str, Any], load: float) -> str:
    summary = row["summary"]
    ratio, processor = summary["ratio"], summary["ratio_of_cpu_seconds"]
    goal = "" if row["needed"] is None else f"{row['needed']:.3g}"
    return (
        f"| {row['name']} | {goal} | {ratio['median']:.2f} [{ratio['min']:.2f}, {ratio['max']:.2f}] "
        f"| {processor['median']:.2f} | {summary['ours_seconds']['median']:.3g} s "
        f"| {summary['theirs_seconds']['median']:.3g} s | {ratio['rounds']} | {load:.1f} |"
    )
