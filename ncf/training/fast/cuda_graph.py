"""A training step captured once as a CUDA graph and replayed: no launches, no Python within the step."""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ncf.data.batch import Batch

log = logging.getLogger(__name__)

_WARM_UPS = 3  # as PyTorch asks for, so that libraries have their workspaces before the capture


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """What replays `step`, which must work on the same tensors each time. Runs it a few times, on a side stream."""
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
    """`step` by replay for batches of the shape of the first one; any other, such as the last of an epoch, as it is.

    Args:
        step: trains on a batch and gives its summed loss (); all that it changes are `state`, in place, and scratch
            memory.
        state: the tensors that it changes.
        capture: step without arguments -> what replays it.
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
        """Train on `batch`; the sum of its losses, shaped as that of `step`."""
        if self._batch is None:
            self._batch = Batch(**{name: tensor.clone() for name, tensor in batch.tensors().items()})
            self._replay = self._captured(self._batch)
        if self._replay is None or batch.items.shape != self._batch.items.shape:
            return self._step(batch)
        for static, given in zip(self._batch.tensors().values(), batch.tensors().values(), strict=True):
            static.copy_(given)
        self._replay()
        assert self._total is not None
        return self._total

    def _captured(self, batch: Batch) -> Callable[[], None] | None:
        """The replay, `state` left as it was; None, with a warning, where the device does not take the step."""
        before = [tensor.clone() for tensor in self._state]

        def step() -> None:
            self._total = self._step(batch)

        try:
            replay = self._capture(step)
        except RuntimeError as error:
            log.warning("no CUDA graph, steps are launched one by one: %s", str(error).splitlines()[0])
            replay = None
        for tensor, old in zip(self._state, before, strict=True):
            tensor.copy_(old)
        return replay
