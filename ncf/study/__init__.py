"""A registered study: its registration, what its design can show, its runs, and its verdict."""

from ncf.study.plan import ComparisonPlan, plans, require_plan
from ncf.study.registration import Registration, load
from ncf.study.verdict import Verdict, verdict

__all__ = ["ComparisonPlan", "Registration", "Verdict", "load", "plans", "require_plan", "verdict"]
