"""A captured step, with the capture stood in for on the CPU: what is replayed, and what is called as it is."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from toys import replayed, same

from ncf.data import Batch
from ncf.training.fast.cuda_graph import GraphedStep

Capture = Callable[[Callable[[], None]], Callable[[], None]]


class Counting:
    """A step whose state is how much it was given; `calls` are those from Python."""

    def __init__(self) -> None:
        self.state = torch.zeros(3)
        self.calls = 0

    def __call__(self, batch: Batch) -> Tensor:
        self.calls += 1
        self.state += torch.stack([batch.users.sum(), batch.items.sum(), torch.tensor(1)])
        if batch.log_probs is not None:
            self.state[2] += batch.log_probs.sum()
        return batch.items.sum().clone()


def batch(seed: int, groups: int = 4, log_probs: bool = False) -> Batch:
    stream = torch.Generator().manual_seed(seed)
    users, items = torch.randint(9, (groups,), generator=stream), torch.randint(9, (groups, 3), generator=stream)
    return Batch(users, items, None, torch.rand(groups, 2, generator=stream) if log_probs else None)


def graphed(step: Counting, capture: Capture = replayed) -> GraphedStep:
    return GraphedStep(step, [step.state], capture)


@pytest.mark.parametrize("log_probs", [False, True])
def test_replays_do_what_the_step_does_on_each_new_batch(log_probs: bool) -> None:
    step, plain = Counting(), Counting()
    replay = graphed(step)
    for seed in range(5):
        given = batch(seed, log_probs=log_probs)
        assert torch.equal(replay(given), plain(given))
        torch.testing.assert_close(step.state, plain.state)


def test_warming_up_and_capturing_leave_the_state_as_it_was() -> None:
    step = Counting()
    step.state += 7
    before, seen = step.state.clone(), []

    def capture(run: Callable[[], None]) -> Callable[[], None]:
        replayed(run)
        seen.append(step.state.clone())
        return lambda: None

    graphed(step, capture)(batch(0))
    assert not torch.equal(seen[0], before)
    assert torch.equal(step.state, before)


def test_the_step_is_captured_once() -> None:
    captures: list[int] = []

    def capture(run: Callable[[], None]) -> Callable[[], None]:
        captures.append(1)
        return replayed(run)

    replay = graphed(Counting(), capture)
    for seed in range(4):
        replay(batch(seed))
    assert captures == [1]


def test_a_batch_of_another_shape_is_not_replayed_and_the_next_one_is_again() -> None:
    step, plain = Counting(), Counting()
    runs: list[int] = []

    def capture(run: Callable[[], None]) -> Callable[[], None]:
        return lambda: runs.append(1) or run()  # type: ignore[func-returns-value]

    replay = graphed(step, capture)
    for given in (batch(0), batch(1, groups=2), batch(2)):
        assert torch.equal(replay(given), plain(given))
    assert torch.equal(step.state, plain.state)
    assert len(runs) == 2


def test_batches_are_copied_so_that_the_callers_may_be_reused() -> None:
    step, given = Counting(), batch(0)
    replay = graphed(step)
    kept = {name: tensor.clone() for name, tensor in given.tensors().items()}
    replay(given)
    replay(batch(1))
    assert same(given.tensors(), kept)


def test_a_device_that_takes_no_graph_is_told_of_once_and_trains_as_it_can(caplog: pytest.LogCaptureFixture) -> None:
    def refused(run: Callable[[], None]) -> Callable[[], None]:
        run()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    step, plain = Counting(), Counting()
    replay = graphed(step, refused)
    with caplog.at_level(logging.WARNING):
        for seed in range(3):
            assert torch.equal(replay(batch(seed)), plain(batch(seed)))
    assert torch.equal(step.state, plain.state)
    (record,) = caplog.records
    assert "cannot capture the step as a CUDA graph" in record.message
    assert "more" not in record.message


def test_an_error_of_another_kind_is_not_hidden() -> None:
    def broken(run: Callable[[], None]) -> Callable[[], None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        graphed(Counting(), broken)(batch(0))
