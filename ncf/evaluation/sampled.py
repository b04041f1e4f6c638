"""Ranking among sampled items, for comparison with published numbers, and its correction.

A metric of the rank among m sampled items is a biased estimate of the full-ranking metric, and the bias differs between
models (Krichene and Rendle 2020, "On sampled metrics for item recommendation").
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ncf.core.arrays import read_arrays
from ncf.core.rng import generator
from ncf.core.roles import MACHINE_IN_ID
from ncf.errors import ConfigError, DataError
from ncf.evaluation.full import CutOff, FullRanking, MetricNames
from ncf.evaluation.hypergeometric import correction_weights
from ncf.evaluation.metrics import Ties
from ncf.evaluation.ranking import Ranks, Scorer, Targets, check_scores, chunk_size, refuse_nan

_log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1024  # drawn from one stream; changing it changes the negatives of a seed


class SampledRanking(FullRanking):
    """Ranks each held-out positive among `negatives` items that its user has not seen, the same for every model.

    Each positive has a list of its own, also where a user has several.
    """

    def __init__(
        self,
        *,
        metrics: MetricNames,
        cutoffs: Annotated[list[CutOff], Field(min_length=1)],
        ties: Ties,
        memory_mb: Annotated[int, Field(gt=0), MACHINE_IN_ID],
        negatives: Annotated[int, Field(gt=0)],
        seed: Annotated[int, Field(ge=0, lt=2**63)],
        file: str | None,
        correction: Annotated[float, Field(gt=0, le=1)] | None,
    ) -> None:
        super().__init__(metrics=metrics, cutoffs=cutoffs, ties=ties, memory_mb=memory_mb)
        self.negatives, self.seed, self.correction = negatives, seed, correction
        self.file = None if file is None else Path(file)
        self._drawn: list[tuple[Targets, Tensor]] = []
        self._file_parts: list[bool] = []  # whether `file` had the positives of each of the parts

    def check(self, num_items: int) -> None:
        """Raise ConfigError if a cut-off exceeds the number of items or, without a correction, of negatives."""
        super().check(num_items)
        if self.correction is None and max(self.cutoffs) > self.negatives:
            raise ConfigError(
                f"evaluation.cutoffs: expected at most {self.negatives}, the number of negatives, among which every "
                f"positive is within the first {max(self.cutoffs)}"
            )

    def evaluate(self, score: Scorer, targets: Targets) -> Ranks:
        """Rank `targets` among their negatives; with a correction, `candidates` is the size of the full set.

        Raises:
            TrainingError: a score is NaN, or the scores have the wrong shape or dtype.
            DataError: a user has too few unseen items, or `file` does not match this split.
        """
        negatives = self.negatives_of(targets)
        step = chunk_size(targets.num_items, self.memory_mb)
        counts = [_count(score, targets, negatives, slice(a, a + step)) for a in range(0, len(targets), step)]
        above, tied, has_nan = (torch.cat(column, dim=-1).cpu() for column in zip(*counts, strict=True))
        refuse_nan(has_nan, targets)
        ranked = torch.full_like(targets.candidates.cpu(), 1 + self.negatives)
        candidates = ranked if self.correction is None else targets.candidates.cpu()
        return Ranks(targets.users.cpu(), targets.items.cpu(), above, tied, candidates, apart=True)

    def negatives_of(self, targets: Targets) -> Tensor:
        """Return (N, negatives) int64, the items that each positive is ranked against; drawn or read only once."""
        for known, negatives in self._drawn:
            if known is targets:
                return negatives
        stored = None if self.file is None else self._stored(self.file, targets)
        negatives = draw_negatives(targets, self.negatives, self.seed) if stored is None else stored
        self._drawn.append((targets, negatives))
        return negatives

    def _stored(self, path: Path, targets: Targets) -> Tensor | None:
        """Return the negatives in the file; None, with a warning, if it is of another part of the same data."""
        stored = stored_negatives(path, targets, self.negatives)
        self._file_parts.append(stored is not None)
        if stored is None and len(self._file_parts) > 1 and not any(self._file_parts):
            raise DataError(f"evaluation.file: expected negatives for held-out positives of this data, {path} has none")
        if stored is None:
            _log.warning(
                "evaluation.file: %s has negatives for 0 of these %d positives; theirs are drawn instead",
                path, len(targets),
            )  # fmt: skip
        return stored

    def per_positive(self, ranks: Ranks) -> dict[str, Tensor]:
        """Map metric names to (N,) float64, one value per held-out positive, of the sampled rank or corrected.

        The correction assumes the median number of candidates for all positives, and averages over tied ranks.
        """
        if self.correction is None:
            return super().per_positive(replace(ranks, apart=True))
        values = self._corrected(int(ranks.candidates.median()))  # (names, 1 + negatives)
        total = torch.cat([values.new_zeros(len(values), 1), values.cumsum(1)], dim=1)
        means = (total[:, ranks.above + ranks.tied] - total[:, ranks.above]) / ranks.tied
        return dict(zip(self.names, means, strict=True))

    def _corrected(self, candidates: int) -> Tensor:
        """Return (names, 1 + negatives): the corrected estimate of each metric at each sampled rank."""
        full = Ranks(
            users=torch.arange(candidates), items=torch.zeros(candidates), above=torch.arange(candidates),
            tied=torch.ones(candidates, dtype=torch.int64), candidates=torch.full((candidates,), candidates),
        )  # fmt: skip
        metrics = torch.stack([super(SampledRanking, self).per_positive(full)[name] for name in self.names])
        assert self.correction is not None
        return metrics @ torch.from_numpy(correction_weights(candidates, self.negatives, self.correction))


def _count(score: Scorer, targets: Targets, negatives: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Return above, tied (..., B) int64 and whether any score is NaN (..., B) bool, for these rows of `targets`."""
    users = targets.users[rows]
    logits = score(users)  # (..., B, I)
    check_scores(logits, len(users), targets.num_items)
    columns = torch.cat([targets.items[rows, None], negatives[rows]], dim=1)
    chosen = logits.gather(-1, columns.expand(*logits.shape[:-1], -1))  # (..., B, 1 + negatives)
    positive, others = chosen[..., :1], chosen[..., 1:]
    return (others > positive).sum(-1), 1 + (others == positive).sum(-1), logits.isnan().any(-1)


