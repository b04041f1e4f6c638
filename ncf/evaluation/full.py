"""Full ranking, the default protocol: rank each held-out positive among all items that its user has not seen.

The user's other held-out positives are among them: they are items to be recommended, too.
"""

from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor

from ncf.core.roles import MACHINE_IN_ID, Role
from ncf.errors import ConfigError
from ncf.evaluation.metrics import METRICS, Ties, columns
from ncf.evaluation.ranking import Ranks, Scorer, Targets, chunk_size, rank

CutOff = Annotated[int, Field(gt=0)]


def _known(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"expected one of {', '.join(METRICS)}")
    return name


MetricNames = Annotated[
    list[Annotated[str, AfterValidator(_known)]], Field(min_length=1), Role(since=["hit", "ndcg", "mrr"])
]


class FullRanking:
    """Ranks each held-out positive among all items that its user has not seen."""

    def __init__(
        self,
        *,
        metrics: MetricNames,
        cutoffs: Annotated[list[CutOff], Field(min_length=1)],
        ties: Ties,
        memory_mb: Annotated[int, Field(gt=0), MACHINE_IN_ID],
    ) -> None:
        self.cutoffs = cutoffs
        self._columns = columns(metrics, cutoffs)
        self.ties: Ties = ties
        self.memory_mb = memory_mb

    @property
    def names(self) -> list[str]:
        """The metric names, such as "ndcg@10"."""
        return list(self._columns)

    def check(self, num_items: int) -> None:
        """Raise ConfigError if a cut-off exceeds the number of items."""
        if max(self.cutoffs) > num_items:
            raise ConfigError(
                f"evaluation.cutoffs: expected at most {num_items}, the number of items, got {max(self.cutoffs)}"
            )

    def evaluate(self, score: Scorer, targets: Targets) -> Ranks:
        """Rank `targets` by `score`: users (B,) -> logits (B, I). Raises TrainingError for a NaN score."""
        return rank(score, targets, chunk_size(targets.num_items, self.memory_mb))

    def per_positive(self, ranks: Ranks) -> dict[str, Tensor]:
        """Map metric names ("hit@10", "ndcg@10", "mrr") to (N,) float64, one value per held-out positive.

        The value of a user with several is the mean over the user's rows.
        """
        return {name: metric(ranks, k, self.ties) for name, (metric, k) in self._columns.items()}

    def metrics(self, ranks: Ranks) -> dict[str, float]:
        """Map metric names to means over the users with held-out positives."""
        return {name: ranks.mean(values) for name, values in self.per_positive(ranks).items()}
