"""Runs as processes: the command line around one, the workers and the progress of many."""
