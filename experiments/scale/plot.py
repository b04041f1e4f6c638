"""`python -m experiments.scale.plot`: draw what run.py left in results/ as results/scale.svg."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
COLOURS = {"adam": "#b0513a", "row_adam": "#2a6f97"}


def draw(path: Path) -> None:
    """Step time against the catalogue, and time and memory of a run against its interactions."""
    sides = json.loads((RESULTS / "catalogue.json").read_text())["sides"]
    runs = [json.loads(part.read_text()) for part in RESULTS.glob("interactions-*.json")]
    runs.sort(key=lambda run: run["interactions"])
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "ncf"})
    figure, (steps, phases, memory) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    _steps(steps, sides)
    _phases(phases, runs)
    _memory(memory, runs)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _steps(axes: Axes, sides: list[dict[str, Any]]) -> None:
    for name, colour in COLOURS.items():
        own = [side for side in sides if side["optimizer"] == name]
        rows, median = [side["rows"] for side in own], [1e3 * side["median"] for side in own]
        spread = [[1e3 * abs(side["quartiles"][end] - side["median"]) for side in own] for end in (0, 1)]
        axes.errorbar(rows, median, spread, color=colour, marker="o", markersize=4, capsize=2, label=name)
    axes.legend(frameon=False, fontsize=8)
    _label(axes, "one training step, batch of 256", "rows of the catalogue (users + items)", "milliseconds of one core")


def _phases(axes: Axes, runs: list[dict[str, Any]]) -> None:
    count = [run["interactions"] for run in runs]
    lines = {
        "generate": [run["seconds"]["generate"] for run in runs],
        "split": [run["seconds"]["split"] for run in runs],
        "sampler, targets, model": [run["seconds"]["build"] for run in runs],
        "1,000 steps of row_adam": [1e3 * run["step_seconds"] for run in runs],
    }
    for (label, seconds), marker in zip(lines.items(), "os^D"):
        axes.plot(count, seconds, marker=marker, markersize=4, label=label)
    axes.legend(frameon=False, fontsize=8)
    _label(axes, "time", "interactions", "seconds of one core")


def _memory(axes: Axes, runs: list[dict[str, Any]]) -> None:
    count = [run["interactions"] for run in runs]
    lines = {
        "peak resident, whole run": [max(run["peak_bytes"].values()) for run in runs],
        "sampler": [run["sampler_bytes"] for run in runs],
        "dense mask (not built)": [run["dense_mask_bytes"] for run in runs],
    }
    for (label, size), style in zip(lines.items(), ("o-", "s-", "^:")):
        axes.plot(count, [value / 2**30 for value in size], style, markersize=4, label=label)
    axes.axhline(8, color="grey", linewidth=0.8, linestyle="--")
    axes.legend(frameon=False, fontsize=8)
    _label(axes, "memory (dashed: the limit of 8)", "interactions", "GiB")


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y, xscale="log", yscale="log")


if __name__ == "__main__":
    draw(RESULTS / "scale.svg")
