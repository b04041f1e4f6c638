"""The fused Adam is torch's to the bit, laid out in one tensor to rounding, and several together are each alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ncf.training.fast.adam import FusedAdam, FusedAdamW, JointAdam

SHAPES: list[tuple[int, ...]] = [(30, 8), (8, 4), (4,), ()]


def parameters(seed: int = 3) -> list[nn.Parameter]:
    stream = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=stream)) for shape in SHAPES]


class Laid(nn.Module):
    """Parameters that are views of one tensor, as `ClosedForm` lays them out, and an Adam over them."""

    def __init__(self, seed: int = 3, lr: float = 1e-2, weight_decay: float = 0.1) -> None:
        super().__init__()
        own = parameters(seed)
        size = sum(p.numel() for p in own) + 5  # the tensor may be longer than they are
        self.values, self.gradients = torch.zeros(size), torch.zeros(size)
        self.own, place = own, 0
        for p in own:
            part = slice(place, place := place + p.numel())
            p.data = self.values[part].view(p.shape).copy_(p.data)
            p.grad = self.gradients[part].view(p.shape)
        self.adam = FusedAdam(own, lr, weight_decay)
        self.adam.lay_out(self.values, self.gradients)

    def give(self, stream: torch.Generator) -> None:
        for p in self.own:
            p.grad.copy_(torch.randn(p.shape, generator=stream))


@pytest.mark.parametrize(("kind", "theirs_of"), [(FusedAdam, torch.optim.Adam), (FusedAdamW, torch.optim.AdamW)])
def test_it_is_torchs_adam_to_the_bit_across_skipped_steps_and_a_reload(
    kind: type[FusedAdam], theirs_of: type[torch.optim.Adam]
) -> None:
    stream = torch.Generator().manual_seed(4)
    ours, theirs = parameters(), parameters()
    a = kind(ours, lr=1e-2, weight_decay=0.1)
    b = theirs_of(theirs, lr=1e-2, weight_decay=0.1, fused=True)
    for step in range(60):
        if step == 30:  # as a resumed run does
            fresh = kind(ours, lr=1e-2, weight_decay=0.1)
            fresh.load_state_dict(a.state_dict())
            a = fresh
        found_inf = torch.tensor(float(step % 7 == 3))
        a.found_inf = b.found_inf = found_inf  # type: ignore[attr-defined]
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=stream)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    assert all(torch.equal(a.state[p]["step"], b.state[q]["step"]) for p, q in zip(ours, theirs, strict=True))


def test_a_parameter_without_a_gradient_stays() -> None:
    ours = parameters()
    before = [p.detach().clone() for p in ours]
    adam = FusedAdam(ours, lr=1e-2, weight_decay=0.1)
    ours[1].grad = torch.ones_like(ours[1])
    adam.step()
    assert [bool((p != q).any()) for p, q in zip(ours, before)] == [False, True, False, False]


def test_laid_out_it_takes_the_same_steps_to_rounding() -> None:
    """A parameter's last elements may be computed one by one or many at once, which rounds apart."""
    laid, plain = Laid(), parameters()
    adam = FusedAdam(plain, lr=1e-2, weight_decay=0.1)
    streams = [torch.Generator().manual_seed(5) for _ in range(2)]
    for step in range(20):
        laid.adam.found_inf = adam.found_inf = torch.tensor(float(step == 7))
        laid.give(streams[0])
        laid.adam.step_laid_out()
        for p in plain:
            p.grad = torch.randn(p.shape, generator=streams[1])
        adam.step()
    assert not laid.values[-5:].any()
    for p, q in zip(laid.own, plain):
        torch.testing.assert_close(p, q)
        torch.testing.assert_close(laid.adam.state[p], adam.state[q])


