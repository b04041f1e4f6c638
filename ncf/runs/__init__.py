"""Runs: planning, identifying, training and resuming one, its folder, and reading finished runs."""
