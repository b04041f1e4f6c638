"""Resolve `alpha: balanced`."""


def resolve_alpha(alpha: float | str, neg_ratio: int) -> float:
    """Return the weight of positives; "balanced" is K / (K + 1), which gives both classes the same total weight."""
    return neg_ratio / (neg_ratio + 1) if alpha == "balanced" else float(alpha)
