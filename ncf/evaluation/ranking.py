"""Rank held-out positives: what is ranked (`Targets`), and the counts of candidates above and tied (`Ranks`).

Nothing is sorted and no score is overwritten. The positive is compared with all items, and the counts over the user's
seen items are subtracted, so the scores of seen items do not matter. A user with several held-out positives has one
list with all of them in it: each is a candidate beside the others, and `Together` tells the metrics which those are.
Early stopping must not see the test items, so there are two functions that make targets: the trainer is given the
result of `validation_targets`, never a split.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ncf.core.memory import available
from ncf.data.split import Pairs, Split
from ncf.errors import DataError, TrainingError

Scorer = Callable[[Tensor], Tensor]
"""users (B,) int64 -> logits (B, I), or (S, B, I) for S stacked models."""

_BYTES_A_PAIR = 42  # measured, at the peak of making targets: rows, places and items, in NumPy and in torch


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
        several: whether adjacent rows share a user, who is then scored once.
        user_ids: (U,) of the data files, for messages.
        item_ids: (I,) likewise.
    """

    users: Tensor
    items: Tensor
    candidates: Tensor
    seen_rows: Tensor
    seen_items: Tensor
    seen_starts: tuple[int, ...]
    num_items: int
    several: bool = False
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def user(self, row: int) -> str:
        """Return what a message calls the user of a row: "user 196", by the id of the data files."""
        return _called("user", self.user_ids, int(self.users[row]))

    def item(self, index: int) -> str:
        """Return what a message calls an item."""
        return _called("item", self.item_ids, index)


def validation_targets(split: Split, device: torch.device | str) -> Targets:
    """Return the validation positives, ranked among all items except the user's training items.

    Raises:
        DataError: there are none, or one is also a training item.
    """
    return _targets("validation", split, split.valid, [split.train], device, getattr(split, "valid_among", None))


def test_targets(split: Split, device: torch.device | str) -> Targets:
    """Return the test positives, ranked among all items except the user's training and validation items.

    Raises:
        DataError: there are none, or one is also a training or validation item.
    """
    return _targets("test", split, split.test, [split.train, split.valid], device, getattr(split, "test_among", None))


test_targets.__test__ = False  # type: ignore[attr-defined]  # its name would make pytest collect it


def _called(what: str, ids: np.ndarray | None, index: int) -> str:
    return f"{what} index {index}" if ids is None else f"{what} {ids[index]}"


def _targets(name: str, split: Split, part: Pairs, seen: list[Pairs], device: torch.device | str,
    among: np.ndarray | None = None,
) -> Targets:  # fmt: skip
    num_items = split.num_items
    if len(part.users) == 0:
        raise DataError(f"{name}: expected at least one positive to evaluate, got none")
    # One key per (user, item) pair, sorted and unique: a repeated pair would be subtracted twice.
    keys = np.sort(np.concatenate([p.users * num_items + p.items for p in seen]))
    keys = keys[np.diff(keys, prepend=-1) > 0]  # np.unique does the same but takes a minute for 20 million
    _refuse_seen(name, split, part, keys)
    if among is not None:  # what is no candidate is left out as what is seen is
        others = np.setdiff1d(np.arange(num_items), among)
        _refuse_without_memory(name, len(part.users), len(others))
        keys = np.union1d(keys, (np.unique(part.users)[:, None] * num_items + others).ravel())
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
        several=bool((part.users[1:] == part.users[:-1]).any()),
        user_ids=split.user_ids,
        item_ids=split.item_ids,
    )


def _refuse_without_memory(name: str, positives: int, others: int) -> None:
    """Raise TrainingError if there is no memory for as many pairs of a positive and an item it is not ranked among."""
    need, free = _BYTES_A_PAIR * positives * others, available()
    if need > free:
        raise TrainingError(
            f"{name}: expected {need / 2**30:,.1f} GiB of memory to leave {others:,} warm items out of the ranking of "
            f"{positives:,} positives, found {free / 2**30:,.1f} GiB; use split.candidates=all, or smaller "
            "split.valid and split.test"
        )


