"""The registered lists, re-ranked for variety in every block and at every lambda."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from experiments.content.arms import HERE, arms, blocks, folder, registered
from experiments.content.runs import chosen, joined, settings
from experiments.rows import Rows, finish
from ncf.core.compose import compose
from ncf.retrieval.candidates import Candidates
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.rerankers import BY_SIMILARITY, Reranking, build
from ncf.runs.artifacts import environment
from ncf.runs.diversity import Evaluated, evaluated
from ncf.runs.loading import load
from ncf.runs.reranking import USERS_AT_ONCE

PLAIN = "plain"
MEANS = ("similarity by genre", "miscalibration", "coverage", "novelty", "hit")

VARIETY = Rows(HERE / "variety.csv.gz", ["block", "rerank", "lambda"])


def make() -> None:
    """Re-rank in every block whose rows are not there."""
    plan = registered()["variety"]
    arm = arms()[plan["of"]]
    for block in blocks(arm.split):
        if VARIETY.has(block=block):
            continue
        point = chosen(arm, block)
        where = folder(arm, block, point)
        finish(compose(settings(arm, block, point)), where)
        run = load(where)
        kept = evaluated(run, plan["k"], plan["candidates"])
        positions = torch.arange(plan["k"]).expand(len(kept.candidates.users), -1)
        rows = [{"rerank": PLAIN, "lambda": 1.0} | _measured(kept, positions)]
        for one in _rerankings(plan):
            positions = _chosen(build(one, run.split, run.model), kept.candidates, plan["k"])
            rows.append({"rerank": one.name, "lambda": one.weight} | _measured(kept, positions))
        commit = environment()["commit"]
        VARIETY.add([{"block": block, **row, "commit": commit} for row in rows])
        print(f"back={block}: done", flush=True)


def _rerankings(plan: dict[str, Any]) -> list[Reranking]:
    return [
        Reranking(name, weight, plan["similarity"] if name in BY_SIMILARITY else None, plan["candidates"])
        for name in plan["rerankers"]
        for weight in plan["lambdas"]
    ]


def _chosen(reranker: Reranker, candidates: Candidates, k: int) -> Tensor:
    parts = zip(*(t.split(USERS_AT_ONCE) for t in (candidates.users, candidates.items, candidates.scores)))
    return torch.cat([reranker.choose(Candidates(*part), k) for part in parts])


def _measured(kept: Evaluated, positions: Tensor) -> dict[str, object]:
    """The means of lists, and NDCG of each user in the order of ids."""
    found = kept.metrics(positions)
    means = {name: v if isinstance(v := found[name], float) else float(v.nanmean()) for name in MEANS}
    ids = kept.run.split.user_ids[kept.candidates.users.numpy()].astype(int)
    values = pd.Series(found["ndcg"], index=ids).sort_index()
    return {**means, "users": joined(values.index, "%d"), "ndcg": joined(values, "%.6g")}
