"""Load a finished run to score and recommend with: `ncf.load(folder)`."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf import models
from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data import read_split
from ncf.data.split import Split
from ncf.errors import CheckpointError, DataError
from ncf.evaluation.ranking import chunk_size
from ncf.models.non_gradient import positives_matrix
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import completed, refuse_foreign

_MEMORY_MB = 64  # for one chunk of scores


@dataclass(frozen=True)
class LoadedRun:
    """A trained recommender with its data; ids are those of the data files.

    Attributes:
        folder: of the run.
        result: the content of its result.json.
        split: positives, ids, titles and genres.
        model: on the CPU, with the weights of its best epoch.
    """

    folder: Path
    result: dict[str, Any]
    split: Split
    model: models.Recommender

    @cached_property
    def seen(self) -> Any:
        """(U, I) sparse: all known positives, held-out ones included; these are not recommended again."""
        split = self.split
        matrices = [
            positives_matrix(p, split.num_users, split.num_items) for p in (split.train, split.valid, split.test)
        ]
        return sum(matrices[1:], matrices[0])

    def score(self, user_ids: Sequence[Any], item_ids: Sequence[Any] | None = None) -> np.ndarray:
        """Return scores (B, I) float32 of all items in the order of `split.item_ids`, or only of `item_ids`, in theirs.

        Raises:
            DataError: an unknown id; the message suggests similar ones.
        """
        users = self.indices("user", user_ids)
        scores = self.model.score(torch.from_numpy(users)).numpy()
        return scores if item_ids is None else scores[:, self.indices("item", item_ids)]

    def recommend(
        self, user_ids: Sequence[Any], k: int, progress: Callable[[int], object] = lambda users: None
    ) -> pd.DataFrame:
        """Return, for each user, the `k` items with the highest scores that they do not have yet, best first.

        Args:
            user_ids: ids of the data file; repeated ones get repeated rows.
            k: items per user; fewer if the catalogue has no more.
            progress: called after each chunk with its number of users.

        Returns:
            Columns user_id, rank (from 1), item_id, score, and title and genres if known.

        Raises:
            DataError: an unknown id; the message suggests similar ones.
        """
        parts = []
        for users in self._chunks(self.indices("user", user_ids)):
            parts.append(self._best(users, min(k, self.split.num_items)))
            progress(len(users))
        return pd.concat(parts, ignore_index=True) if parts else self._best(np.empty(0, np.int64), 1)

    def _chunks(self, users: np.ndarray) -> Iterator[np.ndarray]:
        step = chunk_size(self.split.num_items, _MEMORY_MB)
        return (users[start : start + step] for start in range(0, len(users), step))

    def _best(self, users: np.ndarray, k: int) -> pd.DataFrame:
        scores = self.model.score(torch.from_numpy(users)).clone()
        rows, items = self.seen[users].nonzero()
        scores[torch.from_numpy(rows), torch.from_numpy(items)] = -torch.inf
        values, best = scores.topk(k, dim=1)
        new = (values > -torch.inf).numpy()
        columns = {
            "user_id": np.repeat(self.split.user_ids[users], new.sum(1)),
            "rank": np.broadcast_to(np.arange(1, k + 1), new.shape)[new],
        }
        return pd.DataFrame(columns | self.described(best.numpy()[new]) | {"score": values.numpy()[new]})

    def history(self, user_id: Any, limit: int) -> pd.DataFrame:
        """Return the user's most recent positives, newest first: item_id, and title, genres and time if known."""
        user = self.indices("user", [user_id])[0]
        split = self.split
        rows = [np.flatnonzero(part.users == user) for part in (split.train, split.valid, split.test)]
        parts = list(zip((split.train, split.valid, split.test), rows, strict=True))
        items = np.concatenate([part.items[r] for part, r in parts])[::-1][:limit]  # all are in order of time
        frame = pd.DataFrame(self.described(items))
        if split.train.timestamps is not None:
            stamps = np.concatenate([part.timestamps[r] for part, r in parts if part.timestamps is not None])
            frame["time"] = pd.to_datetime(stamps[::-1][:limit], unit="s").strftime("%Y-%m-%d")
        return frame

    def items_like(self, item_id: Any, k: int) -> pd.DataFrame:
        """Return the `k` other items whose vectors have the highest cosine with that of `item_id`.

        Raises:
            DataError: an unknown id, or a model without item vectors.
        """
        item = self.indices("item", [item_id])[0]
        embeddings = self.model.item_embeddings()
        if embeddings is None:
            raise DataError(f"items_like: model {type(self.model).__name__} has no item vectors to compare")
        vectors = torch.nn.functional.normalize(embeddings, dim=1)
        cosines = vectors @ vectors[item]
        cosines[item] = -torch.inf
        values, best = cosines.topk(min(k, len(cosines) - 1))
        return pd.DataFrame(self.described(best.numpy()) | {"cosine": values.numpy()})

    def described(self, items: np.ndarray) -> dict[str, np.ndarray]:
        """Return item_id, and title and genres if known, of item indices (N,)."""
        split = self.split
        known = {"item_id": split.item_ids, "title": split.titles, "genres": split.genres}
        return {name: values[items] for name, values in known.items() if values is not None}

    def indices(self, what: str, ids: Sequence[Any]) -> np.ndarray:
        """Return indices (N,) int64 of raw ids, `what` being "user" or "item"; text may spell a number.

        Raises:
            DataError: an unknown id; the message suggests similar ones.
        """
        known = self.split.user_ids if what == "user" else self.split.item_ids
        return np.array([_index(what, known, raw) for raw in ids], np.int64)


