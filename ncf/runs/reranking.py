"""Recommend from candidates of a finished run: found exactly or by an index, and re-ranked or not."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ncf.core.command_line import Parser
from ncf.errors import ConfigError
from ncf.evaluation.ranking import chunk_size
from ncf.retrieval.candidates import Candidates, best
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.rerankers import BY_SIMILARITY, CANDIDATES, RERANKERS, SIMILARITY, WEIGHT, Reranking, reranking
from ncf.retrieval.similarity import SIMILARITIES
from ncf.runs.loaded_run import LoadedRun

USERS_AT_ONCE = 512  # whose lists are chosen together: their tables still fit in a core's cache
_MEMORY_MB = 64  # for one chunk of scores

Source = Callable[[np.ndarray, int], Candidates]
"""Indices of users (B,) and a number of candidates -> the best items that those users do not have."""


def add_options(options: Parser) -> None:
    """Add what a command that re-ranks asks for; `asked` reads it."""
    options.add_argument(
        "--rerank", help=f"choose each list from the user's best items for variety: {', '.join(RERANKERS)}"
    )
    options.add_argument(
        "--lambda", dest="weight", type=float,
        help=f"weight of relevance in it, from 0 to 1 ({WEIGHT}); of popularity_cap, the largest share of popular ones",
    )  # fmt: skip
    options.add_argument(
        "--similarity",
        help=f"what makes items alike, for {' and '.join(BY_SIMILARITY)}: {', '.join(SIMILARITIES)} ({SIMILARITY})",
    )
    options.add_argument("--candidates", type=int, help=f"items that a list is chosen from ({CANDIDATES}, at least k)")


def asked(options: Namespace, k: int) -> Reranking | None:
    """Return what the options of `add_options` say; None if nothing is re-ranked. Raises ConfigError."""
    if options.rerank is not None:
        return reranking(options.rerank, options.weight, options.similarity, options.candidates, k)
    given = {"lambda": options.weight, "similarity": options.similarity, "candidates": options.candidates}
    if named := [name for name, value in given.items() if value is not None]:
        raise ConfigError(f"{named[0]}: expected rerank=, which it belongs to, found none")
    return None


def by_score(run: LoadedRun) -> Source:
    """Return the source that scores every item, as every model can."""

    def found(users: np.ndarray, count: int) -> Candidates:
        scores = torch.from_numpy(run.score(run.split.user_ids[users].tolist())).clone()
        scores[tuple(map(torch.from_numpy, run.seen[users].nonzero()))] = -torch.inf
        return best(torch.from_numpy(users), scores, count)

    return found


def recommend(
    run: LoadedRun,
    user_ids: Sequence[Any],
    k: int,
    source: Source,
    reranker: Reranker | None = None,
    candidates: int = 100,
    progress: Callable[[int], object] = lambda users: None,
) -> pd.DataFrame:
    """Return a list of `k` items for each user, as `LoadedRun.recommend` does.

    Args:
        source: finds the candidates.
        reranker: chooses from `candidates` of them; None takes the k best.
        progress: called after each chunk with its number of users.

    Returns:
        Columns user_id, rank (from 1), item_id, and title and genres if known, score, and, re-ranked, `place`: the rank
        before that.

    Raises:
        As `LoadedRun.recommend`.
    """
    users = run.indices("user", user_ids)
    step = min(USERS_AT_ONCE, chunk_size(run.split.num_items, _MEMORY_MB))
    parts = []
    for start in range(0, max(1, len(users)), step):
        some = users[start : start + step]
        found = source(some, k if reranker is None else candidates)
        chosen = None if reranker is None else reranker.choose(found, k)
        parts.append(_frame(run, some, found, chosen))
        progress(len(some))
    return pd.concat(parts, ignore_index=True)


def _frame(run: LoadedRun, users: np.ndarray, found: Candidates, chosen: Tensor | None) -> pd.DataFrame:
    items, scores = (found.items, found.scores) if chosen is None else found.at(chosen)
    there = (scores > -torch.inf).numpy()
    columns = {
        "user_id": np.repeat(run.split.user_ids[users], there.sum(1)),
        "rank": np.broadcast_to(np.arange(1, there.shape[1] + 1), there.shape)[there],
    }
    columns |= run.described(items.numpy()[there]) | {"score": scores.numpy()[there]}
    if chosen is not None:
        columns["place"] = chosen.numpy()[there] + 1
    return pd.DataFrame(columns)
