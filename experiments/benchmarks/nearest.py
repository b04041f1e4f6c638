"""`python -m experiments.benchmarks.nearest`: indexes against exact search, 1,000,000 items x 64, one core.

Two made-up tables: `skewed` vectors of a low intrinsic dimension (12 of 64, a little noise besides, log-normal
lengths), as factors of a catalogue tend to be, and `normal` ones, independent in each coordinate, on which no index
can do much. Each index is built once. Exact search (faiss's, and torch's product and top k) and the index answer the
same queries by turns, at the least effort whose recall@10 is at least .96 on other queries.
"""

import argparse
import json
from functools import partial

import torch

from experiments.benchmarks.harness import Comparison, alternate, machine, save, tabulate
from experiments.benchmarks.serve import timed
from ncf.core.rng import generator
from ncf.retrieval.approximate import INDEXES, Index, faiss
from ncf.retrieval.nearest import Exact, recall

DIMENSIONS, INTRINSIC, K, WANTED = 64, 12, 10, 0.95
QUERIES, TUNED_ON = 200, 200


def vectors(kind: str, count: int, block: int) -> torch.Tensor:
    """Return (count, 64): rows of the same table for items (block 0) and for queries."""
    stream, shared = generator(0, "check", 1, block), generator(0, "check", 0)
    if kind == "normal":
        return torch.randn(count, DIMENSIONS, generator=stream)
    basis = torch.randn(INTRINSIC, DIMENSIONS, generator=shared) / INTRINSIC**0.5
    rows = torch.randn(count, INTRINSIC, generator=stream) @ basis
    rows += 0.05 * torch.randn(count, DIMENSIONS, generator=stream)
    return rows * (0.5 * torch.randn(count, 1, generator=stream)).exp()


def compare(kind: str, name: str, items: int, rounds: int) -> list[Comparison]:
    """Build one index, raise its effort, and alternate it with both exact searches."""
    table, tuning, queries = (vectors(kind, n, b) for b, n in enumerate((items, TUNED_ON, QUERIES)))
    exact, library = Exact(table), faiss()
    made: list[Index] = []
    building = timed(lambda: made.append(INDEXES[name](table)))
    index, expected = made[0], exact.search(tuning, K)[1]
    there = torch.ones(expected.shape, dtype=torch.bool)
    while (on_others := recall(index.search(tuning, K)[1], expected, there)) < WANTED + 0.01:
        if 2 * index.effort > index.efforts[1]:
            break
        index.effort *= 2
    found = recall(index.search(queries, K)[1], exact.search(queries, K)[1], there)
    flat = library.IndexFlatIP(DIMENSIONS)
    flat.add(table.numpy())
    facts = {"recall": found, "recall_of_tuning": on_others, "effort": index.effort, "items": items,
             "build": building, "queries": QUERIES}  # fmt: skip
    print(json.dumps({"vectors": kind, "index": name, **facts}), flush=True)
    title = f"{name}, {items:,} x {DIMENSIONS}, {kind}, recall {found:.3f}, built in {building['cpu_seconds']:.0f} s"
    sides = {
        "faiss exact": lambda: flat.search(queries.numpy(), K),
        "torch exact": lambda: exact.search(queries, K),
    }
    ours = partial(timed, lambda: index.search(queries, K))
    return [
        alternate(f"{title}: {other}", ours, partial(timed, work), rounds, 10.0, **facts)
        for other, work in sides.items()
    ]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.nearest", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--vectors", nargs="*", default=["skewed", "normal"])
    parser.add_argument("--indexes", nargs="*", default=list(INDEXES))
    parser.add_argument("--no-save", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faiss().omp_set_num_threads(1)
    for kind in arguments.vectors:
        on = machine()
        found = [c for name in arguments.indexes for c in compare(kind, name, arguments.items, arguments.rounds)]
        if not arguments.no_save:
            save(f"nearest_{kind}", found, on)
            tabulate()


if __name__ == "__main__":
    main()
