"""ncf: does this change to a neural recommender really help?

Shape legend, used by every docstring of the package:
`B` users (or groups) in a batch, `K` negatives a positive, `U` users, `I` items, `D` factors, `S` stacked runs.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`ncf.load(run_folder)`, imported when it is asked for: torch takes a second that not every command needs."""
    if name == "load":
        from ncf.runs.loading import load

        return load
    raise AttributeError(f"module 'ncf' has no attribute {name!r}")
