"""A run in a few lines of Python: `ncf.fit(model, data)` and `ncf.evaluate(scores, split)`."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf.core.compose import compose
from ncf.core.config import component
from ncf.core.files import write_text, writing
from ncf.data import DATASETS, Split
from ncf.errors import ConfigError, DataError
from ncf.evaluation import EVALUATIONS, FullRanking, Scorer, Targets, test_targets, validation_targets
from ncf.models import MODELS, RatingRecommender
from ncf.runs.identity import resolved, run_id
from ncf.runs.job import Job, open_job
from ncf.runs.loading import LoadedRun, load
from ncf.runs.plan import plan_run
from ncf.runs.state import claim

_TARGETS = {"valid": validation_targets, "test": test_targets}
_COLUMNS = {  # of a frame, the first of each that it has
    "user": ("user_id", "user", "userId"),
    "item": ("item_id", "item", "itemId", "movieId"),
    "rating": ("rating", "score"),
    "timestamp": ("timestamp", "time"),
}


def fit(
    model: str = "neumf",
    data: pd.DataFrame | str | Path = "ml-100k",
    *,
    folder: str | Path | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    **choices: Any,
) -> LoadedRun:
    """Train a model and return the finished run; the same call again returns it at once, an interrupted one goes on.

    Args:
        model: its name, as in `model=neumf`.
        data: the name of a data set, the path of a file of your own, or a frame with columns user_id, item_id and, if
            there are any, rating and timestamp (seconds since 1970, or datetimes). Without timestamps, positives are
            held out at random (split=ratio); without ratings every row is a positive, else those with a rating of 4 or
            more (`overrides=["data.threshold=3"]`; a model of two tasks learns from all ratings with
            "data.threshold=null"). A file's columns are said by `overrides`.
        folder: of the run; made if necessary. None: below outputs/python, by the run's id.
        epochs: at most so many.
        overrides: any other setting, as on the command line, ["optimizer.lr=0.01"], or as {"optimizer.lr": 0.01}.
        choices: what else is chosen by name or number: loss="focal", split="ratio", neg_ratio=50, seed=7.

    Raises:
        ConfigError: a setting is invalid.
        DataError: the data are invalid.
        CheckpointError: `folder` holds another run.
        TrainingError: a loss, gradient or score was not finite.
    """
    given = [f"{key}={value}" for key, value in overrides.items()] if isinstance(overrides, Mapping) else overrides
    settings = [f"model={model}", *(f"{key}={value}" for key, value in choices.items())]
    settings += [] if epochs is None else [f"trainer.epochs={epochs}"]
    settings += [] if any(o.startswith("loss=") for o in (*settings, *given)) else _loss_of(model)
    compose([*settings, *(o for o in given if not o.startswith("data."))])  # refuse before a frame is written
    where, data_settings = _data_settings(data, folder, "split" in choices)
    cfg = compose([*settings, *data_settings, *given])
    place = Path(folder) if folder is not None else where / run_id(resolved(cfg))
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    with claim(place):
        job = open_job(plan_run(cfg), place, lambda: False)
        if isinstance(job, Job):
            job.run()
    return load(place)


def _loss_of(model: str) -> list[str]:
    """Return the override that gives a model of two tasks a loss of both; none for other models."""
    made = MODELS.get(model)
    return ["loss=bpr_rating"] if isinstance(made, type) and issubclass(made, RatingRecommender) else []


def _data_settings(
    data: pd.DataFrame | str | Path, folder: str | Path | None, split_chosen: bool
) -> tuple[Path, list[str]]:
    """Return the folder for runs that have none of their own, and the overrides that choose the data."""
    where = Path("outputs/python")
    if isinstance(data, pd.DataFrame):
        return where, _frame_settings(data, Path(folder) if folder is not None else where, split_chosen)
    if str(data) in DATASETS:
        return where, [f"data={data}"]
    if not Path(data).is_file():
        raise DataError(f"data: expected a frame, a file or one of {', '.join(DATASETS)}, got {str(data)!r}")
    return where, ["data=csv", f"data.archive='{Path(data).resolve()}'"]


def _frame_settings(frame: pd.DataFrame, folder: Path, split_chosen: bool) -> list[str]:
    """Write the frame's columns to a file that the run can be resumed and loaded with; return its overrides."""
    names = {what: next((n for n in known if n in frame), None) for what, known in _COLUMNS.items()}
    for what in ("user", "item"):
        if names[what] is None:
            raise DataError(
                f"data: expected a column {' or '.join(_COLUMNS[what])}, found {', '.join(map(str, frame))}"
            )
    kept = frame[[name for name in names.values() if name is not None]]
    _refuse_missing(kept)
    times = names["timestamp"]
    iso = times is not None and pd.api.types.is_datetime64_any_dtype(kept[times])
    text = kept.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S%z")
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.csv"
    if not path.exists():
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    chosen = [f"data.{what}={name or 'null'}" for what, name in names.items()]
    chosen += ["data.time=iso"] if iso else []
    chosen += ["data.threshold=null"] if names["rating"] is None else []
    chosen += ["split=ratio"] if names["timestamp"] is None and not split_chosen else []
    return ["data=csv", f"data.archive='{path.resolve()}'", *chosen]


