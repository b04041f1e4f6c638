"""Scores of any origin as what the evaluation asks: a function of user indices, or a table as a matrix."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf.core.tensors import array_of, tensor_of
from ncf.data import Split
from ncf.errors import DataError
from ncf.evaluation import Scorer, Targets
from ncf.runs.frames import refuse_missing, refuse_repeated_columns
from ncf.runs.ids import places
from ncf.runs.loaded_run import LoadedRun

_log = logging.getLogger(__name__)
_FORMS = "a matrix (U, I), a table of recommendations, a model with a method score, or a function of user indices"


def scorer_of(scores: Any, split: Split) -> Scorer:
    """Return what scores users (B,) -> (B, I) on the CPU, in float32 or float64.

    Raises:
        DataError: `scores` are neither of the forms of `ncf.evaluate`, or a matrix of another shape.
    """
    if isinstance(scores, LoadedRun):
        return _of_run(scores, split)
    if isinstance(scores, type):
        raise DataError(f"scores: expected {_FORMS}, got the class {scores.__name__} itself")
    if callable(getattr(scores, "score", None)):
        return _real_of(scores.score)
    if callable(scores) and not isinstance(scores, Tensor):
        return _real_of(scores)
    if not isinstance(scores, list | tuple) and not hasattr(scores, "__array__") and not hasattr(scores, "toarray"):
        raise DataError(f"scores: expected {_FORMS}, got {type(scores).__name__}")
    return _of_matrix(scores, split)


def _real_of(score: Callable[[Tensor], Any]) -> Scorer:
    return lambda users: _real(score(users))


def _of_run(run: LoadedRun, split: Split) -> Scorer:
    """Return the score of a run's model. Raises DataError if its users or items are not those of the split."""
    known = ((run.split.user_ids, split.user_ids), (run.split.item_ids, split.item_ids))
    if not all(np.array_equal(own, others) for own, others in known):
        raise DataError(f"scores: expected a run with the users and items of the split, got {run!r}")
    return _real_of(run.model.score)


def _of_matrix(scores: Any, split: Split) -> Scorer:
    # An array stays one: the rows taken from it are copies, which a file that is mapped into memory need not be.
    as_numbers = tensor_of if isinstance(scores, Tensor) else array_of
    matrix: Any = as_numbers("scores", scores, DataError)
    _refuse_complex(matrix.dtype)
    if tuple(matrix.shape) != (split.num_users, split.num_items):
        raise DataError(
            f"scores: expected a matrix of {split.num_users} users by {split.num_items} items, got shape "
            f"{tuple(matrix.shape)}"
        )
    if isinstance(matrix, Tensor):
        whole = _real(matrix)
        return lambda users: whole[users]
    return lambda users: _real(matrix[users.numpy()])


def _refuse_complex(dtype: Any) -> None:
    if "complex" in str(dtype):
        raise DataError(f"scores: expected real numbers, got {dtype}")


def _real(scores: Any) -> Tensor:
    """Return scores as float32, or as float64 where float32 could make them tie."""
    tensor = tensor_of("scores", scores, DataError).detach().cpu()
    _refuse_complex(tensor.dtype)
    narrow = tensor.dtype in (torch.float16, torch.bfloat16, torch.float32)
    return tensor.float() if narrow else tensor.double()


