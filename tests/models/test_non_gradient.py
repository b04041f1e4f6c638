"""What recommenders without gradient share: buffers that are the whole of them, and users' histories."""

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_models import SPLIT, dense_positives
from toys import pairs

from ncf.data.split import Split
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows


class Remembering(NonGradientRecommender):
    """Scores 1 for what a user has in training."""

    def fit(self, split: Split) -> None:
        self.keep_history(positives_matrix(split.train, split.num_users, split.num_items))

    def score(self, users: Tensor) -> Tensor:
        return self.histories(users).dense(15)


def fitted() -> Remembering:
    model = Remembering()
    model.fit(SPLIT)
    return model


def test_the_matrix_has_a_one_at_each_pair_and_sorted_indices() -> None:
    matrix = positives_matrix(SPLIT.train, 12, 15)
    assert np.array_equal(matrix.toarray(), dense_positives())
    assert (matrix.dtype, matrix.has_sorted_indices) == (np.float64, True)
    assert positives_matrix(pairs([]), 2, 3).toarray().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_users_history_is_their_training_items_in_ascending_order() -> None:
    users = torch.tensor([7, 0, 7])
    items, counts = fitted().history(users)
    own = [sorted(SPLIT.train.items[SPLIT.train.users == user].tolist()) for user in users.tolist()]
    assert items.tolist() == [item for each in own for item in each]
    assert counts.tolist() == [len(each) for each in own]


def test_histories_of_some_users_as_ones() -> None:
    users = torch.tensor([7, 0, 7])
    assert np.array_equal(fitted().score(users).numpy(), dense_positives()[users.numpy()])
    assert fitted().score(users[:0]).shape == (0, 15)


def test_a_user_without_training_positives_has_an_empty_history() -> None:
    model = Remembering()
    model.keep_history(positives_matrix(pairs([(0, 3), (2, 1)]), 3, 5))
    items, counts = model.history(torch.arange(3))
    assert (items.tolist(), counts.tolist()) == ([3, 1], [1, 0, 1])


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1.5, 2.5]), torch.float32),
        (torch.tensor([1.5], dtype=torch.float64), torch.float32),
        (np.array([1, 2], np.int32), torch.int64),
        (torch.tensor([True]), torch.int64),
    ],
)
def test_what_is_kept_is_a_buffer_of_single_floats_or_long_integers(
    array: np.ndarray | Tensor, dtype: torch.dtype
) -> None:
    model = Remembering()
    model.keep("kept", array)
    assert model.state_dict()["kept"].dtype == dtype
    assert not list(model.parameters())


def test_restoring_needs_no_fit_and_takes_its_shapes_from_what_is_restored() -> None:
    again = Remembering()
    again.restore(fitted().state_dict())
    assert torch.equal(again.score(torch.arange(12)), fitted().score(torch.arange(12)))
    again.restore(fitted().state_dict())  # also over what is there


def test_rows_are_summed_group_by_group() -> None:
    table = torch.arange(8.0).view(4, 2)
    rows, counts = torch.tensor([0, 3, 3, 1]), torch.tensor([1, 0, 3])
    assert sum_rows(table, rows, counts).tolist() == [[0, 1], [0, 0], [14, 17]]
    assert sum_rows(table, rows[:0], torch.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]