def draw_negatives(targets: Targets, count: int, seed: int) -> Tensor:
    """Draw (N, count) int64: for each row of `targets`, distinct unseen items other than the positive, uniformly.

    Raises:
        DataError: a user has fewer than `count` such items.
    """
    short = targets.candidates <= count
    if short.any():
        row = int(short.nonzero()[0])
        raise DataError(
            f"evaluation.negatives: expected at most {int(targets.candidates[row]) - 1}, the number of unseen "
            f"items of {targets.user(row)}, got {count}"
        )
    chunks = []
    for block, start in enumerate(range(0, len(targets), _ROWS_AT_ONCE)):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(targets)))
        stream = generator(seed, "evaluation", block=block)  # on the CPU, so that every device gets the same
        priorities = torch.rand(rows.stop - rows.start, targets.num_items, generator=stream).to(targets.users.device)
        entries = slice(targets.seen_starts[rows.start], targets.seen_starts[rows.stop])
        priorities[targets.seen_rows[entries] - start, targets.seen_items[entries]] = -1
        priorities[torch.arange(len(priorities)), targets.items[rows]] = -1
        chunks.append(priorities.topk(count, dim=1).indices)
    return torch.cat(chunks)


def stored_negatives(path: Path, targets: Targets, count: int) -> Tensor | None:
    """Read (N, count) int64 from a file made by `ncf.negatives`; return None if it has none of the targets' positives.

    Raises:
        DataError: the file cannot be read, is of other data, has only some of the positives or another number of
            negatives, or a negative is a seen item or the positive.
    """
    users, items, stored = _read(path, targets.num_items)
    keys = users * targets.num_items + items
    order = np.argsort(keys)
    wanted = (targets.users * targets.num_items + targets.items).cpu().numpy()
    position = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
    found = keys[order][position] == wanted
    if not found.any():
        _refuse_foreign(path, users, np.column_stack([items, stored]), targets)
        return None
    if not found.all() or stored.shape[1] != count:
        raise DataError(
            f"evaluation.file: expected {count} negatives for each of {len(wanted)} positives, found {stored.shape[1]} "
            f"for {int(found.sum())} of them in {path}"
        )
    negatives = torch.from_numpy(stored[order[position]]).to(targets.users.device)
    _refuse_seen(path, negatives, targets)
    return negatives


