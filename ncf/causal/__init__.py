"""Causal effects from data that nobody randomised: estimators, and the diagnostics that say when to doubt them."""

from ncf.causal.analysis import Effect, analyse, effect
from ncf.causal.matching import Rule
from ncf.causal.rollout import Rollout, rollout
from ncf.causal.settings import Settings
from ncf.causal.units import Units, read_units, units

__all__ = ["Effect", "Rollout", "Rule", "Settings", "Units", "analyse", "effect", "read_units", "rollout", "units"]
