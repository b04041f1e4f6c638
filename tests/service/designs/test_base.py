"""Assignments: as many as asked, and arms that are large enough."""

import pytest
import torch

from ncf.errors import ConfigError
from ncf.service.designs.base import chosen, refuse_small_arms


def test_the_first_of_a_random_order_are_chosen() -> None:
    order = torch.tensor([[3, 1, 0, 2], [0, 1, 2, 3]])
    assert chosen(order, 0.5).tolist() == [[False, True, False, True], [True, True, False, False]]
    assert not chosen(order, 0.0).any()


def test_arms_of_fewer_than_two_are_refused() -> None:
    refuse_small_arms("ab", 4, 0.5)
    for share in (0.25, 0.75):
        with pytest.raises(ConfigError, match=r"^design\.ab\.share: expected a share"):
            refuse_small_arms("ab", 4, share)
