"""ncf: does this change to a neural recommender really help?

Shape legend, used by every docstring of the package:
`B` users (or groups) in a batch, `K` negatives a positive, `U` users, `I` items, `D` factors, `S` stacked runs.
"""

__version__ = "0.1.0"
