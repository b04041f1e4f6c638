"""Speed of ncf against its peers, as ratios of alternated runs: `python -m experiments.benchmarks --help`."""
