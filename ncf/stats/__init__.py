"""Paired statistics over seeds and users, the planner, and verdicts on registered hypotheses."""

from ncf.stats.checks import StatisticsError
from ncf.stats.comparison import Comparison, compare
from ncf.stats.plan import Plan, plans, require_plan
from ncf.stats.registration import Registration, load
from ncf.stats.verdict import Verdict, verdict

__all__ = [
    "Comparison",
    "Plan",
    "Registration",
    "StatisticsError",
    "Verdict",
    "compare",
    "load",
    "plans",
    "require_plan",
    "verdict",
]
