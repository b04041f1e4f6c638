"""Evaluation targets: the held-out positives of a split, and the items that each is not ranked against.

There are two functions because early stopping must not see the test items: the trainer is given the result of
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
    """N held-out positives, one per row, with the seen items of each row in CSR form; all tensors are on one device.

    Attributes:
        users: (N,) int64.
        items: (N,) int64, the positive of each row.
        candidates: (N,) int64, number of items that each positive is ranked among, itself included.
        seen_rows: (E,) int64 ascending, the row of each seen item.
        seen_items: (E,) int64, the seen items, which are excluded from the ranking of their row.
        seen_starts: N + 1 offsets into the two above, on the host, so that slicing a chunk needs no device sync.
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
    """Return the validation positives, ranked among all items except the user's training items.

    Raises:
        DataError: there are none, or one is also a training item.
    """
    return _targets("validation", split.valid, [split.train], split.num_items, device)


def test_targets(split: Split, device: torch.device | str) -> Targets:
    """Return the test positives, ranked among all items except the user's training and validation items.

    Raises:
        DataError: there are none, or one is also a training or validation item.
    """
    return _targets("test", split.test, [split.train, split.valid], split.num_items, device)


test_targets.__test__ = False  # type: ignore[attr-defined]  # its name would make pytest collect it


def _targets(name: str, part: Pairs, seen: list[Pairs], num_items: int, device: torch.device | str) -> Targets:
    if len(part.users) == 0:
        raise DataError(f"{name}: expected at least one positive to evaluate, got none")
    # One key per (user, item) pair, sorted and unique: a repeated pair would be subtracted twice.
    keys = np.sort(np.concatenate([p.users * num_items + p.items for p in seen]))
    keys = keys[np.diff(keys, prepend=-1) > 0]  # np.unique does the same but takes a minute for 20 million
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
        raise DataError(f"{name}: expected only unseen items, but user index {user} has already seen item index {item}")
