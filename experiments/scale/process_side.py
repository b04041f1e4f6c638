"""One process of a measurement on several; torchrun starts it. JSON in as argument, a line of JSON out, of rank 0.

Training steps of the sharded step on users and items drawn evenly: no data are read, so that what is measured is the
model, the optimizer and what the processes exchange.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from experiments.scale.processes import NEGATIVES
from ncf.core.rng import generator
from ncf.launch.processes import one_of_several
from ncf.losses import BCE
from ncf.models import MODELS
from ncf.training.distributed import Group, PartStep, ShardedModel, build, optimizer_for
from ncf.training.distributed.batches import PartBatch

MODEL: dict[str, dict[str, Any]] = {
    "gmf": {"factors": 64},
    "neumf": {"gmf_factors": 64, "mlp_factors": 64, "hidden": [128, 64, 32], "dropout": 0.0},
}


def main() -> None:
    """Measure, and print: seconds and processor seconds of each step, and of each process its memory and exchange."""
    torch.set_num_threads(1)
    given = json.loads(sys.argv[1])
    group = Group.join(torch.device("cpu"))
    make = partial(MODELS[given["model"]], **MODEL[given["model"]])
    model = build(make, given["users"], given["items"], generator(0, "initialisation"), "row", group)
    optimizer = optimizer_for({"name": given["optimizer"]}, partial(dict, lr=0.001), model)
    step = PartStep(model, BCE(), optimizer, group)
    stream = generator(0, "negatives", block=group.rank)
    seconds, busy = [], []
    for _ in range(given["warm"] + given["steps"]):
        batch = drawn(given, group, stream)
        dist.barrier()
        start, used = time.perf_counter(), time.process_time()
        step(batch)
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
    own = {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "moved_mb": moved(given, group, model, batch) / 2**20,
        "mb_a_second": bandwidth(group) / 2**20,
    }
    processes: list[Any] = [None] * group.size
    dist.all_gather_object(processes, own)
    if group.rank == 0:
        print(json.dumps({"seconds": seconds[given["warm"] :], "busy": busy[given["warm"] :], "processes": processes}))
    dist.barrier()  # none goes before all have said what they found


def drawn(given: Mapping[str, Any], group: Group, stream: torch.Generator) -> PartBatch:
    """Return this process's share of a batch of `groups` positives."""
    count = given["groups"] // group.size

    def some(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=stream)

    return PartBatch(some(given["users"], count), some(given["items"], count, 1 + NEGATIVES), groups=given["groups"])


def moved(given: Mapping[str, Any], group: Group, model: ShardedModel, batch: PartBatch) -> float:
    """Return the bytes that this process sends and receives in a step, counted from what the step exchanges.

    Ids (8 bytes) and rows there, gradients of rows back, each once, for rows of other processes; a sum of the dense
    gradients.
    """
    assert model.tables is not None
    remote = (group.size - 1) / group.size
    rows = {"users": len(batch.users.unique()), "items": len(batch.items.unique())}
    exchanged = sum(
        2 * remote * rows["users" if "users" in name else "items"] * (8 + 2 * 4 * shape.width)
        for name, shape in model.tables.shapes.items()
    )
    return exchanged + 2 * 2 * remote * 4 * sum(p.numel() for p in model.parameters())


def bandwidth(group: Group, numbers: int = 2**22, rounds: int = 5) -> float:
    """Return the bytes a second that this process sends and receives when all exchange float32 numbers; 0 alone."""
    if group.size == 1:
        return 0.0
    own, others = torch.rand(numbers), torch.empty(numbers)
    seconds = []
    for _ in range(rounds):
        dist.barrier()
        start = time.perf_counter()
        dist.all_to_all_single(others, own)
        seconds.append(time.perf_counter() - start)
    return 2 * 4 * numbers * (group.size - 1) / group.size / sorted(seconds)[rounds // 2]


if __name__ == "__main__":
    with one_of_several():
        main()
