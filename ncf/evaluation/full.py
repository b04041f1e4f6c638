"""The default protocol: every held-out positive ranked among all items that its user has not seen."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ncf.errors import ConfigError
from ncf.evaluation.metrics import Ties, hit, mrr, ndcg
from ncf.evaluation.ranking import Ranks, Scorer, chunk_size, rank
from ncf.evaluation.targets import Targets

CutOff = Annotated[int, Field(gt=0)]


class FullRanking:
    """Every positive ranked among all items that its user has not seen."""

    def __init__(
        self,
        *,
        cutoffs: Annotated[list[CutOff], Field(min_length=1)],
        ties: Ties,
        memory_mb: Annotated[int, Field(gt=0)],
    ) -> None:
        self.cutoffs = cutoffs
        self.ties: Ties = ties
        self.memory_mb = memory_mb

    @property
    def names(self) -> list[str]:
        """The metrics that `metrics` gives."""
        return [f"{metric}@{k}" for metric in ("hit", "ndcg") for k in self.cutoffs] + ["mrr"]

    def check(self, num_items: int) -> None:
        """Raises ConfigError if a cut-off exceeds the catalogue."""
        if max(self.cutoffs) > num_items:
            raise ConfigError(
                f"evaluation.cutoffs: expected at most {num_items}, the items there are, got {max(self.cutoffs)}"
            )

    def evaluate(self, score: Scorer, targets: Targets) -> Ranks:
        """The ranks of `targets` under `score`: users (B,) -> logits (B, I). Raises TrainingError for a NaN score."""
        return rank(score, targets, chunk_size(targets.num_items, self.memory_mb))

    def per_positive(self, ranks: Ranks) -> dict[str, Tensor]:
        """Metric name ("hit@10", "ndcg@10", "mrr") -> (N,) float64, one value a held-out positive."""
        values = {f"hit@{k}": hit(ranks, k, self.ties) for k in self.cutoffs}
        values |= {f"ndcg@{k}": ndcg(ranks, k, self.ties) for k in self.cutoffs}
        return values | {"mrr": mrr(ranks, self.ties)}

    def metrics(self, ranks: Ranks) -> dict[str, float]:
        """Metric name -> its mean over the held-out positives."""
        return {name: float(values.mean()) for name, values in self.per_positive(ranks).items()}
