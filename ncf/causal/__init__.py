"""Causal effects from data that nobody randomised: estimators, and the diagnostics that say when not to believe them."""
