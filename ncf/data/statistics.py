"""Descriptive statistics of a data set and its split."""

import numpy as np

from ncf.data.interactions import Interactions
from ncf.data.split import Split, times_of
from ncf.data.splitting import tied_last_positives

LEAKING = "leakage: test positives with later ones in train, of any user"
"""The figure that is above 0 where the split lets training see the future of other users."""


def describe(interactions: Interactions, split: Split, rows: str = "ratings") -> dict[str, int | float]:
    """Return the figures worth knowing before training, each under what it counts.

    Args:
        rows: what a row of the file is: "ratings", or "interactions" of a file without.
    """
    cells = interactions.num_users * interactions.num_items
    per_user, per_item = np.bincount(interactions.users), np.bincount(interactions.items)
    before = interactions.before
    return {
        rows: before.ratings,
        f"users with {rows}": before.users,
        f"items with {rows}": before.items,
        "positives": len(interactions),
        "users with positives": interactions.num_users,
        "items with positives": interactions.num_items,
        "users dropped (no positive, or fewer than data.min_user_positives)": before.users - interactions.num_users,
        "items dropped (no positive, or fewer than data.min_item_positives)": before.items - interactions.num_items,
        "density: positives among all pairs of user and item, in percent": 100 * len(interactions) / cells,
        "pairs of user and item that are no positive, per positive": cells / len(interactions) - 1,
        "median positives per user": float(np.median(per_user)),
        "median positives per item": float(np.median(per_item)),
        "users with one positive only": int((per_user == 1).sum()),
        "users whose last two positives have the same time (see split.ties)": tied_last_positives(interactions),
        "positives in train": len(split.train),
        "positives in validation": len(split.valid),
        "positives in test": len(split.test),
        "positives in test whose item is not in train": _test_items_not_in_train(split),
        **_later_in_train(split),
    }


def table(figures: dict[str, int | float]) -> str:
    """Format the figures, one per line."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {_format(value):>12}" for name, value in figures.items())


def _test_items_not_in_train(split: Split) -> int:
    """Count the test positives whose item does not occur in train."""
    return int((np.bincount(split.train.items, minlength=split.num_items)[split.test.items] == 0).sum())


def _later_in_train(split: Split) -> dict[str, int | float]:
    """Return how much of train, of whatever user, is later than the test positives that it predicts."""
    times = times_of(split.train, split.test)
    if times is None or not len(split.test):
        return {}
    train, test = times
    later = 1 - np.searchsorted(np.sort(train), test, side="right") / len(train)
    return {
        LEAKING: int((later > 0).sum()),
        "leakage: train later than a test positive, in percent (median over test)": 100 * float(np.median(later)),
    }


def _format(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
