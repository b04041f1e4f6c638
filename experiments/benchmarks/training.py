"""Training epochs and full ranking against RecBole, alone and in a sweep; how many threads; the roof of ranking."""

import time
from typing import Any

from experiments.benchmarks.harness import Comparison, Side, Timing, alternate, side

SHAPES = [(10, 256, 2.2), (4, 256, None), (50, 256, None), (10, 2048, None)]  # negatives a positive, rows, goal
EVAL_BATCHES = [2**power for power in (12, 13, 14, 15, 16, 17, 18, 19, 20)]  # RecBole's default is the first
CHUNK_ROWS = [2**power for power in (9, 10, 11, 12, 13, 14, 15)]  # ncf.models.mlp's default is 2**10
SWEEP_RUNS, SWEEP_EPOCHS = 100, 30
STACKS = [1, 3, 10, 30]
STACK = 5  # what hydra/launcher=stacked takes on a CPU
SLICE = ["data=synthetic", "data.users=942", "data.items=1447", "data.interactions=12000"]  # a fifth of MovieLens-100K


def epochs(peers: str, rounds: int) -> list[Comparison]:
    """One core: an epoch of training, its negatives included."""
    return [_epoch(peers, rounds, *shape) for shape in SHAPES]


def _epoch(peers: str, rounds: int, neg_ratio: int, batch_size: int, needed: float | None) -> Comparison:
    with side("ncf_side") as ours, side("recbole_side", peers) as theirs:
        sizes = _prepare(ours, theirs, neg_ratio, batch_size)
        name = f"epoch at 1:{neg_ratio}, batch {batch_size}, one core"
        return alternate(name, lambda: ours.ask("epoch"), lambda: theirs.ask("epoch"), rounds, needed, **sizes)


def _prepare(
    ours: Side, theirs: Side, neg_ratio: int = 10, batch_size: int = 256, eval_batch_size: int = EVAL_BATCHES[0]
) -> dict[str, Any]:
    """Both sides at the first step; steps and rows of an epoch, which must agree."""
    mine = ours.ask("prepare", overrides=[f"neg_ratio={neg_ratio}", f"trainer.batch_size={batch_size}"])
    peer = theirs.ask("prepare", neg_ratio=neg_ratio, batch_size=batch_size, eval_batch_size=eval_batch_size)
    if mine != peer:
        raise RuntimeError(f"expected epochs of the same steps and rows, got {mine} against {peer}")
    return mine


def ranking(peers: str, rounds: int) -> list[Comparison]:
    """One core: all users ranked over all items, metrics included, against RecBole as it comes and at its best."""
    with side("ncf_side") as ours, side("recbole_side", peers) as theirs:
        probes = {}
        for size in EVAL_BATCHES:
            _prepare(ours, theirs, eval_batch_size=size)
            probes[size] = min(theirs.ask("validate")["cpu_seconds"] for _ in range(3))
        best = min(probes, key=lambda size: probes[size])
        comparisons = []
        for name, size in (("default", EVAL_BATCHES[0]), ("best", best)):
            _prepare(ours, theirs, eval_batch_size=size)
            name = f"full ranking, RecBole's {name} eval_batch_size {size}, one core"
            facts = {"recbole_cpu_seconds_by_eval_batch_size": probes}
            run = alternate(name, lambda: ours.ask("validate"), lambda: theirs.ask("validate"), rounds, 2.5, **facts)
            comparisons.append(run)
        return comparisons


def sweep(peers: str, rounds: int) -> list[Comparison]:
    """Two cores: runs of ncf in two processes, alone or in stacks, against RecBole run after run.

    An epoch and its validation each. RecBole gets one thread or two, whichever makes its epoch faster.
    """
    with side("ncf_side") as one, side("ncf_side") as two, side("recbole_side", peers, threads=2) as theirs:
        _prepare(one, theirs)
        for process in (one, two):
            process.ask("prepare", overrides=["trainer.epochs=1"])
        probes = {}
        for threads in (1, 2):
            theirs.ask("threads", count=threads)
            probes[threads] = min(theirs.ask("epoch")["seconds"] for _ in range(2))
        best = min(probes, key=lambda threads: probes[threads])
        theirs.ask("threads", count=best)
        comparisons = [
            alternate(
                f"two runs {how}, an epoch and its validation each, two cores",
                lambda size=size: _together([one, two], size),  # type: ignore[misc]
                lambda: _in_turn(theirs, 2),
                rounds,
                4.0 if size > 1 else None,
                recbole_threads=best,
            )
            for how, size in (("side by side", 1), (f"of two stacks of {STACK} side by side", STACK))
        ]
    for comparison in comparisons:
        _extrapolate(comparison)
    return comparisons


