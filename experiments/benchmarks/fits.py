"""Models fitted without gradients against `implicit` and against cheaper ways; recommending against its products.

All in one process and one thread, on synthetic data of MovieLens-1M's shape. NDCG@10 is of the validation positives.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.benchmarks.harness import ROOT, Comparison, alternate
from experiments.benchmarks.serve import timed
from ncf.core.compose import compose
from ncf.core.rng import generator, numpy_generator
from ncf.data.split import Pairs, Split
from ncf.evaluation import FullRanking, validation_targets
from ncf.models.als import IALS
from ncf.models.co_occurrence import shared_ones
from ncf.models.ease import EASE
from ncf.models.knn import ItemKNN
from ncf.models.non_gradient import positives_matrix
from ncf.models.puresvd import PureSVD
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.plan import plan_run

USERS, ITEMS, POSITIVES = 6040, 3706, 820_000  # in training
ALPHA, PENALTY = 9.0, 150.0  # of the best NDCG@10 among a few; implicit's alpha is ours plus one
SWEEPS = 15  # implicit's default, as its 3 steps are
STARTS = 3
NEIGHBOURS = 100
EASE_L2, SVD_FACTORS = 300.0, 64
ML_20M = (138_493, 26_744)
ASKED = 4_096  # of ML_20M's users, who come in chunks of 313: time is proportional to their number


def fits(peers: str, rounds: int) -> list[Comparison]:
    """One core: each comparison of this module."""
    from threadpoolctl import threadpool_limits  # of the extra dev, as implicit is

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            split = _split()
            return [
                *(_ials(split, factors, steps, rounds) for factors in (64, 128) for steps in (3, 2)),
                _item_knn(split, rounds),
                _ease(split, rounds),
                _puresvd(split, rounds),
                _recommending(rounds),
            ]
    finally:
        torch.set_num_threads(threads)


def _split() -> Split:
    settings = [f"data.root={ROOT / 'data'}", f"data.users={USERS}", f"data.items={ITEMS}", "data.taste=2.0"]
    # Each user's last two positives are held out.
    plan = plan_run(compose(["data=synthetic", "model=ials", f"data.interactions={POSITIVES + 2 * USERS}", *settings]))
    return plan.split(plan.data())


def _ndcg(split: Split, score: Callable[[Tensor], Tensor]) -> float:
    evaluation = FullRanking(metrics=["ndcg"], cutoffs=[10], ties="average", memory_mb=64)
    return evaluation.metrics(evaluation.evaluate(score, validation_targets(split, "cpu")))["ndcg@10"]


def _ials(split: Split, factors: int, steps: int, rounds: int) -> Comparison:
    """Both from the same factors, with the same penalty and weights, for as many sweeps."""
    from implicit.cpu.als import AlternatingLeastSquares

    matrix = positives_matrix(split.train, split.num_users, split.num_items).astype(np.float32)
    settings: dict[str, Any] = {"alpha": ALPHA, "l2": PENALTY, "scaling": 0.0, "sweeps": SWEEPS}

    def ours(start: int) -> IALS:
        model = IALS(split.num_users, split.num_items, factors=factors, cg_steps=steps, **settings)
        for epoch, table in enumerate((model.users, model.items)):
            torch.nn.init.normal_(table.weight, std=0.01, generator=generator(start, "initialisation", epoch=epoch))
        return model

    def theirs(start: int) -> Any:
        peer = AlternatingLeastSquares(
            factors=factors, regularization=PENALTY, alpha=ALPHA + 1, iterations=SWEEPS, num_threads=1
        )
        same = ours(start)
        peer.user_factors, peer.item_factors = (t.weight.detach().numpy() for t in (same.users, same.items))
        return peer

    quality: dict[str, list[float]] = {"ours": [], "theirs": []}
    for start in range(STARTS):
        model, peer = ours(start), theirs(start)
        model.fit(split)
        peer.fit(matrix, show_progress=False)
        own, other = map(torch.from_numpy, (peer.user_factors, peer.item_factors))
        quality["ours"].append(_ndcg(split, model.score))
        quality["theirs"].append(_ndcg(split, lambda users: own[users] @ other.T))  # noqa: B023
    print(f"  NDCG@10 of {STARTS} starts: {quality}")
    return alternate(
        f"iALS of {factors} factors, {SWEEPS} sweeps of {steps} steps, against implicit's (3 steps)",
        lambda: timed(lambda: ours(0).fit(split)),
        lambda: timed(lambda: theirs(0).fit(matrix, show_progress=False)),
        rounds,
        1.5,
        ndcg=quality,
    )


def _item_knn(split: Split, rounds: int) -> Comparison:
    """Cosine without shrinkage; implicit counts an item among its own neighbours, so it gets one more."""
    from implicit.nearest_neighbours import CosineRecommender

    matrix = positives_matrix(split.train, split.num_users, split.num_items)

    def ours() -> ItemKNN:
        model = ItemKNN(
            split.num_users,
            split.num_items,
            k=NEIGHBOURS,
            similarity="cosine",
            shrinkage=0.0,
            decay="positions",
            half_life=None,
        )
        model.fit(split)
        return model

    def theirs() -> Any:
        peer = CosineRecommender(K=NEIGHBOURS + 1, num_threads=1)
        peer.fit(matrix, show_progress=False)
        return peer

    similarity = theirs().similarity
    quality = {
        "ours": _ndcg(split, ours().score),
        "theirs": _ndcg(
            split, lambda users: torch.from_numpy((matrix[users.numpy()] @ similarity.T).toarray()).float()
        ),
    }
    print(f"  NDCG@10: {quality}")
    name = f"item-kNN of {NEIGHBOURS} neighbours against implicit's"
    return alternate(name, lambda: timed(ours), lambda: timed(theirs), rounds, 1.0, ndcg=quality)


def _ease(split: Split, rounds: int) -> Comparison:
    """Factorising in float32 would be faster by this much, and wrong by that."""
    matrix = positives_matrix(split.train, split.num_users, split.num_items)

    def ours() -> EASE:
        model = EASE(split.num_users, split.num_items, l2=EASE_L2, decay="positions", half_life=None)
        model.fit(split)
        return model

    def single() -> Tensor:
        gram = torch.from_numpy(shared_ones(matrix.T.tocsr(), matrix)).float()
        gram.diagonal().add_(EASE_L2)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        return precision.div_(-precision.diagonal().clone()).fill_diagonal_(0)

    error = float((ours().weights - single()).abs().max())
    print(f"  largest error of a weight in float32: {error:.2g}")
    name = "EASE in float64 against float32"
    return alternate(name, lambda: timed(ours), lambda: timed(single), rounds, largest_error_in_float32=error)


def _puresvd(split: Split, rounds: int) -> Comparison:
    """With two power iterations against to convergence."""

    def fitted(power_iterations: int | None) -> PureSVD:
        model = PureSVD(split.num_users, split.num_items, factors=SVD_FACTORS, power_iterations=power_iterations)
        model.fit(split)
        return model

    near, exact = fitted(2), fitted(None)
    users = torch.arange(500)
    error = float((near.score(users) - exact.score(users)).abs().max())
    quality = {"ours": _ndcg(split, near.score), "theirs": _ndcg(split, exact.score)}
    print(f"  largest error of a score by the randomised SVD: {error:.2g}; NDCG@10: {quality}")
    return alternate(
        f"PureSVD of {SVD_FACTORS} factors with 2 power iterations against to convergence",
        lambda: timed(lambda: fitted(2)),
        lambda: timed(lambda: fitted(None)),
        rounds,
        largest_error=error,
        ndcg=quality,
    )


def _recommending(rounds: int) -> Comparison:
    """Some of MovieLens-20M's users, by iALS, without what they have and in a frame, against product and top-k."""
    num_users, num_items = ML_20M
    draws = numpy_generator(0, "synthetic")
    keys = np.unique(draws.integers(0, ASKED * num_items, ASKED * 144))
    none = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    ids = [np.arange(size) for size in ML_20M]
    train = Pairs(keys // num_items, keys % num_items)
    split = Split(train, none, none, num_users, num_items, *ids, None, None, "synthetic", "none")
    model = IALS(num_users, num_items, factors=64, alpha=1.0, l2=1.0, scaling=1.0, sweeps=1, cg_steps=0)
    for table in (model.users, model.items):
        torch.nn.init.normal_(table.weight, generator=generator(0, "initialisation"))
    run = LoadedRun(Path(), {}, split, model)
    asked = ids[0][:ASKED]
    run.recommend(asked[:1], 10)

    def bare() -> None:
        for users in torch.arange(ASKED).split(313):
            (model.users.weight.detach()[users] @ model.items.weight.detach().T).topk(10, dim=1)

    name = f"recommending to {ASKED:,} of MovieLens-20M's users against the product and top-k"
    return alternate(name, lambda: timed(lambda: run.recommend(asked, 10)), lambda: timed(bare), rounds, 0.5)
