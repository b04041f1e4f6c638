"""What re-ranking does to a finished run's lists: how well they rank, and what else they are like, over lambda."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf.errors import DataError
from ncf.evaluation.ranking import chunk_size
from ncf.models.non_gradient import positives_matrix
from ncf.retrieval import lists
from ncf.retrieval.candidates import Candidates, best
from ncf.retrieval.genres import item_genres, user_genres
from ncf.retrieval.rerankers import Reranking, build
from ncf.retrieval.similarity import genre, similarity_of
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.reranking import USERS_AT_ONCE

WEIGHTS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
_MEMORY_MB = 64


@dataclass(frozen=True)
class Evaluated:
    """What lists are compared on, for the N users with test positives.

    Attributes:
        candidates: the best items that a user has neither in training nor in validation, of those that a test positive
            is ranked among.
        expected: (N, K), the most popular ones of them.
        positives: the test positives, each as user * I + item.
    """

    run: LoadedRun
    k: int
    candidates: Candidates
    expected: Tensor
    positives: Tensor

    def metrics(self, positions: Tensor) -> dict[str, Tensor | float]:
        """Return values (N,), one a user, or one number of all lists, for positions (N, K) as re-rankers give them."""
        run, split, users = self.run, self.run.split, self.candidates.users
        items, scores = self.candidates.at(positions)
        there = scores > -torch.inf
        relevant = torch.isin(users[:, None] * split.num_items + items, self.positives) & there
        held_out = torch.from_numpy(np.bincount(split.test.users, minlength=split.num_users))[users]
        popularity = np.bincount(split.train.items, minlength=split.num_items)
        found: dict[str, Tensor | float] = {
            "ndcg": lists.ndcg(relevant, held_out),
            "hit": relevant.any(1).double(),
            "serendipity": lists.serendipity(items, relevant, self.expected),
            "similarity by co_occurrence": lists.intra_list_similarity(
                items, there, similarity_of("co_occurrence", split, run.model)
            ),
        }
        try:
            genres = item_genres(split)
        except DataError:  # then nothing can be said of them
            return found | lists.of_catalogue(items, there, popularity, split.num_users)
        tastes = user_genres(split, genres)[users]
        found["similarity by genre"] = lists.intra_list_similarity(items, there, genre(split))
        found["miscalibration"] = lists.miscalibration(items, there, genres, tastes)
        return found | lists.of_catalogue(items, there, popularity, split.num_users)


@torch.no_grad()
def evaluated(
    run: LoadedRun, k: int, candidates: int, progress: Callable[[int], object] = lambda users: None
) -> Evaluated:
    """Return the candidates of every user with a test positive, as full ranking has them."""
    split = run.split
    positives = torch.from_numpy(split.test.users * split.num_items + split.test.items)
    seen = sum(positives_matrix(p, split.num_users, split.num_items) for p in (split.train, split.valid)).tocsr()
    popularity = torch.from_numpy(np.bincount(split.train.items, minlength=split.num_items)).float()
    users = np.unique(split.test.users)
    among = np.arange(split.num_items) if split.test_among is None else split.test_among
    ruled_out = torch.from_numpy(np.setdiff1d(np.arange(split.num_items), among))
    step = chunk_size(split.num_items, _MEMORY_MB)
    found: list[Candidates] = []
    expected: list[Candidates] = []
    for start in range(0, len(users), step):
        some = users[start : start + step]
        known = tuple(map(torch.from_numpy, seen[some].nonzero()))
        scores = torch.from_numpy(run.score(split.user_ids[some].tolist())).clone()
        for values, count, kept in ((scores, candidates, found), (popularity.repeat(len(some), 1), k, expected)):
            values[known] = -torch.inf
            values[:, ruled_out] = -torch.inf
            kept.append(best(torch.from_numpy(some), values, count))
        progress(len(some))
    whole = Candidates(*(torch.cat([getattr(c, name) for c in found]) for name in ("users", "items", "scores")))
    return Evaluated(run, k, whole, torch.cat([c.items for c in expected]), positives)


def trade_off(
    run: LoadedRun, k: int, settings: Sequence[Reranking], progress: Callable[[int], object] = lambda users: None
) -> pd.DataFrame:
    """Return metrics of plain lists (first row) and of those re-ranked by each of `settings`, one row each.

    Columns: rerank ("none" first), similarity, lambda, candidates, the means over users, `ndcg change` and its standard
    error, paired by user.

    Raises:
        DataError: the data has no genres, or the model no vectors, where they are needed.
        CheckpointError: a score is NaN.
    """
    rerankers = [build(s, run.split, run.model) for s in settings]
    kept = evaluated(run, k, max(s.candidates for s in settings), progress)
    width = kept.candidates.items.shape[1]
    plain = torch.where(kept.candidates.there[:, :k], torch.arange(min(k, width)), -1)
    base = kept.metrics(plain)
    rows = [{"rerank": "none", "similarity": "", "lambda": 1.0, "candidates": k} | _means(base, base)]
    for one, reranker in zip(settings, rerankers, strict=True):
        c = kept.candidates
        fewer = replace(c, items=c.items[:, : one.candidates], scores=c.scores[:, : one.candidates])
        parts = zip(*(t.split(USERS_AT_ONCE) for t in (fewer.users, fewer.items, fewer.scores)))
        chosen = torch.cat([reranker.choose(Candidates(*part), k) for part in parts])
        of_one = {"rerank": one.name, "similarity": one.similarity or "", "lambda": one.weight}
        rows.append(of_one | {"candidates": one.candidates} | _means(kept.metrics(chosen), base))
    return pd.DataFrame(rows)


def _means(found: dict[str, Tensor | float], base: dict[str, Tensor | float]) -> dict[str, float]:
    values = {name: v if isinstance(v, float) else float(v.nanmean()) for name, v in found.items()}
    assert isinstance(found["ndcg"], Tensor)
    assert isinstance(base["ndcg"], Tensor)
    change = found["ndcg"] - base["ndcg"]
    error = float(change.std() / len(change) ** 0.5) if len(change) > 1 else float("nan")
    return values | {"ndcg change": float(change.mean()), "error of the change": error}


def curve(settings: Reranking, weights: Sequence[float] = WEIGHTS) -> list[Reranking]:
    """Return the settings at each lambda, from relevance alone to diversity alone."""
    return [replace(settings, weight=weight) for weight in weights]
