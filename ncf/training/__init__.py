"""From a model and batches to a trained model: `step.py` is one update, `trainer.py` the epochs around it."""