def _refuse_missing(frame: pd.DataFrame) -> None:
    """Raise DataError, naming column and row, for a missing value."""
    for name in frame:
        if (missing := frame[name].isna().to_numpy()).any():
            raise DataError(
                f"data: expected a value in column {name!r} of each row, found none in row {missing.argmax()}"
            )


def evaluate(
    scores: Any,
    split: Split | LoadedRun,
    *,
    part: Literal["valid", "test"] = "test",
    metrics: Sequence[str] = ("hit", "ndcg", "mrr"),
    cutoffs: Sequence[int] = (5, 10, 20),
    ties: str = "average",
) -> dict[str, float]:
    """Return the metrics of any scores on held-out positives by full ranking, as a run of this package gets them.

    Args:
        scores: one of a matrix (U, I) of NumPy or torch, in the order of `split.user_ids` and `split.item_ids`; a frame
            of recommendations with columns user_id, item_id and score (or rank, 1 for the best), at least as many for
            each user as the largest cut-off, in which items that are not listed tie below all that are; a model with a
            method `score`; a function of user indices (B,) int64 that returns (B, I).
        split: or a finished run, whose split is taken.
        part: which held-out positives.

    Raises:
        ConfigError: a metric, cut-off or part is unknown.
        DataError: the scores have another shape, or a table has unknown ids, repeats, or too few rows of a user.
        TrainingError: a score is NaN.
    """
    split = split.split if isinstance(split, LoadedRun) else split
    if part not in _TARGETS:
        raise ConfigError(f"part: expected one of {', '.join(_TARGETS)}, got {part!r}")
    settings = {"name": "full", "metrics": list(metrics), "cutoffs": list(cutoffs), "ties": ties, "memory_mb": 256}
    protocol: FullRanking = component("evaluation", EVALUATIONS, settings)()
    protocol.check(split.num_items)
    targets = _TARGETS[part](split, "cpu")
    if isinstance(scores, pd.DataFrame):
        scores = _matrix_of(scores, split)
        _refuse_short_lists(scores, targets, max(cutoffs, default=1))
    return protocol.metrics(protocol.evaluate(_scorer(scores, split), targets))


def _refuse_short_lists(matrix: Tensor, targets: Targets, most: int) -> None:
    """Raise DataError if a user has fewer than `most` items in a table: which come next cannot be known."""
    listed = (matrix > -torch.inf).sum(1)[targets.users]
    short = (listed < most) & (listed < targets.candidates)
    if short.any():
        row = int(short.nonzero()[0])
        raise DataError(
            f"scores: expected at least {most} items, the largest cut-off, for each of {len(targets)} held-out "
            f"positives, found {int(listed[row])} for {targets.user(row)} and too few for {int(short.sum())} in all; "
            "cutoffs=[...] may be smaller"
        )


def _scorer(scores: Any, split: Split) -> Scorer:
    if hasattr(scores, "score"):
        scores = scores.score
    if callable(scores):
        return lambda users: _real(scores(users))
    matrix = _real(scores)
    if matrix.shape != (split.num_users, split.num_items):
        raise DataError(
            f"scores: expected a matrix of {split.num_users} users by {split.num_items} items, got shape "
            f"{tuple(matrix.shape)}"
        )
    return lambda users: matrix[users]


def _real(scores: Any) -> Tensor:
    """Return scores as float32, or as float64 where float32 could make them tie."""
    tensor = torch.as_tensor(scores).detach().cpu()
    if tensor.is_complex():
        raise DataError(f"scores: expected real numbers, got {tensor.dtype}")
    narrow = tensor.dtype in (torch.float16, torch.bfloat16, torch.float32)
    return tensor.float() if narrow else tensor.double()


def _matrix_of(frame: pd.DataFrame, split: Split) -> Tensor:
    """Return scores (U, I) from a table of recommendations; -inf for what is not listed."""
    value = next((name for name in ("score", "rank") if name in frame), None)
    if value is None or not {"user_id", "item_id"} <= set(frame):
        found = ", ".join(map(str, list(frame)[:8])) + (", ..." if frame.shape[1] > 8 else "")
        raise DataError(
            f"scores: expected columns user_id, item_id and score or rank, found {found}; a matrix is given as an array"
        )
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
    matrix[rows, columns] = frame[value].to_numpy(float) * (-1 if value == "rank" else 1)
    return torch.from_numpy(matrix)


def _places(what: str, known: np.ndarray, ids: pd.Series) -> np.ndarray:
    places = pd.Index(known).get_indexer(pd.Index(ids.to_numpy()))
    if (missing := places < 0).any():
        raise DataError(f"scores: {what} {ids.to_numpy()[missing.argmax()]!s} is not in the split")
    return places
