"""Capture a training step once as a CUDA graph and replay it, without Python or kernel launches inside the step."""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ncf.data.batch import Batch

log = logging.getLogger(__name__)

_WARM_UPS = 3  # as PyTorch recommends, so that libraries allocate their workspaces before the capture


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Warm `step` up on a side stream, capture it, and return its replay; it must use the same tensors each time."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


class GraphedStep:
    """Replays `step` for batches of the first one's shape, and calls it for others, such as the last of an epoch.

    Args:
        step: trains on a batch and returns its summed loss (); may change only `state`, in place, and scratch memory.
        state: the tensors that it changes.
        capture: takes a step without arguments and returns its replay.
    """

    def __init__(
        self,
        step: Callable[[Batch], Tensor],
        state: Sequence[Tensor],
        capture: Callable[[Callable[[], None]], Callable[[], None]] = capture,
    ) -> None:
        self._step, self._state, self._capture = step, state, capture
        self._batch: Batch | None = None
        self._total: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Train on `batch` and return its summed loss, shaped as `step` returns it."""
        if self._batch is None:
            self._batch = Batch(**{name: tensor.clone() for name, tensor in batch.tensors().items()})
            self._replay = self._try_capture(self._batch)
        if self._replay is None or batch.items.shape != self._batch.items.shape:
            return self._step(batch)
        for static, given in zip(self._batch.tensors().values(), batch.tensors().values(), strict=True):
            static.copy_(given)
        self._replay()
        assert self._total is not None
        return self._total

    def _try_capture(self, batch: Batch) -> Callable[[], None] | None:
        """Return the replay, with `state` unchanged; None, with a warning, if the device cannot capture the step."""
        before = [tensor.clone() for tensor in self._state]

        def step() -> None:
            self._total = self._step(batch)

        try:
            replay = self._capture(step)
        except RuntimeError as error:
            log.warning("cannot capture the step as a CUDA graph, running without: %s", str(error).splitlines()[0])
            replay = None
        for tensor, old in zip(self._state, before, strict=True):
            tensor.copy_(old)
        return replay
