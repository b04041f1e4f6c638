"""ncf: does this change to a neural recommender really help?

Shape legend, used by every docstring of the package:
`B` users (or groups) in a batch, `K` negatives, `U` users, `I` items, `D` factors, `S` stacked runs, `N` units.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`ncf.fit`, `evaluate`, `load` and `register`, imported when asked for: not every command needs torch."""
    if name in ("fit", "evaluate"):
        from ncf.runs import api

        return getattr(api, name)
    if name == "load":
        from ncf.runs.loading import load

        return load
    if name == "register":
        from ncf.runs.components import register

        return register
    raise AttributeError(f"module 'ncf' has no attribute {name!r}")
