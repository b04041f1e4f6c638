"""Training: `step.py` is one update of the parameters, `trainer.py` the epochs around it."""
