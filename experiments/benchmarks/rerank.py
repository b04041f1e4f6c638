"""`python -m experiments.benchmarks.rerank`: users re-ranked a second, beside a greedy search in numpy, one core.

10 of 100 candidates each, 2,000 users, made-up scores, genres and vectors of 2,000 items. The other side takes one user
at a time, with whole arrays of its candidates, as one would write it first. Both choose the same lists, which is
checked before anything is timed. Goal: 5,000 users a second.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from experiments.benchmarks.harness import Comparison, alternate, machine, save, spread, tabulate
from experiments.benchmarks.serve import timed
from ncf.core.rng import generator
from ncf.retrieval.calibrated import SMOOTHING, Calibrated
from ncf.retrieval.candidates import Candidates
from ncf.retrieval.dpp import DPP, RIDGE
from ncf.retrieval.genres import shares
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.mmr import MMR
from ncf.retrieval.popularity_cap import PopularityCap
from ncf.retrieval.similarity import Vectors, cosine
from ncf.retrieval.xquad import XQuAD

USERS, ITEMS, CANDIDATES, K, GENRES, DIMENSIONS = 2000, 2000, 100, 10, 19, 64
WEIGHT, GOAL, AT_ONCE = 0.7, 5000, 512

Lists = Callable[[], np.ndarray]


def by_user(relevance: np.ndarray, gain: Callable[[int, list[int]], np.ndarray]) -> np.ndarray:
    """Take the best of `gain(row, list so far)` (C,) at each step; positions (B, k)."""
    lists = np.zeros((len(relevance), K), np.int64)
    for row in range(len(relevance)):
        chosen: list[int] = []
        for _ in range(K):
            values = gain(row, chosen)
            values[chosen] = -np.inf
            chosen.append(int(values.argmax()))
        lists[row] = chosen
    return lists


def sides() -> dict[str, tuple[Lists, Lists]]:
    """Name -> ours and numpy's; each returns positions (B, k)."""
    stream = generator(0, "check")
    genres = (torch.rand(ITEMS, GENRES, generator=stream) < 0.1).float()
    vectors = torch.randn(ITEMS, DIMENSIONS, generator=stream)
    items = torch.stack([torch.randperm(ITEMS, generator=stream)[:CANDIDATES] for _ in range(USERS)])
    scores = torch.randn(USERS, CANDIDATES, generator=stream).sort(1, descending=True).values
    tastes = shares(torch.rand(USERS, GENRES, generator=stream))
    found = Candidates(torch.arange(USERS), items, scores)
    popular = torch.arange(ITEMS) < ITEMS // 2

    unit = torch.nn.functional.normalize(vectors)
    alike, share, rows = (unit @ unit.T).numpy(), shares(genres).numpy(), items.numpy()
    r = WEIGHT * found.relevance().numpy()

    def mmr(row: int, chosen: list[int]) -> np.ndarray:
        near = alike[rows[row]][:, rows[row][chosen]].max(1) if chosen else np.float32(0)
        return r[row] - (1 - WEIGHT) * near

    def dpp(row: int, chosen: list[int]) -> np.ndarray:
        kernel = alike[np.ix_(rows[row], rows[row])].astype(np.float64)
        np.fill_diagonal(kernel, 1 + RIDGE)
        left = kernel.diagonal()
        if chosen:
            solved = np.linalg.solve(kernel[np.ix_(chosen, chosen)], kernel[chosen])
            left = left - (kernel[chosen] * solved).sum(0)
        return r[row] + (1 - WEIGHT) * np.log(np.maximum(left, RIDGE / 10))

    def xquad(row: int, chosen: list[int]) -> np.ndarray:
        wanted = tastes.numpy()[row] * np.prod(1 - share[rows[row][chosen]], axis=0)
        return r[row] + (1 - WEIGHT) * (share[rows[row]] @ wanted)

    def calibrated(row: int, chosen: list[int]) -> np.ndarray:
        p = tastes.numpy()[row]
        q = (share[rows[row]] + share[rows[row][chosen]].sum(0)) / (len(chosen) + 1)
        return r[row] + (1 - WEIGHT) * (np.log((1 - SMOOTHING) * q + SMOOTHING * p) @ p)

    def capped(row: int, chosen: list[int]) -> np.ndarray:
        is_popular = popular.numpy()[rows[row]]
        return scores.numpy()[row] - 1e6 * (is_popular & (is_popular[chosen].sum() >= int(WEIGHT * K)))

    def batched(reranker: Reranker) -> np.ndarray:
        parts = zip(*(t.split(AT_ONCE) for t in (found.users, found.items, found.scores)))
        return torch.cat([reranker.choose(Candidates(*part), K) for part in parts]).numpy()

    ours = {
        "mmr, similarities of all items": (MMR(WEIGHT, cosine(vectors)), mmr),
        "mmr, vectors of 64": (MMR(WEIGHT, Vectors(unit)), mmr),
        "dpp, similarities of all items": (DPP(WEIGHT, cosine(vectors)), dpp),
        "xquad": (XQuAD(WEIGHT, genres, tastes), xquad),
        "calibrated": (Calibrated(WEIGHT, genres, tastes), calibrated),
        "popularity_cap": (PopularityCap(WEIGHT, popular), capped),
    }
    return {name: (partial(batched, one), partial(by_user, r, other)) for name, (one, other) in ours.items()}


def compare(name: str, ours: Lists, theirs: Lists, rounds: int) -> Comparison:
    """Alternate both, after their lists have been seen to be the same but for rounding."""
    same = float((ours() == theirs()).all(1).mean())
    if same < 0.995:
        raise RuntimeError(f"{name}: expected the same lists, found {1 - same:.1%} that differ")
    found = alternate(f"{name}: {USERS:,} users", partial(timed, ours), partial(timed, theirs), rounds, same_lists=same)
    speeds = [spread([USERS / t["cpu_seconds"] for t in side]) for side in (found.ours, found.theirs)]
    for who, speed in zip(("ncf", "numpy"), speeds, strict=True):
        found.facts[f"users_a_second_{who}"] = speed
        print(f"    {who}: {speed['median']:,.0f} [{speed['min']:,.0f}, {speed['max']:,.0f}] users a second")
    found.facts["goal_users_a_second"] = GOAL
    return found


def main() -> None:
    """Run all, and keep what was measured."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.rerank", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    on = machine()
    save("rerank", [compare(name, *both, arguments.rounds) for name, both in sides().items()], on)
    tabulate()


if __name__ == "__main__":
    main()
