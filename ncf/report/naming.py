"""The names that readers see."""

from ncf.study.registration import Selector, Value

LOSS_NAMES = {"bce": "BCE", "alpha_bce": "α-BCE", "focal": "focal", "focal_clamped": "clamped focal"}
METRIC_NAMES = {"hit": "HR", "ndcg": "NDCG", "mrr": "MRR"}
GRID_NAMES = {
    "main": "main comparisons",
    "constant_weight": "constant effective weight",
    "grid": "γ × α grid",
    "clamped": "published code's loss",
}


def label(arm: Selector) -> str:
    """An arm in the reader's words: "focal (γ 2, α 0.25)"."""
    name = LOSS_NAMES.get(str(arm["loss"]), str(arm["loss"]))
    settings = [f"{greek} {number(arm[key])}" for key, greek in (("gamma", "γ"), ("alpha", "α")) if key in arm]
    return f"{name} ({', '.join(settings)})" if settings else name


def number(value: Value) -> str:
    """A setting without needless digits; words stay."""
    return value if isinstance(value, str) else f"{value:.3g}"


def metric_name(column: str) -> str:
    """A metric in the reader's words: test/ndcg@10 is "test NDCG@10"."""
    part, _, metric = column.rpartition("/")
    name, _, cutoff = metric.partition("@")
    words = f"{METRIC_NAMES.get(name, name)}{'@' if cutoff else ''}{cutoff}"
    return f"{part} {words}" if part else words
