"""A run in a few lines of Python: `ncf.fit(model, data)` and `ncf.evaluate(scores, split)`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ncf.core.compose import compose
from ncf.core.config import component
from ncf.core.files import writing
from ncf.core.overrides import override, overrides_of
from ncf.data import DATASETS, Split
from ncf.data.archive import user_path
from ncf.errors import ConfigError, DataError
from ncf.evaluation import EVALUATIONS, FullRanking, test_targets, validation_targets
from ncf.models import MODELS, RatingRecommender
from ncf.runs.artifacts import DYNAMICS, EPOCHS
from ncf.runs.frames import FrameFile, file_of
from ncf.runs.given_scores import matrix_of, refuse_short_lists, scorer_of
from ncf.runs.identity import resolved, run_id
from ncf.runs.job import Job, open_job
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import load
from ncf.runs.plan import plan_run
from ncf.runs.state import LOCK, claim

_TARGETS = {"valid": validation_targets, "test": test_targets}
_DEFAULT_FOLDER = Path("outputs/python")


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

    A run that is refused leaves no file in its folder, and changes none.

    Args:
        model: its name, as in `model=neumf`.
        data: the name of a data set, the path of a file of your own, or a frame with columns user_id, item_id and, if
            there are any, rating and timestamp (seconds since 1970, dates or datetimes). Without timestamps, positives
            are held out at random (split=ratio); without ratings every row is a positive, else those with a rating of 4
            or more (`overrides=["data.threshold=3"]`; a model of two tasks learns from all ratings with
            "data.threshold=null"). Ids that are whole floating-point numbers are integers. A file's
            columns are said by `overrides`.
        folder: of the run; made if necessary. None: below outputs/python, by the run's id.
        epochs: at most so many.
        overrides: any other setting, as on the command line, ["optimizer.lr=0.01"], or as {"optimizer.lr": 0.01}, whose
            values mean themselves: None is null, and text stays text.
        choices: what else is chosen by name or number: loss="focal", split="ratio", neg_ratio=50, seed=7.

    Raises:
        ConfigError: a setting is invalid.
        DataError: the data are invalid; of a frame, the message gives the row, from 0.
        CheckpointError: `folder` holds another run.
        TrainingError: a loss, gradient or score was not finite.
    """
    settings = _settings(model, epochs, choices)
    given = _given(overrides)
    settings += [] if any(o.startswith("loss=") for o in (*settings, *given)) else _loss_of(model)
    chosen_folder = None if folder is None else _folder(folder)
    source, data_settings = _data(data, chosen_folder or _DEFAULT_FOLDER, "split" in choices)
    cfg = compose([*settings, *data_settings, *given])
    plan = plan_run(cfg)
    place = chosen_folder or _DEFAULT_FOLDER / run_id(resolved(cfg))
    with _made(place) as refused, claim(place):
        with refused(), nullcontext() if source is None else source.named_data():
            job = open_job(plan if source is None else source.read_by(plan), place, lambda: False)
            if source is not None:
                source.write()
        if isinstance(job, Job):
            job.run()
    return load(place)


def _loss_of(model: str) -> list[str]:
    """Return the override that gives a model of two tasks a loss of both; none for other models."""
    made = MODELS.get(model)
    return ["loss=bpr_rating"] if isinstance(made, type) and issubclass(made, RatingRecommender) else []


def _settings(model: Any, epochs: Any, choices: Mapping[str, Any]) -> list[str]:
    """Return the overrides that choose the model, the epochs and what else is chosen by name."""
    if not isinstance(model, str):
        raise ConfigError(f"model: expected a name, such as 'neumf', got {type(model).__name__}")
    named = {key: "none" if key == "tracking" and value is None else value for key, value in choices.items()}
    return overrides_of({"model": model, **named, **({} if epochs is None else {"trainer.epochs": epochs})})


def _given(overrides: Any) -> list[str]:
    """Return overrides as on the command line. Raises ConfigError for what is neither a list of them nor a mapping."""
    if isinstance(overrides, Mapping):
        return overrides_of(overrides)
    is_list = isinstance(overrides, Sequence) and not isinstance(overrides, str | bytes)
    if is_list and all(isinstance(line, str) for line in overrides):
        return list(overrides)
    raise ConfigError(
        f"overrides: expected a list such as ['seed=3'] or a mapping such as {{'seed': 3}}, got {repr(overrides)[:80]}"
    )


