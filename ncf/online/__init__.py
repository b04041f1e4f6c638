"""Online experiments: A/B tests, looking early, interleaving, and the health of an experiment."""

from ncf.online.design import design
from ncf.online.experiment import abtest

__all__ = ["abtest", "design"]