def _refuse_seen(name: str, split: Split, part: Pairs, keys: np.ndarray) -> None:
    own = part.users * split.num_items + part.items
    leaked = np.flatnonzero(np.append(keys, -1)[np.searchsorted(keys, own)] == own)
    if len(leaked):
        user = _called("user", split.user_ids, int(part.users[leaked[0]]))
        item = _called("item", split.item_ids, int(part.items[leaked[0]]))
        raise DataError(f"{name}: expected only unseen items, but {user} has already seen {item}")


@dataclass(frozen=True)
class Together:
    """The held-out positives of each user taken together; a user has one list, so theirs are places in it.

    Attributes:
        counts: (N,) int64, positives of the row's user.
        before: (..., N) int64, those of them that are scored strictly above the row's.
        level: (..., N) int64, those of them that have the row's score, itself included.
        first: (..., N) int64, the row of a positive of the user that no other is scored above.
    """

    counts: Tensor
    before: Tensor
    level: Tensor
    first: Tensor

    @staticmethod
    def of(user: Tensor, counts: Tensor, above: Tensor) -> "Together":
        """Count for rows of users 0 to U' - 1, `user` (N,), who have `counts` (U',) rows. `above` is that of `Ranks`.

        Of one user's positives, those with one score have one `above`, and a better one has a smaller `above`.
        """
        starts = (counts.cumsum(0) - counts)[user]
        keys = user * (above.max() + 1) + above
        ordered, order = keys.sort(dim=-1)
        before, upto = (torch.searchsorted(ordered, keys, right=right) for right in (False, True))
        first = order.gather(-1, starts.expand_as(order))
        return Together(counts[user], before - starts, upto - before, first)


@dataclass(frozen=True)
class Ranks:
    """The rank of each held-out positive, one row per (user, positive); tensors are on the CPU.

    Attributes:
        users: (N,) int64.
        items: (N,) int64.
        above: (N,) int64, or (S, N) from S stacked models: candidates scored strictly above the positive.
        tied: shaped as `above`: candidates with the positive's score, itself included, so at least 1.
        candidates: (N,) int64, size of the candidate set, the positive included.
        apart: whether each positive was ranked in a list of its own, without the user's other positives.
    """

    users: Tensor
    items: Tensor
    above: Tensor
    tied: Tensor
    candidates: Tensor
    apart: bool = False

    @property
    def average(self) -> Tensor:
        """Rank from 1, float64, shaped as `above`: the mean of the ranks that tied candidates share."""
        return self.above + (self.tied.double() + 1) / 2

    @cached_property
    def together(self) -> Together | None:
        """The positives of each user together; None if no list holds several."""
        if self.apart or self._grouped is None:
            return None
        return Together.of(*self._grouped, self.above)

    @cached_property
    def _grouped(self) -> tuple[Tensor, Tensor] | None:
        """Which user each row is of, 0 to U' - 1, (N,), and the rows of each, (U',); None if each user has one."""
        if (self.users[1:] > self.users[:-1]).all():
            return None
        _, user, counts = self.users.unique(return_inverse=True, return_counts=True)
        return None if len(counts) == len(user) else (user, counts)

    def mean(self, values: Tensor) -> float:
        """Return the mean over users of `values` (N,), where a user's value is the mean of the user's rows."""
        if self._grouped is None:
            return float(values.mean())
        user, counts = self._grouped
        return float((values.new_zeros(len(counts)).index_add(0, user, values) / counts).mean())

    def tied_positives(self) -> int:
        """Return how many positives share their score with another candidate."""
        return int((self.tied > 1).sum())


