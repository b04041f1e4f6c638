"""A finished run, loaded: what it scores, recommends and knows of users and items."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf import models
from ncf.data.split import Split
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.evaluation.ranking import chunk_size
from ncf.evaluation.top import top
from ncf.models.new_users import Histories
from ncf.models.non_gradient import positives_matrix
from ncf.runs import new_users
from ncf.runs.identity import completed
from ncf.runs.ids import indices as ids_of
from ncf.runs.ids import refuse_count

_MEMORY_MB = 64  # for one chunk of scores


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Return one line: model, data, size, a test metric and the folder."""
        name, value = next(iter(self.result["test"].items()))
        monitor = str(self.result["config"].get("trainer", {}).get("monitor", name))
        name, value = (monitor, self.result["test"][monitor]) if monitor in self.result["test"] else (name, value)
        return (
            f"LoadedRun({self.result['config']['model']['name']} on {self.split.name}, {self.split.num_users:,} users, "
            f"{self.split.num_items:,} items, test {name} {value:.4f}, {self.folder})"
        )

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
            CheckpointError: a score is NaN or infinite; the message names the user.
        """
        scores = self._scores(self.indices("user", user_ids)).numpy()
        return scores if item_ids is None else scores[:, self.indices("item", item_ids)]

    @torch.no_grad()
    def _scores(self, users: np.ndarray) -> Tensor:
        """Return scores (B, I); an item may have -inf, but not every item of a user. Raises CheckpointError."""
        return self._sound(self.model.score(torch.from_numpy(users)), "user", self.split.user_ids[users])

    def _sound(self, scores: Tensor, what: str, whose: np.ndarray) -> Tensor:
        """Return scores (B, I). Raises CheckpointError if one is NaN, or all of a row are -inf."""
        highest = scores.amax(1) if scores.shape[1] else scores.new_zeros(len(scores))  # NaN if any score is
        if not (sound := highest.isfinite()).all():
            row = int((~sound).nonzero()[0])
            raise CheckpointError(
                f"{self.folder}: expected finite scores, got {float(highest[row])} for {what} {whose[row]!s}"
                f"{self._unsound()}"
            )
        return scores

    def _unsound(self) -> str:
        names = [name for name, weight in self.model.state_dict().items() if _holds_nan(weight)]
        return f"; NaN or inf in the weights {names[0]!r}" if names else ""

    def refuse_unsound(self) -> None:
        """Raise CheckpointError, naming the weights, if any is NaN or inf: what is made of them would say nothing."""
        if found := self._unsound():
            raise CheckpointError(f"{self.folder}: expected finite weights{found.replace(';', ', found', 1)}")

    @torch.no_grad()
    def rate(self, user_ids: Sequence[Any], item_ids: Sequence[Any]) -> np.ndarray:
        """Return the predicted ratings (B,) float32 of pairs: of the first user and item, of the second, and so on.

        Raises:
            ConfigError: there are not as many users as items.
            DataError: the model predicts no ratings; or an unknown id, where the message suggests similar ones.
            CheckpointError: a rating is NaN or infinite.
        """
        if not isinstance(self.model, models.RatingRecommender):
            raise DataError(
                f"rate: model {type(self.model).__name__} predicts no ratings; model=multitask loss=bpr_rating does"
            )
        if len(user_ids) != len(item_ids):
            raise ConfigError(
                f"rate: expected as many users as items, a pair each, got {len(user_ids)} and {len(item_ids)}"
            )
        users, items = (self.indices(*own) for own in (("user", user_ids), ("item", item_ids)))
        ratings = self.model.rate(torch.from_numpy(users), torch.from_numpy(items))
        return self._sound(ratings[:, None], "user", self.split.user_ids[users])[:, 0].numpy()

    def recommend(
        self,
        user_ids: Sequence[Any],
        k: int,
        progress: Callable[[int], object] = lambda users: None,
        leave_out: Literal["all", "train"] = "all",
    ) -> pd.DataFrame:
        """Return, for each user, the `k` items with the highest scores that they do not have yet, best first.

        Of items with equal scores, the one that comes first in `split.item_ids` does so here, whatever `k` is.

        Args:
            user_ids: ids of the data file; repeated ones get repeated rows.
            k: items per user; fewer if the catalogue has no more.
            progress: called after each chunk with its number of users.
            leave_out: what a user has: "all" positives, or those in "train" alone, so that held-out ones may come up,
                as a table to be evaluated requires.

        Returns:
            Columns user_id, rank (from 1), item_id, score, and title and genres if known.

        Raises:
            ConfigError: `k` is no whole number of at least 1, or `leave_out` is neither.
            DataError: an unknown id; the message suggests similar ones.
            CheckpointError: a score is NaN or infinite; the message names the user.
        """
        refuse_count("k", k)
        if leave_out not in ("all", "train"):
            raise ConfigError(f"leave_out: expected all or train, got {leave_out!r}")
        split = self.split
        known = self.seen if leave_out == "all" else positives_matrix(split.train, split.num_users, split.num_items)
        parts = []
        for users in self._chunks(self.indices("user", user_ids)):
            parts.append(self._best("user_id", split.user_ids[users], self._scores(users), known[users].nonzero(), k))
            progress(len(users))
        return pd.concat(parts, ignore_index=True)

    def recommend_for(self, items: Sequence[Any], k: int, ratings: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the `k` best other items for a new user who has `items`, or for several such users.

        Args:
            items: ids of what the user has, in any order, or several such lists; an item given twice counts once.
            k: items per list; fewer if the catalogue has no more.
            ratings: of the shape of `items`; needed by model=als alone.

        Returns:
            Columns list (from 1), rank (from 1), item_id, title and genres if known, and score.

        Raises:
            ConfigError: `k` is no whole number of at least 1.
            DataError: an unknown id, where the message suggests similar ones; an empty list; the model cannot do this,
                or needs ratings.
            CheckpointError: a score is NaN or infinite.
        """
        refuse_count("k", k)
        parts = [
            self._best("list", numbers, scores, (own.owners.numpy(), own.items.numpy()), k)
            for numbers, own, scores in self._folded_in(items, ratings)
        ]
        return pd.concat(parts, ignore_index=True)

    def score_for(self, items: Sequence[Any], ratings: Sequence[Any] | None = None) -> np.ndarray:
        """Return scores (B, I) float32 of all items for B new users, given and raising as in `recommend_for`."""
        return torch.cat([scores for _, _, scores in self._folded_in(items, ratings)]).numpy()

    def _folded_in(
        self, items: Sequence[Any], ratings: Sequence[Any] | None
    ) -> Iterator[tuple[np.ndarray, Histories, Tensor]]:
        """Yield numbers, histories and scores (B, I) of B lists at a time, after all of them have been checked."""
        lists = new_users.read_lists(partial(self.indices, "item"), items, ratings)
        if isinstance(self.model, models.GradientRecommender) and self.model.objective is None:
            self.model.objective = new_users.objective(completed(self.result["config"]), self.split)
        for numbers, own in new_users.histories(lists, chunk_size(self.split.num_items, _MEMORY_MB)):
            yield numbers, own, self._sound(self.model.fold_in(own), "list", numbers)

    def _chunks(self, users: np.ndarray) -> Iterator[np.ndarray]:
        """Yield at least one chunk of `users` (N,), if need be an empty one."""
        step = chunk_size(self.split.num_items, _MEMORY_MB)
        return (users[start : start + step] for start in range(0, max(1, len(users)), step))

    def _best(
        self, name: str, whose: np.ndarray, scores: Tensor, known: tuple[np.ndarray, np.ndarray], k: int
    ) -> pd.DataFrame:
        """Return the `k` highest of scores (B, I) in each row, without `known` rows and items, by `whose` (B,)."""
        k = min(k, self.split.num_items)
        scores = scores.clone()
        scores[tuple(map(torch.from_numpy, known))] = -torch.inf
        values, best = top(scores, k)
        new = (values > -torch.inf).numpy()
        columns = {
            name: np.repeat(whose, new.sum(1)),
            "rank": np.broadcast_to(np.arange(1, k + 1), new.shape)[new],
        }
        return pd.DataFrame(columns | self.described(best.numpy()[new]) | {"score": values.numpy()[new]})

    def history(self, user_id: Any, limit: int) -> pd.DataFrame:
        """Return the user's most recent positives, newest first: item_id, and title, genres and time if known."""
        return self.histories([user_id], limit).drop(columns="user_id")

    def histories(self, user_ids: Sequence[Any], limit: int) -> pd.DataFrame:
        """Return the most recent positives of each user, as `history` does, with a column user_id in front."""
        refuse_count("limit", limit)
        users = self.indices("user", user_ids)
        items, stamps, starts = self._positives
        counts = np.minimum(starts[users + 1] - starts[users], min(limit, self.split.num_items))
        back = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # 0 for the newest
        rows = np.repeat(starts[users + 1] - 1, counts) - back
        frame = pd.DataFrame({"user_id": np.repeat(self.split.user_ids[users], counts)} | self.described(items[rows]))
        if stamps is not None:
            frame["time"] = np.datetime_as_string(stamps[rows].astype("datetime64[s]"), unit="D")
        return frame

    @cached_property
    def _positives(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Items and times (N,) of all positives, by user and then time, and where each user's begin (U + 1,)."""
        parts = (self.split.train, self.split.valid, self.split.test)
        users = np.concatenate([part.users for part in parts])
        order = np.argsort(users, kind="stable")  # the parts are in order of time, and within a user sorted by it
        starts = np.searchsorted(users[order], np.arange(self.split.num_users + 1))
        stamps = [part.timestamps for part in parts if part.timestamps is not None]
        times = np.concatenate(stamps)[order] if len(stamps) == len(parts) else None
        return np.concatenate([part.items for part in parts])[order], times, starts

    def items_like(self, item_id: Any, k: int) -> pd.DataFrame:
        """Return the `k` other items whose vectors have the highest cosine with that of `item_id`.

        Raises:
            ConfigError: `k` is no whole number of at least 1.
            DataError: an unknown id, or a model without item vectors.
            CheckpointError: a vector is not finite.
        """
        refuse_count("k", k)
        item = self.indices("item", [item_id])[0]
        embeddings = self.model.item_embeddings()
        if embeddings is None:
            raise DataError(f"items_like: model {type(self.model).__name__} has no item vectors to compare")
        if not (sound := embeddings.isfinite().all(1)).all():
            found = self.split.item_ids[int((~sound).nonzero()[0])]
            raise CheckpointError(f"{self.folder}: expected finite item vectors, got NaN or inf for item {found!s}")
        vectors = torch.nn.functional.normalize(embeddings, dim=1)
        cosines = vectors @ vectors[item]
        cosines[item] = -torch.inf
        values, best = top(cosines[None], min(k, len(cosines) - 1))
        return pd.DataFrame(self.described(best[0].numpy()) | {"cosine": values[0].numpy()})

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
        return ids_of(what, known, ids)


def _holds_nan(weight: Any) -> bool:
    """Return whether a tensor holds NaN or inf; -inf may rule an item out."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or not weight.numel():
        return False
    return not weight.max().isfinite() and float(weight.max()) != -torch.inf
