"""`python -m experiments.bandits.speed [part ...]`: what a period costs, and how that grows. One thread.

original: the notebook's agent, batched, beside `sequential`, alternated on the same world: medians and spread of both.
als: a fit of `als` beside what Spark's ALS took for one (`SPARK_SECONDS`, recorded with Spark 3.5.5 on two cores).
scaling: a period of `thompson` against users, items and factors, with the peak of memory, each in a process of its own.

Writes speed.csv, scaling.csv and figures/scaling beside this file. Seconds of CPU are given beside those of the clock:
on a shared machine the clock says more about the others.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from experiments.bandits.runs import HERE, ROOT
from experiments.bandits.sequential import SequentialBayes, simulated
from ncf.core.compose import compose
from ncf.report.kit.style import COLOURS, MARKERS, RC, WIDTH, save, titled
from ncf.runs.simulation import plan_simulation
from ncf.simulation import Agent, Environment, Simulation

PARTS = ("original", "als", "scaling")
SPARK_SECONDS = (3.8, 41.8)
"""The shortest and longest of 20 fits: Spark's ALS, rank 10, one iteration, 1000 to 20,000 ratings."""

ROUNDS = 7
SIZES = {
    "users": [(n, 1000, 10) for n in (1_000, 10_000, 100_000, 1_000_000)],
    "items": [(10_000, n, 10) for n in (100, 1_000, 10_000)],
    "factors": [(10_000, 1000, n) for n in (5, 10, 20, 40)],
}
PERIODS = 3


def made(*overrides: str) -> tuple[Environment, Agent]:
    """A world and an agent, as the command makes them."""
    plan = plan_simulation(compose([*overrides, "device=cpu"], root="simulate"))
    environment: Environment = plan.environment(plan.run.seed, None, "cpu")
    return environment, plan.agent(environment.num_users, environment.num_items, plan.run.seed, "cpu")


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of CPU."""
    clock, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - cpu


def original() -> list[dict[str, object]]:
    """Periods of the batched and of the sequential agent, alternated."""
    environment, agent = made("agent=bayes_original")
    ours = Simulation(environment, agent, 10**6)
    theirs = simulated(made("agent=random")[0], SequentialBayes(1000, 1000, np.random.RandomState(0)), 10**6)
    times = {"batched": [], "sequential": []}  # type: ignore[var-annotated]
    for _ in range(ROUNDS + 1):
        times["batched"].append(timed(ours.step))
        times["sequential"].append(timed(lambda: next(theirs)))
    return [_row("period of bayes_original", name, found[1:]) for name, found in times.items()]


def als() -> list[dict[str, object]]:
    """Fits of `als` with Spark's settings after 1 to 20 periods of 1000 ratings."""
    environment, agent = made("agent=als", "agent.l2=0.05", "agent.sweeps=1", "agent.fresh=true")
    simulation, found = Simulation(environment, agent, 20), []
    for _ in range(20):
        simulation.step()
        found.append(timed(agent.fit))  # type: ignore[attr-defined]
    spark = [(SPARK_SECONDS[0],) * 2, (SPARK_SECONDS[1],) * 2]
    return [_row("fit of als", "ncf", found), _row("fit of als", "Spark, recorded", spark)]


def _row(what: str, who: str, found: list[tuple[float, float]]) -> dict[str, object]:
    clock, cpu = zip(*found, strict=True)
    return {
        "what": what, "who": who, "n": len(found), "seconds": statistics.median(clock), "least": min(clock),
        "most": max(clock), "cpu_seconds": statistics.median(cpu),
    }  # fmt: skip


def scaling() -> list[dict[str, object]]:
    """Periods of thompson over sizes, each size in a process of its own."""
    rows = []
    for vary, sizes in SIZES.items():
        for users, items, factors in sizes:
            command = [sys.executable, "-m", "experiments.bandits.speed", "one", *map(str, (users, items, factors))]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            rows.append({"vary": vary, "users": users, "items": items, "factors": factors, **json.loads(done.stdout)})
            print(rows[-1], file=sys.stderr)
    return rows


def one(users: int, items: int, factors: int) -> dict[str, float]:
    """The last of a few periods of thompson, and the peak of memory of the process."""
    environment, agent = made(
        "agent=thompson", f"environment.users={users}", f"environment.items={items}", f"agent.factors={factors}",
        f"environment.features={factors}",
    )  # fmt: skip
    simulation = Simulation(environment, agent, PERIODS)
    for _ in range(PERIODS - 1):
        simulation.step()
    clock, cpu = timed(simulation.step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": clock, "cpu_seconds": cpu, "peak_gib": peak}


def draw(table: pd.DataFrame) -> Figure:
    """Cost of a period against users, items and factors, on logarithmic axes."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots(1, len(SIZES), sharey=True)
    for ax, vary in zip(axes, SIZES, strict=True):
        own = table[table["vary"] == vary]
        for place, (column, label) in enumerate(
            (("cpu_seconds", "CPU seconds a period"), ("peak_gib", "peak memory, GiB"))
        ):
            ax.loglog(own[vary], own[column], "-", marker=MARKERS[place], color=COLOURS[place],
                      label=label if ax is axes[0] else None)  # fmt: skip
        ax.set_xticks(own[vary], [f"{size:,}" for size in own[vary]])
        ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        ax.set_xlabel(vary)
    figure.legend(loc="outside lower center", ncols=2)
    return titled(figure, "What does a period of thompson cost?")


def main(arguments: list[str]) -> None:
    """The command line."""
    torch.set_num_threads(1)
    if arguments[:1] == ["one"]:
        print(json.dumps(one(*map(int, arguments[1:]))))
        return
    parts = arguments or list(PARTS)
    rows = [row for name in ("original", "als") if name in parts for row in globals()[name]()]
    if rows:
        print(pd.DataFrame(rows).to_string(index=False))
        _write(pd.DataFrame(rows), "speed")
    if "scaling" in parts:
        table = pd.DataFrame(scaling())
        _write(table, "scaling")
        (HERE / "figures").mkdir(exist_ok=True)
        with matplotlib.rc_context(RC):
            save(draw(table), HERE / "figures", "scaling")


def _write(table: pd.DataFrame, name: str) -> None:
    table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
