"""A registered study: what is registered, what its design can show, which runs it makes, and the verdict."""

from ncf.study.plan import ComparisonPlan, plans, require_plan
from ncf.study.registration import Registration, load
from ncf.study.verdict import Verdict, verdict

__all__ = ["ComparisonPlan", "Registration", "Verdict", "load", "plans", "require_plan", "verdict"]