def matrix_of(frame: pd.DataFrame, split: Split) -> Tensor:
    """Return scores (U, I) from a table of recommendations; -inf for what is not listed.

    Raises:
        DataError: a column is missing or there twice, an id is unknown, a pair repeated, or a score none.
    """
    value = next((name for name in ("score", "rank") if name in frame), None)
    if value is None or not {"user_id", "item_id"} <= set(frame):
        found = ", ".join(map(str, list(frame)[:8])) + (", ..." if frame.shape[1] > 8 else "")
        raise DataError(
            f"scores: expected columns user_id, item_id and score or rank, found {found}; a matrix is given as an array"
        )
    names = ["user_id", "item_id", value]
    refuse_repeated_columns(frame, names, "scores")
    frame = frame[names]
    refuse_missing(frame, "scores")
    matrix = np.full((split.num_users, split.num_items), -np.inf)
    rows = _places("user", split.user_ids, frame["user_id"])
    columns = _places("item", split.item_ids, frame["item_id"])
    repeated = pd.Series(rows * split.num_items + columns).duplicated()
    if repeated.any():
        row = int(repeated.argmax())
        raise DataError(
            f"scores: expected each pair of user and item once, found {frame['user_id'].iloc[row]} and "
            f"{frame['item_id'].iloc[row]} again in row {row}"
        )
    matrix[rows, columns] = _numbers(value, frame[value]) * (-1 if value == "rank" else 1)
    return torch.from_numpy(matrix)


def _numbers(name: str, values: pd.Series) -> np.ndarray:
    """Return a column as float64 (N,). Raises DataError, naming the row, for what is no number."""
    numeric = values.dtype.kind not in "mMc"  # of times, pandas would take the nanoseconds
    as_numbers = pd.to_numeric(values, errors="coerce") if numeric else pd.Series(np.nan, index=values.index)
    found: np.ndarray = as_numbers.to_numpy(np.float64)
    if (bad := np.isnan(found)).any():
        row = int(bad.argmax())
        raise DataError(
            f"scores: expected numbers in column {name!r}, found {str(values.iloc[row])[:80]!r} in row {row}"
        )
    return found


def _places(what: str, known: np.ndarray, ids: pd.Series) -> np.ndarray:
    codes, different = pd.factorize(ids.to_numpy())
    found = places(known, different)[codes]
    if (missing := found < 0).any():
        row = int(missing.argmax())
        raise DataError(f"scores: {what} {str(ids.iloc[row])[:80]} is not in the split (row {row})")
    return found


def refuse_short_lists(matrix: Tensor, split: Split, targets: Targets, most: int) -> None:
    """Raise DataError if a user's list in a table has fewer than `most` items that the user does not have in train.

    `matrix` (U, I) is that of `matrix_of`. Of the items beyond the list it is not known which come next. Validation
    items in a list are not ranked against test positives, so that they can leave a list too short as well: that is
    logged.
    """
    listed = matrix > -torch.inf
    train_users, train_items = torch.from_numpy(split.train.users), torch.from_numpy(split.train.items)
    had = torch.bincount(train_users, listed[train_users, train_items].double(), minlength=split.num_users).long()
    left = split.num_items - torch.bincount(train_users, minlength=split.num_users)
    long_enough = left.clamp(max=most)
    new = listed.sum(1) - had
    users = targets.users.unique()
    short = users[(new < long_enough)[users]]
    if len(short):
        known = split.user_ids
        raise DataError(
            f"scores: expected at least {most} items, the largest cut-off, that the user does not have in train, found "
            f"{int(new[short[0]])} for user {known[int(short[0])]} and too few for {len(short)} of {len(users)} users; "
            "give more items a user, as run.recommend(..., leave_out='train') does, or smaller cutoffs=[...]"
        )
    ranked = listed.sum(1)[targets.users] - torch.bincount(
        targets.seen_rows, listed[targets.users[targets.seen_rows], targets.seen_items].double(), len(targets)
    )
    unsure = targets.users[ranked < targets.candidates.clamp(max=most)].unique()
    if len(unsure):
        _log.warning(
            "scores: the lists of %d of %d users hold fewer than %d items without those of validation, which are not "
            "ranked; metrics may come out too low, unless the lists are longer", len(unsure), len(users), most,
        )  # fmt: skip
    if not listed[targets.users, targets.items].any():
        _log.warning(
            "scores: none of the %d held-out items is in the list of its user, so every metric is at its least; lists "
            "of run.recommend leave out what is held out, unless leave_out='train'", len(targets),
        )  # fmt: skip
