"""The runs: made one after the other, what they predict counted, their rows kept as they come."""

from collections.abc import Iterable

from experiments.imbalance.arms import HERE, RULES, TOP, Arm
from experiments.rows import Rows, finish
from ncf.core.compose import compose
from ncf.evaluation.served import Served, served
from ncf.runs.artifacts import read_result
from ncf.runs.identity import config_hash, resolved
from ncf.runs.loading import load

RESULTS = Rows(HERE / "results.csv", ["arm", "seed"])
COUNTS = Rows(HERE / "counts.csv.gz", ["arm", "seed", "rule", "by"])
ENTITIES = Rows(HERE / "entities.csv.gz", ["by"])


def train(arm: Arm, seed: int) -> None:
    """Make the run of `arm` with this seed and keep its rows, unless they are there."""
    cfg = compose(arm.overrides(seed))
    if RESULTS.has(arm=arm.name, seed=seed, config_hash=config_hash(resolved(cfg))):
        return
    folder = arm.folder(seed)
    finish(cfg, folder)
    run, result = load(folder), read_result(folder)
    assert result is not None
    for rule in RULES:
        found = served(run.split, run.model.score, folder.name, TOP if rule == "top_n" else None)
        COUNTS.add([{"arm": arm.name, "seed": seed, "rule": rule, **row} for row in _counted(found)])
        if not ENTITIES.path.exists():
            ENTITIES.add(list(_entities(found)))
    kept = {key: result[key] for key in ("epochs", "best_epoch", "config_hash", "commit")}
    metrics = {f"{part}/ndcg@10": result[part]["ndcg@10"] for part in ("valid", "test")}
    RESULTS.add([{"arm": arm.name, "seed": seed, **metrics, **kept}])


def _counted(found: Served) -> Iterable[dict[str, str]]:
    for by, counts in found.counts.items():
        yield {"by": by, "hits": _text(counts.hits), "predicted": _text(counts.predicted)}


def _entities(found: Served) -> Iterable[dict[str, str]]:
    for by, counts in found.counts.items():
        yield {"by": by, "relevant": _text(counts.relevant), "tier": _text(found.tiers[by])}


def _text(values: Iterable[int]) -> str:
    return " ".join(map(str, values))
