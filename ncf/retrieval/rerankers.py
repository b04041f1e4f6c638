"""Which ways of re-ranking there are, and what each needs of the data."""

from dataclasses import dataclass

import numpy as np

from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.models.base import Recommender
from ncf.retrieval.calibrated import Calibrated
from ncf.retrieval.dpp import DPP
from ncf.retrieval.genres import item_genres, user_genres
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.mmr import MMR
from ncf.retrieval.popularity_cap import PopularityCap, head
from ncf.retrieval.similarity import SIMILARITIES, similarity_of
from ncf.retrieval.xquad import XQuAD

BY_SIMILARITY: dict[str, type[MMR] | type[DPP]] = {"mmr": MMR, "dpp": DPP}
BY_GENRE: dict[str, type[XQuAD] | type[Calibrated]] = {"xquad": XQuAD, "calibrated": Calibrated}
CAPPED = "popularity_cap"
RERANKERS = (*BY_SIMILARITY, *BY_GENRE, CAPPED)

WEIGHT, SIMILARITY, CANDIDATES = 0.7, "genre", 100


@dataclass(frozen=True)
class Reranking:
    """How lists are re-ranked.

    Attributes:
        name: of `RERANKERS`.
        weight: lambda.
        similarity: of `SIMILARITIES`; None for what knows none.
        candidates: how many of a user's best items a list is chosen from.
    """

    name: str
    weight: float
    similarity: str | None
    candidates: int

    def __str__(self) -> str:
        """Return the options as they are typed."""
        alike = f" similarity={self.similarity}" if self.similarity else ""
        return f"rerank={self.name} lambda={self.weight:g}{alike} candidates={self.candidates}"


def reranking(name: str, weight: float | None, similarity: str | None, candidates: int | None, k: int) -> Reranking:
    """Return settings, None taking the default. Raises ConfigError, naming the option, for what makes no sense."""
    if name not in RERANKERS:
        raise ConfigError(f"rerank: expected one of {', '.join(RERANKERS)}, got {name!r}")
    weight = WEIGHT if weight is None else weight
    if not 0 <= weight <= 1:
        raise ConfigError(f"lambda: expected a number from 0 (diversity alone) to 1 (relevance alone), got {weight:g}")
    if similarity is not None and name not in BY_SIMILARITY:
        raise ConfigError(f"similarity: expected rerank={' or '.join(BY_SIMILARITY)}, which compare items, got {name}")
    if similarity is not None and similarity not in SIMILARITIES:
        raise ConfigError(f"similarity: expected one of {', '.join(SIMILARITIES)}, got {similarity!r}")
    candidates = max(CANDIDATES, k) if candidates is None else candidates
    if candidates < k:
        raise ConfigError(f"candidates: expected at least k={k}, got {candidates}")
    alike = (similarity or SIMILARITY) if name in BY_SIMILARITY else None
    return Reranking(name, weight, alike, candidates)


def build(settings: Reranking, split: Split, model: Recommender | None = None) -> Reranker:
    """Return the re-ranker for these settings and data.

    Raises:
        DataError: the data has no genres, or the model no vectors, where they are needed.
    """
    if settings.name in BY_SIMILARITY:
        return BY_SIMILARITY[settings.name](settings.weight, similarity_of(str(settings.similarity), split, model))
    if settings.name == CAPPED:
        return PopularityCap(settings.weight, head(np.bincount(split.train.items, minlength=split.num_items)))
    genres = item_genres(split)
    return BY_GENRE[settings.name](settings.weight, genres, user_genres(split, genres))
