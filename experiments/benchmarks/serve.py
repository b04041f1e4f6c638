"""One side of a comparison: a process that answers commands, a line of JSON each way, until its input ends.

ncf is not imported here: the peers' environment does not have it.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], object], device: str = "cpu") -> dict[str, float]:
    """Wall and processor seconds that `work` takes, and what it has queued on the device."""
    wait = _wait_for_cuda if device != "cpu" else lambda: None
    wait()
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wait()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - processor}


def _wait_for_cuda() -> None:
    import torch  # a second that a side without it need not spend

    torch.cuda.synchronize()


def serve(*commands: Callable[..., dict[str, Any]]) -> None:
    """Answer `{"command": name, ...arguments}` with what the command returns; anything else printed goes to stderr."""
    by_name = {command.__name__: command for command in commands}
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        arguments = json.loads(line)
        answers.write(json.dumps(by_name[arguments.pop("command")](**arguments)) + "\n")
