"""What every step does around its gradients: it shows, sums, and skips its update once a number is not finite."""

from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import adam, batches, model_named, optimizer_named, plain_step
from toys import same

from ncf.data import Batch
from ncf.losses import BCE
from ncf.training.base import LazyOptimizer, Step, Tally


def weights(step: Step) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in step.model.state_dict().items()}


def first_batch() -> Batch:
    return next(batches().epoch(1))


def test_a_step_moves_the_parameters_by_the_optimizer_and_gives_the_summed_loss() -> None:
    """By gradient descent, which is checked by hand."""
    model, batch = model_named(std=0.3, dtype=torch.float64), first_batch()
    subject = plain_step(model, BCE(), torch.optim.SGD(model.parameters(), lr=0.5, fused=True))
    before = weights(subject)
    total = subject(batch)
    twin = model_named(std=0.3, dtype=torch.float64)
    losses = BCE()(twin(batch.users, batch.items))
    losses.mean().backward()
    torch.testing.assert_close(total, losses.sum().detach())
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(model.state_dict()[name], before[name] - 0.5 * parameter.grad)


def test_an_observer_sees_batch_and_logits_before_the_update() -> None:
    subject, batch = plain_step(model_named(std=0.3), BCE()), first_batch()
    with torch.no_grad():
        expected = subject.model(batch.users, batch.items)
    seen: list[tuple[Batch, Tensor, dict[str, Tensor]]] = []
    subject.observer = lambda batch, logits: seen.append((batch, logits, weights(subject)))
    before = weights(subject)
    subject(batch)
    ((shown, logits, at_that_time),) = seen
    assert shown is batch
    torch.testing.assert_close(logits, expected)
    assert same(at_that_time, before)
    assert not same(weights(subject), before)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("optimizer", ["adam", "row_adam"])
def test_what_is_not_finite_is_not_applied_and_neither_is_anything_after_it(optimizer: str, poison: float) -> None:
    model = model_named(std=0.3)
    subject = plain_step(model, BCE(), optimizer_named(optimizer, model))
    stream = batches().epoch(1)
    subject(next(stream))
    subject.flush()
    before = weights(subject)
    subject.loss = lambda logits: BCE()(logits) * poison
    subject(next(stream))
    subject.loss = BCE()
    subject(next(stream))
    subject.flush()
    assert same(weights(subject), before)
    assert subject.tally.broken == 1
    assert subject.tally.finite_steps == 1


def test_the_tally_sums_losses_and_counts_the_steps_before_the_first_bad_one() -> None:
    tally = Tally(torch.device("cpu"))
    for total in (1.5, 2.0):
        tally.check([torch.tensor(total), torch.zeros(3)])
        tally.add(torch.tensor(total))
    assert (float(tally.loss_sum), float(tally.finite_steps), float(tally.broken)) == (3.5, 2, 0)
    for gradient in (float("-inf"), 0.0):
        tally.check([torch.tensor(1.0), torch.tensor([0.0, gradient])])
        tally.add(torch.tensor(1.0))
    assert (float(tally.finite_steps), float(tally.broken)) == (2, 1)
    tally.reset()
    assert (float(tally.loss_sum), float(tally.finite_steps), float(tally.broken)) == (0, 0, 1)
    assert tally.loss_sum.dtype == torch.float64


def test_checking_changes_no_value() -> None:
    values = torch.tensor([1e-40, -3e38, 0.1])
    before = values.clone()
    Tally(torch.device("cpu")).check([values])
    assert torch.equal(values, before)


def test_only_a_lazy_optimizer_is_flushed() -> None:
    class Lazy(LazyOptimizer):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    model = model_named()
    lazy = Lazy(model.parameters(), {})
    plain_step(model, BCE(), lazy).flush()
    assert lazy.flushed == 1
    plain_step(model, BCE()).flush()


def test_a_lazy_optimizer_without_a_flush_says_so() -> None:
    class Forgetful(LazyOptimizer):
        pass

    with pytest.raises(TypeError, match=r"^Forgetful: .*must define flush$"):
        Forgetful(model_named().parameters(), {}).flush()


def test_a_step_has_to_say_how_it_goes_backward() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Step(model_named(), BCE(), adam(model_named(), lr=0.01, weight_decay=0.0))  # type: ignore[abstract]


@pytest.mark.parametrize("optimizer", ["adam", "row_adam"])
def test_the_gradients_are_the_values_of_all_that_there_are(optimizer: str) -> None:
    model = model_named("gmf", std=0.3)
    step = plain_step(model, BCE(), optimizer_named(optimizer, model))
    assert step.gradients() == []
    batch = first_batch()
    step.backward(batch)
    rows = len(batch.users) if optimizer == "row_adam" else 20  # looked up, repeats included
    assert [tuple(gradient.shape) for gradient in step.gradients()[:1]] == [(rows, 6)]
    assert len(step.gradients()) == 4
    assert not any(gradient.is_sparse for gradient in step.gradients())


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam], ids=["SGD", "Adam"])
def test_an_optimizer_that_cannot_skip_by_itself_is_not_stepped_once_a_number_is_not_finite(make: Any) -> None:
    model, batch = model_named("gmf", std=0.3), first_batch()
    step = plain_step(model, BCE(), make(model.parameters(), lr=0.1))
    before = weights(step)
    step(batch)
    assert not same(before, weights(step))
    with torch.no_grad():
        model.output.bias.fill_(torch.nan)
    whole = weights(step)
    step(batch)
    assert step.tally.broken == 1
    assert step.tally.finite_steps == 1
    assert all(torch.equal(whole[name], now) for name, now in weights(step).items() if name != "output.bias")
