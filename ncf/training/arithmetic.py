"""The arithmetic that training is done in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """That of training, and of nothing else: products at `precision`, denormal numbers taken for zero.

    What decays to zero, as weights under L2 do, passes through denormals, which cost a CPU ten times the work.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision("highest")