def _read(path: Path, num_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read users (N,), items (N,) and negatives (N, count), all int64 indices. Raises DataError."""
    expected = f"evaluation.file: expected a file made by python -m ncf.negatives, got {path}"
    try:
        arrays = read_arrays(path, DataError)
        users, items, negatives = (arrays[name] for name in ("users", "items", "negatives"))
    except (DataError, FileNotFoundError, KeyError) as error:
        raise DataError(f"{expected} ({str(error).removeprefix(f'{path}: ')})") from None
    if any(array.dtype.kind not in "iu" for array in (users, items, negatives)):
        raise DataError(f"{expected} (the arrays hold no indices)")
    if len({users.shape, items.shape, negatives.shape[:1]}) > 1 or negatives.ndim != 2 or not len(users):
        raise DataError(f"{expected} (the arrays differ in length or are empty)")
    if min(users.min(), items.min()) < 0 or users.max() >= 2**31 or items.max() >= num_items:
        raise DataError(f"{expected}, of other data (it has a user or an item that does not exist in this)")
    return users.astype(np.int64), items.astype(np.int64), negatives.astype(np.int64)


def _refuse_foreign(path: Path, users: np.ndarray, items: np.ndarray, targets: Targets) -> None:
    """Raise DataError if `items` (N, 1 + count), held-out or negative, are not all unseen by their `users` (N,).

    A file that has only test positives has none of the validation's, but those of other data are seen items here.
    """
    seen = np.unique((targets.users[targets.seen_rows] * targets.num_items + targets.seen_items).cpu().numpy())
    keys = users[:, None] * targets.num_items + items
    rows = np.flatnonzero(np.isin(keys, seen).any(axis=1))
    if len(rows):
        raise DataError(
            f"evaluation.file: expected negatives for held-out positives of this data, but {path} has none of these "
            f"{len(targets)}, and items that {len(np.unique(users[rows]))} users have seen"
        )


def _refuse_seen(path: Path, negatives: Tensor, targets: Targets) -> None:
    allowed = torch.ones(len(targets), targets.num_items, dtype=torch.bool, device=negatives.device)
    allowed[targets.seen_rows, targets.seen_items] = False
    allowed[torch.arange(len(targets)), targets.items] = False
    inside = (negatives >= 0) & (negatives < targets.num_items)
    wrong = ~(inside & allowed.gather(1, negatives.clamp(0, targets.num_items - 1)))
    ordered = negatives.sort(dim=1).values
    if (repeated := (ordered[:, 1:] == ordered[:, :-1]).any(dim=1)).any():
        row = int(repeated.nonzero()[0])
        raise DataError(
            f"evaluation.file: expected each negative once for a positive, found one again for {targets.user(row)} "
            f"in {path}"
        )
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        index = int(negatives[row, column])
        what = targets.item(index) if 0 <= index < targets.num_items else f"item index {index}"
        raise DataError(
            f"evaluation.file: expected only unseen items, but {what} of {targets.user(row)} in {path} is seen, is "
            "the positive itself, or does not exist"
        )
