"""Paired statistics over seeds and users: tests, effect sizes, intervals, equivalence, corrections, power."""

from ncf.stats.checks import StatisticsError
from ncf.stats.comparison import Comparison, compare

__all__ = ["Comparison", "StatisticsError", "compare"]
