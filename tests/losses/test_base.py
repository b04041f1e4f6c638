"""What every loss must pass, whichever way it is computed."""

import dataclasses

import pytest
import torch
from torch import Tensor
from toys import loss_named

from ncf.data import Batch
from ncf.losses import LOSSES, BatchLoss, FocalFamily, KernelArguments, needs, per_example

FAMILY = [name for name in LOSSES if isinstance(loss_named(name), FocalFamily)]


def logits_and_batch(rows: int = 7, columns: int = 5) -> tuple[Tensor, Batch]:
    """Random logits (B, 1+K) and a batch with everything that any loss may ask for."""
    stream = torch.Generator().manual_seed(1)
    logits = torch.randn(rows, columns, generator=stream) * 3
    users, items = torch.arange(rows), torch.arange(rows * columns).view(rows, columns)
    log_probs = torch.rand(rows, columns - 1, generator=stream).log()
    ratings, frequencies = (torch.rand(rows, generator=stream) for _ in range(2))
    return logits, Batch(users, items, ratings, log_probs, frequencies)


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(**{name: tensor[rows] for name, tensor in batch.tensors().items()})


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_pure_and_gives_one_value_an_example(name: str) -> None:
    loss = loss_named(name)
    logits, batch = logits_and_batch()
    before, fields = logits.clone(), {key: tensor.clone() for key, tensor in batch.tensors().items()}
    first, second = per_example(loss, logits, batch), per_example(loss, logits, batch)
    assert first.shape == logits.shape
    assert first.dtype == logits.dtype
    assert torch.equal(first, second)
    assert torch.equal(logits, before)
    assert all(torch.equal(tensor, fields[key]) for key, tensor in batch.tensors().items())
    assert (first >= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_no_group_sees_another(name: str) -> None:
    loss = loss_named(name)
    logits, batch = logits_and_batch()
    whole = per_example(loss, logits, batch)
    torch.testing.assert_close(per_example(loss, logits[2:4], part(batch, slice(2, 4))), whole[2:4])


@pytest.mark.parametrize("name", LOSSES)
def test_the_formula_has_a_gradient_that_lowers_it(name: str) -> None:
    loss = loss_named(name)
    logits, batch = logits_and_batch()
    logits = logits.sigmoid()  # where the clamped loss has a gradient too
    x = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(per_example(loss, x, batch).sum(), x)
    assert gradient[:, 0].lt(0).all()
    assert gradient[:, 1:].gt(0).all()
    lower = per_example(loss, logits - 1e-3 * gradient, batch).sum()
    assert lower < per_example(loss, logits, batch).sum()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_reads_no_more_than_logits_needs_nothing_of_the_batch(name: str) -> None:
    loss = loss_named(name)
    logits, batch = logits_and_batch()
    bare = Batch(batch.users, batch.items, **{key: getattr(batch, key) for key in needs(loss)})
    assert torch.equal(per_example(loss, logits, bare), per_example(loss, logits, batch))
    if not isinstance(loss, BatchLoss):
        assert needs(loss) == frozenset()
        assert torch.equal(loss(logits), per_example(loss, logits, batch))


def test_a_loss_asks_for_what_its_formula_reads_and_most_for_nothing() -> None:
    assert {name: needs(loss_named(name)) for name in LOSSES if needs(loss_named(name))} == {
        "logq_softmax": frozenset({"log_probs"}),
        "item_weighted_bce": frozenset({"frequencies"}),
        "bpr_rating": frozenset({"ratings"}),
    }


def test_a_batch_loss_sees_the_batch_and_another_only_the_logits() -> None:
    class Weighted(BatchLoss):
        needs = frozenset({"ratings"})

        def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
            assert batch.ratings is not None
            return logits * batch.ratings[:, None]

    logits, batch = logits_and_batch()
    assert needs(Weighted()) == {"ratings"}
    assert batch.ratings is not None
    assert torch.equal(per_example(Weighted(), logits, batch), logits * batch.ratings[:, None])
    assert torch.equal(per_example(lambda x: 2 * x, logits, batch), 2 * logits)
    assert needs(lambda x: x) == frozenset()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("neg_ratio", [1, 4, 50])
def test_the_weights_of_the_focal_family_are_what_its_formula_multiplies_by(name: str, neg_ratio: int) -> None:
    """At a logit of 0, where p is one half: w 0.5^gamma log 2."""
    loss = loss_named(name)
    assert isinstance(loss, FocalFamily)
    weights = loss.kernel_arguments(neg_ratio)
    values = loss(torch.zeros(1, 1 + neg_ratio, dtype=torch.float64))[0] / torch.tensor(2.0).double().log()
    expected = torch.tensor([weights.positive] + [weights.negative] * neg_ratio).double() * 0.5**weights.gamma
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=0)


def test_the_focal_family_is_what_the_kernel_computes() -> None:
    assert set(FAMILY) == {"bce", "alpha_bce", "focal", "weighted_bce", "gbce"}


def test_a_loss_without_a_formula_cannot_be_made() -> None:
    for kind in (BatchLoss, FocalFamily):
        with pytest.raises(TypeError, match="abstract"):
            kind()  # type: ignore[abstract]


@pytest.mark.parametrize("name", LOSSES)
def test_settings_cannot_be_changed_once_made(name: str) -> None:
    loss = loss_named(name)
    assert dataclasses.is_dataclass(loss)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.gamma = 1.0  # type: ignore[union-attr]
    with pytest.raises(dataclasses.FrozenInstanceError):
        KernelArguments(0.0, 1.0, 1.0).gamma = 1.0  # type: ignore[misc]
