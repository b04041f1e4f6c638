"""Seconds of one replication of each design, by number of users: `python experiments/benchmarks/service.py`.

A warm-up first; then `rounds` rounds in which the sizes take turns, of which the median and the range are printed.
"""

import sys
from statistics import median
from time import perf_counter

import torch

from ncf.core.command_line import text_table
from ncf.core.compose import compose
from ncf.runs.service import plan_service
from ncf.service import Sample, Service
from ncf.service.tables import ask

SIZES = (2_000, 20_000, 200_000)


def seconds(size: int, replication: int, days: int = 14) -> dict[str, float]:
    """Return the seconds that drawing users and sessions takes, and each design after it."""
    plan = plan_service(compose(["world=synthetic", f"world.users={size}", f"days={days}"], root="service"))
    service = Service(plan.world, plan.world.pool(None, 1), plan.policy, days, plan.run.before, 1)
    assert service.effect
    begun = perf_counter()
    sample = Sample(service, range(replication, replication + 1))
    found = {"users and sessions": float(sample.experiment.clicks_b.sum() * 0 + perf_counter() - begun)}
    for name, design in plan.designs.items():
        begun = perf_counter()
        ask({name: design}, sample, plan.run.margin)
        found[name] = perf_counter() - begun
    return found


def main(rounds: int) -> None:
    """Print a table of seconds."""
    torch.set_num_threads(1)
    seconds(SIZES[0], 0)
    taken = [{size: seconds(size, 1 + number) for size in SIZES} for number in range(rounds)]
    names = [*taken[0][SIZES[0]], "all"]
    rows = []
    for name in names:
        cells = [[sum(own[s].values()) if name == "all" else own[s][name] for own in taken] for s in SIZES]
        rows.append([name, *(f"{median(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in cells)])
    print(text_table(["", *(f"{size:,} users" for size in SIZES)], rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
