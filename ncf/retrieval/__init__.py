"""Retrieval and re-ranking: candidates for each user, exact or by an index, and lists that are chosen from them."""

from ncf.retrieval.candidates import Candidates, best
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.rerankers import RERANKERS, Reranking, build, reranking
from ncf.retrieval.similarity import SIMILARITIES, similarity_of

__all__ = [
    "RERANKERS", "SIMILARITIES", "Candidates", "Reranker", "Reranking", "best", "build", "reranking", "similarity_of",
]  # fmt: skip
