"""What a replication costs: seconds of each design and memory, by number of users, on one core.

Each measurement is a process of its own, so that its peak of memory is its own; the sizes take turns. All designs are
asked of one replication of a made-up world, whose users, sessions and clicks are drawn first.
"""

import multiprocessing
import resource
from time import perf_counter

import pandas as pd
import torch

from experiments.which_method.runs import HERE
from ncf.core.compose import compose
from ncf.core.files import write_text
from ncf.runs.artifacts import environment
from ncf.runs.service import plan_service
from ncf.service import Sample, Service
from ncf.service.tables import ask

SIZES = (2_000, 20_000, 200_000, 1_000_000)
ROUNDS = 3
DRAWING = "users and sessions"
COSTS = HERE / "costs.csv"


def measured(size: int, number: int, days: int = 14) -> list[dict[str, object]]:
    """Return a row for the drawing and for each design: seconds, and the process's peak of memory in GiB at its end."""
    torch.set_num_threads(1)
    plan = plan_service(compose(["world=synthetic", f"world.users={size}", f"days={days}"], root="service"))
    service = Service(plan.world, plan.world.pool(None, 1), plan.policy, days, plan.run.before, 1)
    assert service.effect
    rows: list[dict[str, object]] = []

    def note(design: str, begun: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append({"users": size, "round": number, "design": design, "seconds": perf_counter() - begun, "gib": peak})

    begun = perf_counter()
    sample = Sample(service, range(number, number + 1))
    assert sample.experiment.clicks_b.size
    note(DRAWING, begun)
    for name, design in plan.designs.items():
        begun = perf_counter()
        ask({name: design}, sample, plan.run.margin)
        note(name, begun)
    return rows


def measure(sizes: tuple[int, ...] = SIZES, rounds: int = ROUNDS) -> pd.DataFrame:
    """Measure every size in turn, `rounds` times, and write costs.csv."""
    rows = []
    for number in range(rounds):
        for size in sizes:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows += pool.apply(measured, (size, number))
    table = pd.DataFrame(rows).assign(commit=environment()["commit"])
    write_text(COSTS, table.to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    return table


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Return by number of users: seconds of all designs together, median, least and most, and the largest peak."""
    whole = table.groupby(["users", "round"]).agg(seconds=("seconds", "sum"), gib=("gib", "max")).reset_index()
    return whole.groupby("users").agg(
        seconds=("seconds", "median"), least=("seconds", "min"), most=("seconds", "max"), gib=("gib", "max")
    )
