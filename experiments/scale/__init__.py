"""What a step and a run cost as the catalogue and the interactions grow."""
