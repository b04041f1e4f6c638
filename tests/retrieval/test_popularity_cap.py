"""No more popular items than the cap allows, as long as there are others."""

import numpy as np
import torch
from candidate_lists import candidates

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.popularity_cap import PopularityCap, head


def test_the_head_are_the_fewest_items_with_half_of_all_positives() -> None:
    assert head(np.array([1, 5, 3, 1])).tolist() == [False, True, False, False]
    assert head(np.array([2, 2, 2, 2])).tolist() == [True, True, False, False]
    assert head(np.array([0, 0])).tolist() == [False, False]


def test_popular_items_beyond_the_cap_come_after_all_others() -> None:
    popular = torch.tensor([True, True, True, False, False, True])
    found = Candidates(torch.tensor([0]), torch.tensor([[0, 1, 2, 3, 4, 5]]), torch.tensor([[6.0, 5, 4, 3, 2, 1]]))
    assert PopularityCap(0.25, popular).choose(found, 4).tolist() == [[0, 3, 4, 1]]  # there are but two others
    assert PopularityCap(0.5, popular).choose(found, 4).tolist() == [[0, 1, 3, 4]]
    assert PopularityCap(0.0, popular).choose(found, 3).tolist() == [[3, 4, 0]]


def test_the_cap_holds_in_every_list() -> None:
    popular = torch.arange(40) % 2 == 0
    found = candidates(fewer=False)
    chosen = PopularityCap(0.4, popular).choose(found, 5)
    others = (~popular[found.items]).sum(1)
    counted = popular[found.at(chosen)[0]].sum(1)
    assert (counted <= torch.maximum(torch.tensor(2), 5 - others)).all()


def test_a_share_that_is_a_whole_number_of_items_is_not_rounded_away() -> None:
    """0.29 times 100 is a little less than 29."""
    found = Candidates(torch.tensor([0]), torch.arange(200)[None], -torch.arange(200.0)[None])
    popular = torch.arange(200) < 100
    assert popular[PopularityCap(0.29, popular).choose(found, 100)].sum() == 29