def load(run_folder: str | Path) -> LoadedRun:
    """Load the finished run in `run_folder`, preparing its data again if necessary.

    Raises:
        DataError: there is no such run, it is not finished, or its data has changed since training.
        CheckpointError: its checkpoint is missing, damaged or another run's.
    """
    folder = Path(run_folder)
    result = finished(folder)
    saved = checkpoint.load(folder)
    if saved is None:
        raise CheckpointError(f"{folder}: expected {checkpoint.NEWEST}, found none")
    config = completed(result["config"])
    refuse_foreign(folder, artifacts.RESULT, config, saved.settings)
    split = read_split(config)
    if split.digest != result["data_digest"]:
        raise DataError(
            f"{folder}: expected data with digest {result['data_digest'][:16]}, on which the run was trained, "
            f"found {split.digest[:16]}"
        )
    with checkpoint.understood(folder):
        return LoadedRun(folder, result, split, _restored(config, split, saved.best))


def finished(folder: Path) -> dict[str, Any]:
    """Return the result of the run in `folder`. Raises DataError if there is no run or it is not finished."""
    if not folder.is_dir():
        raise DataError(f"run: expected a run folder, but {folder} does not exist{_others(folder)}")
    result = artifacts.read_result(folder)
    if result is None and (folder / checkpoint.NEWEST).exists():
        raise DataError(f"{folder}: expected a finished run; resume it with python -m ncf.train resume={folder}")
    if result is None:
        raise DataError(f"{folder}: expected a run folder, found no {artifacts.RESULT}{_others(folder / 'x')}")
    return result


def _others(folder: Path) -> str:
    """Name some finished runs near `folder`, for an error message."""
    near = [path.parent for path in sorted(folder.parent.glob(f"*/{artifacts.RESULT}"))[:3]]
    return f" (finished runs nearby: {', '.join(map(str, near))})" if near else ""


def _restored(config: dict[str, Any], split: Split, state: dict[str, Tensor]) -> models.Recommender:
    make: partial[models.Recommender] = component("model", models.MODELS, config["model"])
    model = models.build(make, split.num_users, split.num_items, generator(config["seed"], "initialisation"))
    if isinstance(model, models.NonGradientRecommender):
        model.restore(state)
    else:
        model.load_state_dict(state)
    return model.eval()


def _index(what: str, known: np.ndarray, raw: Any) -> int:
    value = _as_id(known, raw)
    index = -1 if value is None else int(np.searchsorted(known, value))
    if 0 <= index < len(known) and known[index] == value:
        return index
    close = difflib.get_close_matches(str(raw), map(str, known.tolist()), n=3)
    hint = f"; similar ids: {', '.join(close)}" if close else ""
    raise DataError(
        f"{what}: expected an id among the {len(known)} {what}s with positives ({known[0]} to {known[-1]}), "
        f"got {raw!r}{hint}"
    )


def _as_id(known: np.ndarray, raw: Any) -> Any:
    """Convert `raw` to the type of the known ids; return None if that is not possible."""
    if known.dtype.kind != "i":
        return str(raw)
    try:
        value = int(raw)
    except (TypeError, ValueError):
        return None
    return value if value == raw or str(value) == str(raw).strip() else None
