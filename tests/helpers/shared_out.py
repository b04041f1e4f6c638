"""What the tests of parts of a split compare with: a search through all pairs."""

import itertools

import numpy as np
from toys import random_split

from ncf.data.parts import Parts
from ncf.data.split import Pairs

SPLIT = random_split(13, 30, seed=3, held_out=2)


def rows(pairs: Pairs, shift: int = 0) -> list[tuple[int, int]]:
    return [(user + shift, item) for user, item in zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)]


def assert_parts(parts: Parts, processes: int) -> None:
    """The parts of all processes are whole users in order, and have every row once, about equally many each."""
    shares = [parts.part(rank, processes) for rank in range(processes)]
    assert (shares[0].first_user, shares[0].first_row) == (0, 0)
    assert (shares[-1].end_user, shares[-1].end_row) == (SPLIT.num_users, len(SPLIT.train))
    for before, after in itertools.pairwise(shares):
        assert (before.end_user, before.end_row) == (after.first_user, after.first_row)
    largest = np.bincount(SPLIT.train.users).max()
    for share in shares:
        assert abs(share.end_row - share.first_row - len(SPLIT.train) / processes) < largest + 1
        own = parts.own(share)
        assert len(own.train) == share.end_row - share.first_row
        assert own.user_ids.tolist() == SPLIT.user_ids[share.first_user : share.end_user].tolist()
        for name in ("train", "valid", "test"):
            expected = [(u, i) for u, i in rows(getattr(SPLIT, name)) if share.first_user <= u < share.end_user]
            assert rows(getattr(own, name), share.first_user) == expected
        assert own.train.counts(SPLIT.num_items).tolist() == np.bincount(SPLIT.train.items, minlength=30).tolist()


def assert_around(parts: Parts) -> None:
    """Around some rows of a held-out part lie what their users have seen before, and nothing else."""
    for low, high in ((0, 1), (3, 4), (5, 11), (0, 26), (25, 26), (7, 7)):
        held, found = rows(SPLIT.valid)[low:high], parts.around("valid", slice(low, high))
        users = range(held[0][0], held[-1][0] + 1) if held else range(0)
        assert (rows(found.valid), rows(found.test)) == (held, [])
        assert rows(found.train) == [(u, i) for u, i in rows(SPLIT.train) if u in users]
        tested = parts.around("test", slice(low, high))
        assert rows(tested.test) == rows(SPLIT.test)[low:high]
        assert rows(tested.valid) == [(u, i) for u, i in rows(SPLIT.valid) if u in users]
        assert rows(tested.train) == rows(found.train)
