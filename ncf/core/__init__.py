"""Foundations of every other package: configuration, files, random streams, signals, command-line helpers, safety."""
