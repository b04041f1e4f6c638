"""Launching runs: the command line around a single run, and the workers and progress of sweeps."""