def _folder(folder: Any) -> Path:
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ConfigError(f"folder: expected a path, got {folder!r:.80}")
    return Path(folder)


def _data(data: Any, folder: Path, split_chosen: bool) -> tuple[FrameFile | None, list[str]]:
    """Return the file to be written of a frame, and the overrides that choose the data."""
    if isinstance(data, pd.DataFrame):
        file = file_of(data, folder)
        at_random = file.settings["data.timestamp"] is None and not split_chosen
        return file, overrides_of(file.settings | ({"split": "ratio"} if at_random else {}))
    known = f"expected a frame, a file or one of {', '.join(DATASETS)}"
    if not isinstance(data, str | os.PathLike):
        raise DataError(f"data: {known}, got {type(data).__name__}")
    if str(data) in DATASETS:
        return None, [override("data", str(data))]
    if not _is_file(path := user_path(os.fsdecode(data))):
        raise DataError(f"data: {known}, got {str(data)[:200]!r}")
    return None, overrides_of({"data": "csv", "data.archive": path.resolve()})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder that may not be searched
        return False


@contextmanager
def _made(place: Path) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Make the folder; what is yielded is a context in which a refusal unmakes what was not there before."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    strange = [path for name in (LOCK, EPOCHS, DYNAMICS) if not os.path.lexists(path := place / name)]

    @contextmanager
    def refused() -> Iterator[None]:
        """Undo what was made so far if the context is left by an error."""
        try:
            yield
        except BaseException:
            for path in strange:
                path.unlink(missing_ok=True)
            for folder in missing:
                with suppress(OSError):  # something else lies there by now
                    folder.rmdir()
            raise

    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    yield refused


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
            of recommendations with columns user_id, item_id and score (or rank, 1 for the best), at least as many new
            items for each user as the largest cut-off, in which items that are not listed tie below all that are; a
            finished run; a model with a method `score`; a function of user indices (B,) int64 that returns (B, I).
        split: or a finished run, whose split is taken.
        part: which held-out positives.

    Raises:
        ConfigError: a metric, cut-off or part is unknown.
        DataError: the scores are no numbers or have another shape, or a table has unknown ids, repeats, or too few
            items that a user does not have in train.
        TrainingError: a score is NaN.
    """
    split = _split_of(split)
    if not isinstance(part, str) or part not in _TARGETS:
        raise ConfigError(f"part: expected one of {', '.join(_TARGETS)}, got {part!r}")
    numbers = [_whole(cutoff) for cutoff in _listed("cutoffs", cutoffs, "[5, 10]")]
    named = _listed("metrics", metrics, "['hit', 'ndcg']")
    settings = {"name": "full", "metrics": named, "cutoffs": numbers, "ties": ties, "memory_mb": 256}
    protocol: FullRanking = component("evaluation", EVALUATIONS, settings)()
    protocol.check(split.num_items)
    targets = _TARGETS[part](split, "cpu")
    if isinstance(scores, pd.DataFrame):
        scores = matrix_of(scores, split)
        refuse_short_lists(scores, split, targets, max(numbers))
    return protocol.metrics(protocol.evaluate(scorer_of(scores, split), targets))


def _split_of(split: Any) -> Split:
    split = split.split if isinstance(split, LoadedRun) else split
    if not isinstance(split, Split):
        raise DataError(f"split: expected a split or a finished run, got {type(split).__name__}")
    return split


def _listed(name: str, values: Any, example: str) -> list[Any]:
    if not isinstance(values, str | bytes | Mapping):
        with suppress(TypeError):
            return list(values)
    raise ConfigError(f"{name}: expected a list, such as {example}, got {values!r:.80}")


def _whole(cutoff: Any) -> Any:
    """Return an integer of NumPy as Python's; the evaluation judges what else there may be."""
    return int(cutoff) if isinstance(cutoff, np.integer) else cutoff
