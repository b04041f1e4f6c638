"""Explicit query aspect diversification (xQuAD: Santos, Macdonald and Ounis 2010), with genres as the aspects."""

from torch import Tensor

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.genres import shares
from ncf.retrieval.greedy import Reranker, greedy


class XQuAD(Reranker):
    """Take the item with the highest lambda rel(i) + (1 - lambda) sum_g p(g|u) p(i|g) prod_{j in list} (1 - p(j|g)).

    p(g|u) is the share of genre g among the user's training positives, and p(i|g) is 1 over the number of i's genres
    where g is one of them. A genre counts less with every item of it in the list.

    Args:
        weight: lambda.
        genres: (I, G), 1 where an item has a genre.
        tastes: (U, G), p(g|u).
    """

    def __init__(self, weight: float, genres: Tensor, tastes: Tensor) -> None:
        self.weight, self.shares, self.tastes = weight, shares(genres), tastes

    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """As `Reranker.choose`."""
        relevance = self.weight * candidates.relevance()
        covers = self.shares[candidates.items]  # (B, C, G)
        wanted = (1 - self.weight) * self.tastes[candidates.users]  # (B, G), what is not covered yet

        def objective() -> Tensor:
            return relevance + (covers @ wanted[:, :, None]).squeeze(2)

        def take(at: Tensor) -> None:
            """Take the genres of the items at (B,) out of those that are wanted."""
            taken = covers.gather(1, at[:, None, None].expand(-1, 1, covers.shape[2])).squeeze(1)
            wanted.mul_(1 - taken)

        return greedy(candidates.there, k, objective, take)