def test_steps_laid_out_and_ordinary_ones_may_take_turns() -> None:
    """As after a check that a fast step fails: the layout stays, and the plain step moves the parameters."""
    laid, other = Laid(), Laid()
    streams = [torch.Generator().manual_seed(5) for _ in range(2)]
    for step in range(6):
        laid.give(streams[0])
        other.give(streams[1])
        laid.adam.step_laid_out()
        other.adam.step() if step % 2 else other.adam.step_laid_out()
    torch.testing.assert_close(laid.values, other.values)


def test_moments_of_before_are_kept_when_parameters_are_laid_out_and_when_a_state_is_loaded() -> None:
    plain = parameters()
    adam = FusedAdam(plain, lr=1e-2, weight_decay=0.1)
    stream = torch.Generator().manual_seed(6)
    for _ in range(3):
        for p in plain:
            p.grad = torch.randn(p.shape, generator=stream)
        adam.step()
    laid = Laid()
    laid.adam.load_state_dict(copy.deepcopy(adam.state_dict()))
    for p, q in zip(laid.own, plain):
        p.data.copy_(q.data)
    laid.give(torch.Generator().manual_seed(7))
    for p, q in zip(laid.own, plain):
        q.grad = p.grad.clone()
    laid.adam.step_laid_out()
    adam.step()
    torch.testing.assert_close(laid.own, plain)
    assert all(int(laid.adam.state[p]["step"]) == 4 for p in laid.own)


def test_laying_out_again_moves_everything_to_the_new_tensor() -> None:
    """As when a run joins a stack."""
    laid, alone = Laid(), Laid()
    streams = [torch.Generator().manual_seed(5) for _ in range(2)]
    for step in range(6):
        if step == 3:
            values, gradients = torch.zeros(len(laid.values) + 3), torch.zeros(len(laid.values) + 3)
            for p in laid.own:
                place = p.storage_offset()
                part = slice(place, place + p.numel())
                p.data = values[part].view(p.shape).copy_(p.data)
                p.grad = gradients[part].view(p.shape)
            laid.adam.lay_out(values, gradients)
            assert all(a is b for a, b in zip(laid.adam.laid_out(), (values, gradients)))
        laid.give(streams[0])
        alone.give(streams[1])
        laid.adam.step_laid_out()
        alone.adam.step_laid_out()
    torch.testing.assert_close(laid.own, alone.own)


@pytest.mark.parametrize("settings", [[(1e-2, 0.1)] * 3, [(1e-2, 0.1), (1e-3, 0.1), (1e-2, 0.0)]])
def test_several_take_their_steps_together_as_each_alone_to_the_bit(settings: list[tuple[float, float]]) -> None:
    """Among other settings, and with step counts that differ."""

    def made() -> list[Laid]:
        return [Laid(seed, *own) for seed, own in enumerate(settings)]

    joint, each = made(), made()
    streams = [torch.Generator().manual_seed(8) for _ in range(2)]

    def steps(laid: list[Laid], stream: torch.Generator, move: Callable[[], object]) -> None:
        for _ in range(5):
            for one in laid:
                one.give(stream)
            move()

    for laid, stream in zip((joint, each), streams):  # the last has a step more
        laid[-1].give(stream)
        laid[-1].adam.step_laid_out()
    steps(joint, streams[0], JointAdam([one.adam for one in joint]).step)
    steps(each, streams[1], lambda: [one.adam.step_laid_out() for one in each])
    for a, b in zip(joint, each):
        assert all(torch.equal(x, y) for x, y in zip(a.adam.laid_out(), b.adam.laid_out()))
    assert [int(one.adam.laid_out()[-1]) for one in joint] == [5] * (len(joint) - 1) + [6]


def test_what_a_step_changes_is_all_there_is_to_put_back() -> None:
    laid = Laid()
    laid.give(torch.Generator().manual_seed(9))
    before = [tensor.clone() for tensor in laid.adam.laid_out()]
    laid.adam.step_laid_out()
    first = laid.values.clone()
    for tensor, old in zip(laid.adam.laid_out(), before):
        tensor.copy_(old)
    laid.adam.step_laid_out()
    assert torch.equal(laid.values, first)
