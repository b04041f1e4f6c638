"""Focal loss, forward and backward: `python -m experiments.benchmarks.focal_sides ncf|formula|fvcore`.

Each runs on the logits of whole groups of one positive and ten negatives, summed.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from experiments.benchmarks.serve import serve, timed

ALPHA, GAMMA, COLUMNS = 0.25, 2.0, 11


def ncf_loss() -> Callable[[Tensor], Tensor]:
    """The fused kernel."""
    from ncf.losses.kernel import focal_losses

    return lambda logits: focal_losses(logits, GAMMA, ALPHA, 1 - ALPHA).sum()


def formula_loss() -> Callable[[Tensor], Tensor]:
    """Lin et al. 2017, eq. 5, written down on labels and left to autograd."""

    def loss(logits: Tensor) -> Tensor:
        labels = _labels(logits)
        z = (2 * labels - 1) * logits
        weights = ALPHA * labels + (1 - ALPHA) * (1 - labels)
        return (-weights * torch.sigmoid(-z) ** GAMMA * torch.nn.functional.logsigmoid(z)).sum()

    return loss


def fvcore_loss() -> Callable[[Tensor], Tensor]:
    """`fvcore.nn.sigmoid_focal_loss`, as it is published; its labels are made beforehand."""
    from fvcore.nn import sigmoid_focal_loss

    labels: dict[tuple[int, ...], Tensor] = {}

    def loss(logits: Tensor) -> Tensor:
        target = labels.setdefault(tuple(logits.shape), _labels(logits))
        total: Tensor = sigmoid_focal_loss(logits, target, alpha=ALPHA, gamma=GAMMA, reduction="sum")
        return total

    return loss


def _labels(logits: Tensor) -> Tensor:
    labels = torch.zeros_like(logits, requires_grad=False)
    labels[:, 0] = 1
    return labels


class FocalSide:
    """One of the three, at one size at a time."""

    def __init__(self, name: str) -> None:
        self.eager = {"ncf": ncf_loss, "formula": formula_loss, "fvcore": fvcore_loss}[name]()

    def prepare(self, logits: int, compiled: bool, device: str) -> dict[str, Any]:
        """About `logits` logits on `device`; how many exactly."""
        self.loss = self.eager
        if compiled:
            torch._dynamo.reset()
            self.loss = torch.compile(self.eager, dynamic=False)
        self.device = device
        stream = torch.Generator().manual_seed(0)
        self.logits = (torch.randn(logits // COLUMNS, COLUMNS, generator=stream) * 3).to(device).requires_grad_()
        self._once()
        return {"logits": self.logits.numel(), "loss": self.loss(self.logits).item()}

    def run(self, repeats: int) -> dict[str, Any]:
        """Forward and backward, `repeats` times."""
        return timed(lambda: [self._once() for _ in range(repeats)], self.device)

    def peak(self) -> dict[str, Any]:
        """Bytes held at the worst moment of a forward and backward, over those held before it."""
        self.logits.grad = None
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self._once()
            return {"peak_bytes": torch.cuda.max_memory_allocated() - before}
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            self._once()
        held = peak = 0
        for event in profiled.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                peak = max(peak, held)
        return {"peak_bytes": peak}

    def _once(self) -> None:
        self.logits.grad = None
        self.loss(self.logits).backward()


if __name__ == "__main__":
    torch.set_num_threads(1)
    focal = FocalSide(sys.argv[1])
    serve(focal.prepare, focal.run, focal.peak)
