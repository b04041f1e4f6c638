"""What is evaluated: the held-out positives of a split, and the items that each one is not ranked against.

Two functions, because early stopping must not be able to see the test items: the trainer is handed the result of
`validation_targets`, never a split.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf.data.split import Pairs, Split
from ncf.errors import DataError


@dataclass(frozen=True)
class Targets:
    """N held-out positives, one a row, with the seen items of each row in CSR form; tensors live on one device.

    Attributes:
        users: (N,) int64.
        items: (N,) int64, the positive of each row.
        candidates: (N,) int64, how many items each positive is ranked among, itself included.
        seen_rows: (E,) int64 ascending, the row that each seen item belongs to.
        seen_items: (E,) int64, the items left out of the ranking of that row.
        seen_starts: N + 1 offsets into the two above, on the host, so that slicing a chunk needs no sync.
        num_items: I.
    """

    users: Tensor
    items: Tensor
    candidates: Tensor
    seen_rows: Tensor
    seen_items: Tensor
    seen_starts: tuple[int, ...]
    num_items: int

    def __len__(self) -> int:
        return len(self.users)


def validation_targets(split: Split, device: torch.device | str) -> Targets:
    """The validation positives, ranked among all items but the user's training items.

    Raises DataError for an empty part, or a positive that is also a training item.
    """
    return _targets("validation", split.valid, [split.train], split.num_items, device)


def test_targets(split: Split, device: torch.device | str) -> Targets:
    """The test positives, ranked among all items but the user's training and validation items.

    Raises DataError for an empty part, or a positive that is also a training or validation item.
    """
    return _targets("test", split.test, [split.train, split.valid], split.num_items, device)


test_targets.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def _targets(name: str, part: Pairs, seen: list[Pairs], num_items: int, device: torch.device | str) -> Targets:
    if len(part.users) == 0:
        raise DataError(f"{name} part: expected at least one positive to evaluate, got none")
    # One sorted key a (user, item) pair; unique, because a pair counted twice would be subtracted twice.
    keys = np.sort(np.concatenate([p.users * num_items + p.items for p in seen]))
    keys = keys[np.diff(keys, prepend=-1) > 0]  # as np.unique, which takes a minute for 20 million
    _refuse_seen(name, part, keys, num_items)
    starts = np.searchsorted(keys, part.users * num_items)
    counts = np.searchsorted(keys, (part.users + 1) * num_items) - starts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = np.repeat(np.arange(len(part.users)), counts)
    seen_items = keys[np.arange(offsets[-1]) + (starts - offsets[:-1])[rows]] % num_items

    def to_device(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    return Targets(
        users=to_device(part.users),
        items=to_device(part.items),
        candidates=to_device(num_items - counts),
        seen_rows=to_device(rows),
        seen_items=to_device(seen_items),
        seen_starts=tuple(offsets.tolist()),
        num_items=num_items,
    )


def _refuse_seen(name: str, part: Pairs, keys: np.ndarray, num_items: int) -> None:
    own = part.users * num_items + part.items
    leaked = np.flatnonzero(np.append(keys, -1)[np.searchsorted(keys, own)] == own)
    if len(leaked):
        user, item = int(part.users[leaked[0]]), int(part.items[leaked[0]])
        raise DataError(f"{name} part: expected only unseen items, but user {user} has already seen item {item}")
