"""Parts of a split: whole users, every row once, and what ranking takes, against a search through all pairs."""

import pytest
from shared_out import SPLIT, assert_around, assert_parts

from ncf.data.parts import Whole

WHOLE = Whole(SPLIT)


@pytest.mark.parametrize("processes", [1, 2, 3, 12, 400])
def test_parts_are_whole_users_and_all_rows(processes: int) -> None:
    assert_parts(WHOLE, processes)


def test_around_held_out_rows_lies_what_their_users_have_seen() -> None:
    assert_around(WHOLE)