def _extrapolate(comparison: Comparison) -> None:
    summary, epochs_each = comparison.summary(), SWEEP_RUNS * SWEEP_EPOCHS / 2
    hours = {key: summary[f"{key}_seconds"]["median"] * epochs_each / 3600 for key in ("ours", "theirs")}
    comparison.facts[f"extrapolated_hours_of_{SWEEP_RUNS}_runs_of_{SWEEP_EPOCHS}_epochs"] = hours
    print(
        f"  extrapolated to {SWEEP_RUNS} runs of {SWEEP_EPOCHS} epochs: {hours['ours']:.1f} h, {hours['theirs']:.1f} h"
    )


def _together(sides: list[Side], size: int) -> Timing:
    """A stack of `size` runs on each side at once; what it comes to for one run on each."""
    begun = time.perf_counter()
    for process in sides:
        process.send("runs", count=size, stacked=size > 1)
    processor = sum(process.receive()["cpu_seconds"] for process in sides)
    return {"seconds": (time.perf_counter() - begun) / size, "cpu_seconds": processor / size}


def _in_turn(process: Side, runs: int) -> Timing:
    parts = [process.ask(command) for _ in range(runs) for command in ("epoch", "validate")]
    return {key: sum(part[key] for part in parts) for key in ("seconds", "cpu_seconds")}


def stacked(peers: str, rounds: int) -> list[Comparison]:
    """One core: S runs as one stack against the same runs one after the other, an epoch and its validation each."""
    with side("ncf_side") as ours:
        ours.ask("prepare", overrides=[*SLICE, "trainer.epochs=1"])
        return [
            alternate(
                f"{runs} runs stacked against solo, an epoch at 1:10, batch 256",
                lambda runs=runs: ours.ask("runs", count=runs, stacked=True),  # type: ignore[misc]
                lambda runs=runs: ours.ask("runs", count=runs, stacked=False),  # type: ignore[misc]
                rounds,
                1.0 if runs == 10 else None,
            )
            for runs in STACKS
        ]


def threads(peers: str, rounds: int) -> list[Comparison]:
    """ncf with one thread against itself with two: above 1 where one thread is faster."""
    comparisons = []
    for batch_size in (256, 2048):
        with side("ncf_side", threads=1) as one, side("ncf_side", threads=2) as two:
            for count, process in ((1, one), (2, two)):
                process.ask("prepare", overrides=[f"trainer.batch_size={batch_size}"], threads=count)
            for command in ("epoch", "validate"):
                name = f"one thread against two, {command} at 1:10, batch {batch_size}"
                run = alternate(name, lambda c=command: one.ask(c), lambda c=command: two.ask(c), rounds)  # type: ignore[misc]
                comparisons.append(run)
    return comparisons


def chunks(peers: str, rounds: int) -> list[Comparison]:
    """Full ranking with the MLP's default chunk of rows against others: above 1 where the default is faster."""
    with side("ncf_side") as ours:
        ours.ask("prepare", overrides=[])
        default = ours.ask("chunk_rows")["rows"]
        return [
            alternate(
                f"full ranking, chunks of {default} rows against {rows}",
                lambda: ours.ask("validate", chunk_rows=default),
                lambda rows=rows: ours.ask("validate", chunk_rows=rows),  # type: ignore[misc]
                rounds,
            )
            for rows in CHUNK_ROWS
            if rows != default
        ]


def roof(peers: str, rounds: int) -> list[Comparison]:
    """Full ranking against nothing but its matrix products: the ratio is the share of the roof that is reached."""
    with side("ncf_side") as ours:
        ours.ask("prepare", overrides=[])
        comparisons = []
        for kind, needed in (("products of its shapes", 0.8), ("one square product", None)):
            facts = ours.ask("prepare_roof", square=kind == "one square product")
            name = f"full ranking against {kind} of as many FLOPs"
            run = alternate(name, lambda: ours.ask("validate"), lambda: ours.ask("roof"), rounds, needed, **facts)
            comparisons.append(run)
        return comparisons
