"""Online experiments: A/B tests, looking early, interleaving, and the health of an experiment."""

from ncf.online.experiment import abtest
from ncf.online.sample_size import design

__all__ = ["abtest", "design"]
