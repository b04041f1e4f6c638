"""A batch: frozen, and made again from the fields that are there."""

import dataclasses

import pytest
import torch

from ncf.data import Batch

USERS, ITEMS = torch.tensor([3, 1]), torch.tensor([[5, 0, 2], [4, 4, 1]])
RATINGS, LOG_PROBS = torch.tensor([4.0, 5.0]), torch.tensor([[-1.0, -2.0], [-0.5, -3.0]])


def test_rows_are_positives_and_negatives_together() -> None:
    assert Batch(USERS, ITEMS).rows == 6
    assert Batch(USERS.expand(4, -1), ITEMS.expand(4, -1, -1)).rows == 24


@pytest.mark.parametrize(
    ("batch", "names"),
    [
        (Batch(USERS, ITEMS), ["users", "items"]),
        (Batch(USERS, ITEMS, RATINGS), ["users", "items", "ratings"]),
        (Batch(USERS, ITEMS, log_probs=LOG_PROBS), ["users", "items", "log_probs"]),
        (Batch(USERS, ITEMS, RATINGS, LOG_PROBS), ["users", "items", "ratings", "log_probs"]),
    ],
)
def test_the_tensors_are_the_fields_that_are_there_and_make_the_batch_again(batch: Batch, names: list[str]) -> None:
    assert list(batch.tensors()) == names
    again = Batch(**batch.tensors())
    assert all(getattr(again, field.name) is getattr(batch, field.name) for field in dataclasses.fields(Batch))


def test_a_batch_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Batch(USERS, ITEMS).users = ITEMS  # type: ignore[misc]
