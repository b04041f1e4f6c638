"""The floating-point mode of training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Within the context, compute matrix products at `precision` and flush denormals to zero.

    Values that decay to zero, such as weights under L2, pass through denormals, which slow a CPU down tenfold.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision("highest")