def chunk_size(num_items: int, memory_mb: float, stacked: int = 1) -> int:
    """Return B >= 1 such that float32 scores (S, B, I) and their comparison fit in `memory_mb` MiB.

    Memory that the model itself needs is not counted.
    """
    bytes_per_user = 2 * 4 * num_items * stacked
    return max(1, int(memory_mb * 2**20) // bytes_per_user)


@torch.no_grad()
def rank(score: Scorer, targets: Targets, chunk: int) -> Ranks:
    """Rank each positive among its candidates, `chunk` users at a time.

    Args:
        score: users (B,) -> logits (B, I) or (S, B, I), float32 or float64; infinite values are allowed.
        targets: the N positives and the items they are not ranked against.
        chunk: B, users scored at once; the result does not depend on it.

    Raises:
        TrainingError: a score is NaN (the message names the user), or the scores have the wrong shape or dtype.
    """
    counts = [_count(score, targets, rows) for rows in _chunks(len(targets), chunk)]
    # Copied to the host once, after the loop, so that the loop never waits for a CUDA device.
    above, tied, has_nan = (torch.cat(column, dim=-1).cpu() for column in zip(*counts))
    refuse_nan(has_nan, targets)
    return Ranks(targets.users.cpu(), targets.items.cpu(), above, tied, targets.candidates.cpu())


def _chunks(rows: int, chunk: int) -> Iterator[slice]:
    return (slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk))


def _count(score: Scorer, targets: Targets, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Return above, tied (..., B) int64 and whether any score is NaN (..., B) bool, for these rows of `targets`."""
    items, logits = targets.items[rows], _scores(score, targets, rows)
    positive = logits.gather(-1, items.expand(logits.shape[:-1]).unsqueeze(-1))  # (..., B, 1)
    entries = slice(targets.seen_starts[rows.start], targets.seen_starts[rows.stop])
    seen_rows = targets.seen_rows[entries] - rows.start  # (E,)
    seen_logits = logits[..., seen_rows, targets.seen_items[entries]]  # (..., E)
    seen_positive = positive[..., seen_rows, 0]

    # Ones and zeros as floats sum several times faster than booleans, and exactly up to 2^24 items.
    compared = torch.empty_like(logits)
    above = torch.gt(logits, positive, out=compared).sum(-1).long()
    tied = torch.eq(logits, positive, out=compared).sum(-1).long()
    above.index_add_(-1, seen_rows, (seen_logits > seen_positive).long(), alpha=-1)
    tied.index_add_(-1, seen_rows, (seen_logits == seen_positive).long(), alpha=-1)
    return above, tied, logits.amax(-1).isnan()  # the maximum of a row is NaN if any score is


def _scores(score: Scorer, targets: Targets, rows: slice) -> Tensor:
    """Return the logits (..., B, I) of these rows of `targets`; a user of several adjacent rows is scored once."""
    users = targets.users[rows]
    if not targets.several:
        logits = score(users)
        check_scores(logits, len(users), targets.num_items)
        return logits
    users, which = users.unique_consecutive(return_inverse=True)
    logits = score(users)
    check_scores(logits, len(users), targets.num_items)
    return logits[..., which, :]


def check_scores(logits: Tensor, users: int, items: int) -> None:
    """Raise TrainingError unless `logits` are (..., users, items) in float32 or float64."""
    if logits.shape[-2:] != (users, items):
        raise TrainingError(f"score: expected logits of shape (..., {users}, {items}), got {tuple(logits.shape)}")
    if logits.dtype not in (torch.float32, torch.float64):
        raise TrainingError(f"score: expected float32 or float64 logits (narrower types tie), got {logits.dtype}")


def refuse_nan(has_nan: Tensor, targets: Targets) -> None:
    """Raise TrainingError naming the user of the first row whose scores (..., N) hold a NaN."""
    if has_nan.any():
        row = int(has_nan.nonzero()[0, -1])
        raise TrainingError(f"score: expected no NaN, got one for {targets.user(row)}")
