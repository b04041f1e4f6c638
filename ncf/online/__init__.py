"""Online experiments: A/B tests, looking early, interleaving, and the health of an experiment."""
