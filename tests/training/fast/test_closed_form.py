"""The gradients in closed form against autograd's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncf import models
from ncf.core.rng import generator
from ncf.models import MODELS, GradientRecommender
from ncf.models.gmf import GMF
from ncf.models.mlp import MLP
from ncf.models.neumf import NeuMF
from ncf.training.fast.closed_form import ClosedForm, supports

USERS, ITEMS = 6, 9
WIDTHS = st.integers(1, 9)
HIDDEN = st.lists(WIDTHS, min_size=1, max_size=3)
SHAPES = st.one_of(
    st.builds(lambda d: partial(GMF, factors=d), WIDTHS),
    st.builds(lambda d, h: partial(MLP, factors=d, hidden=h, dropout=0.0), WIDTHS, HIDDEN),
    st.builds(
        lambda g, m, h: partial(NeuMF, gmf_factors=g, mlp_factors=m, hidden=h, dropout=0.0), WIDTHS, WIDTHS, HIDDEN
    ),
)
SMALL = partial(NeuMF, gmf_factors=3, mlp_factors=4, hidden=[5, 2], dropout=0.0)


def built(
    make: Callable[..., GradientRecommender], runs: int, dtype: torch.dtype = torch.float64
) -> list[GradientRecommender]:
    """Models of the shape, with weights large enough that each matters and some units are dead."""
    made = [models.build(make, USERS, ITEMS, generator(seed, "initialisation")).to(dtype) for seed in range(runs)]
    for seed, model in enumerate(made):
        stream = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.5, generator=stream)
    return made


def batch(runs: int, groups: int, negatives: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """users (S, B), items (S, B, 1+K), logit_grad (S, B, 1+K); users and items occur repeatedly."""
    stream = torch.Generator().manual_seed(seed)
    shape = runs, groups, 1 + negatives
    users = torch.randint(USERS, shape[:2], generator=stream)
    items = torch.randint(ITEMS, shape, generator=stream)
    return users, items, torch.randn(shape, dtype=torch.float64, generator=stream)


def by_autograd(
    model: GradientRecommender, users: Tensor, items: Tensor, logit_grad: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Logits and gradients of one run."""
    model.zero_grad()
    logits = model(users, items)
    logits.backward(logit_grad)
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None for gradient in gradients)
    return logits.detach(), [gradient.clone() for gradient in gradients if gradient is not None]


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_logits_and_gradients_are_those_of_autograd(
    make: Callable[..., GradientRecommender], runs: int, groups: int, negatives: int, seed: int
) -> None:
    """Twice, so that what the first step left in the gradients would be found in the second."""
    subjects = built(make, runs)
    passes = ClosedForm(subjects)
    for step in range(2):
        users, items, logit_grad = batch(runs, groups, negatives, seed + step)
        expected = [by_autograd(*each) for each in zip(built(make, runs), users, items, logit_grad)]
        torch.testing.assert_close(passes.forward(users, items), torch.stack([logits for logits, _ in expected]))
        passes.backward(logit_grad)
        for model, (_, gradients) in zip(subjects, expected):
            for (name, parameter), gradient in zip(model.named_parameters(), gradients):
                torch.testing.assert_close(parameter.grad, gradient, msg=lambda text, name=name: f"{name}: {text}")


def test_one_run_needs_no_dimension_of_its_own() -> None:
    (plain, subject) = (built(SMALL, 1)[0] for _ in "ab")
    (users,), (items,), (logit_grad,) = batch(1, 4, 3)
    logits, gradients = by_autograd(plain, users, items, logit_grad)
    passes = ClosedForm([subject])
    torch.testing.assert_close(passes.forward(users, items), logits)
    passes.backward(logit_grad)
    for parameter, gradient in zip(subject.parameters(), gradients):
        torch.testing.assert_close(parameter.grad, gradient)


def test_single_precision_agrees_to_rounding() -> None:
    make = partial(NeuMF, gmf_factors=64, mlp_factors=64, hidden=[128, 64, 32], dropout=0.0)
    plain, subject = (built(make, 1, torch.float32)[0] for _ in "ab")
    for model in (plain, subject):
        for parameter in model.parameters():
            parameter.data *= 0.2
    users, items, logit_grad = batch(1, 23, 10)
    logits, gradients = by_autograd(plain, users[0], items[0], logit_grad[0].float())
    passes = ClosedForm([subject])
    torch.testing.assert_close(passes.forward(users[0], items[0]), logits, rtol=1e-5, atol=1e-6)
    passes.backward(logit_grad[0].float())
    for parameter, gradient in zip(subject.parameters(), gradients):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


def test_parameters_keep_their_values_and_become_views_of_one_tensor() -> None:
    subjects, originals = built(SMALL, 3), built(SMALL, 3)
    flat = ClosedForm(subjects).flat
    for run, (subject, original) in enumerate(zip(subjects, originals)):
        for mine, old in zip(subject.parameters(), original.parameters()):
            assert torch.equal(mine, old)
        flat.values[run].zero_()
        assert all(not parameter.any() for parameter in subject.parameters())


def test_a_model_whose_formula_may_be_another_is_left_to_autograd() -> None:
    class Same(GMF):
        pass

    class Other(GMF):
        def forward(self, users: Tensor, items: Tensor) -> Tensor:
            return -super().forward(users, items)

    assert supports(built(SMALL, 1)[0])
    assert supports(built(partial(Same, factors=2), 1)[0])
    assert not supports(built(partial(Other, factors=2), 1)[0])
    assert not supports(built(partial(MODELS["mf"], factors=2), 1)[0])


@pytest.mark.parametrize("count", [1, 2])
def test_every_gradient_is_within_the_flat_one(count: int) -> None:
    """What the trainer's guard against inf and NaN reads."""
    subjects = built(SMALL, count)
    passes = ClosedForm(subjects)
    users, items, logit_grad = batch(count, 4, 3)
    passes.forward(users, items)
    passes.backward(logit_grad)
    for run, model in enumerate(subjects):
        total = sum(parameter.grad.abs().sum() for parameter in model.parameters() if parameter.grad is not None)
        torch.testing.assert_close(passes.flat.gradients[run].abs().sum(), total)
