"""One process of a measurement of reading; torchrun starts it. Overrides in, a line of JSON out, of rank 0.

A run with trainer=distributed is opened, which reads the data, makes the sampler and what is ranked in validation; then
a few batches of an epoch are drawn. The model is small, so that what is measured is the data.
"""

import json
import re
import resource
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ncf.core.compose import compose
from ncf.launch.processes import one_of_several
from ncf.runs.distributed import GroupJob, open_job
from ncf.runs.plan import plan_run

BATCHES = 5


def main() -> None:
    """Open the run, draw, and print of each process: peak and anonymous memory (MiB), and processor seconds."""
    plan = plan_run(compose(sys.argv[1:]))
    before, begun = peak(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        job = open_job(plan, Path(folder), lambda: False)
        assert isinstance(job, GroupJob)
        opened = peak()
        for _ in islice(job.trainer.batches.epoch(1), BATCHES):  # type: ignore[union-attr]
            pass
        own = {
            "imports_mb": before, "opened_mb": opened, "peak_mb": peak(), "anonymous_mb": anonymous(),
            "seconds": time.process_time() - begun,
        }  # fmt: skip
        processes: list[Any] = [None] * job.group.size
        dist.all_gather_object(processes, own)
        if job.group.rank == 0:
            print(json.dumps(processes))
        dist.barrier()
    dist.destroy_process_group()


def peak() -> float:
    """Return the most memory that this process was ever resident in, MiB, pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def anonymous() -> float:
    """Return the memory that this process holds now and that no file backs, MiB."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    with one_of_several():
        main()
