"""On a CUDA device: steps as a graph, runs as a stack, negatives, the focal kernel, and RecBole on the same device."""

from experiments.benchmarks.focal import against
from experiments.benchmarks.harness import Comparison, Side, alternate, side

DRAWS, NEG_RATIO = 10**7, 10
STACKS = [3, 10, 30]


def gpu(peers: str, rounds: int) -> list[Comparison]:
    """Everything that has a goal on a GPU, and what there is to compare with."""
    comparisons = [_draws(rounds), *_graphs(rounds), *_recbole(peers, rounds)]
    for compiled in (False, True):
        comparisons += against("fvcore", peers, rounds, compiled, device="cuda")
    return [*comparisons, *_stacks(rounds)]


def _on_gpu(process: Side, *overrides: str) -> None:
    process.ask("prepare", overrides=list(overrides), device="cuda")


def _draws(rounds: int) -> Comparison:
    """Exact negatives against as many bare random integers: at most five times their time."""
    with side("ncf_side") as ours:
        _on_gpu(ours)
        facts = ours.ask("prepare_random_draws", draws=DRAWS, neg_ratio=NEG_RATIO)
        name = f"{DRAWS:,} negatives against bare randint, GPU"
        run = alternate(
            name, lambda: ours.ask("draw", batchwise=True), lambda: ours.ask("randint_once"), rounds, 0.2, **facts
        )
        run.facts["false_negatives"] = ours.ask("false_negatives")
        return run


def _graphs(rounds: int) -> list[Comparison]:
    """An epoch whose steps are replays of a CUDA graph against the same steps launched one by one."""
    comparisons = []
    for batch_size, needed in ((256, None), (2048, 3.0), (16384, None)):
        with side("ncf_side") as graphed, side("ncf_side") as eager:
            for process, graph in ((graphed, "true"), (eager, "false")):
                _on_gpu(process, f"trainer.batch_size={batch_size}", f"trainer.cuda_graph={graph}")
            name = f"epoch at 1:10, batch {batch_size}, as a CUDA graph against eager, GPU"
            run = alternate(name, lambda: graphed.ask("epoch"), lambda: eager.ask("epoch"), rounds, needed)
            comparisons.append(run)
    return comparisons


def _stacks(rounds: int) -> list[Comparison]:
    """S runs as one stack against the same runs one after the other, an epoch and its validation each."""
    with side("ncf_side") as ours:
        _on_gpu(ours, "trainer.epochs=1")
        return [
            alternate(
                f"{runs} runs stacked against solo, an epoch at 1:10, batch 256, GPU",
                lambda runs=runs: ours.ask("runs", count=runs, stacked=True),  # type: ignore[misc]
                lambda runs=runs: ours.ask("runs", count=runs, stacked=False),  # type: ignore[misc]
                rounds if runs <= 10 else 2,
                8.0 if runs == 10 else None,
            )
            for runs in STACKS
        ]


def _recbole(peers: str, rounds: int) -> list[Comparison]:
    """Epochs and full ranking against RecBole's, both on the GPU."""
    comparisons = []
    with side("ncf_side") as ours, side("recbole_side", peers) as theirs:
        for batch_size in (256, 2048):
            _on_gpu(ours, f"trainer.batch_size={batch_size}")
            sizes = {"neg_ratio": NEG_RATIO, "batch_size": batch_size, "eval_batch_size": 2**20}
            theirs.ask("prepare", **sizes, device="cuda")
            name = f"epoch at 1:10, batch {batch_size}, against RecBole, GPU"
            run = alternate(name, lambda: ours.ask("epoch"), lambda: theirs.ask("epoch"), rounds)
            comparisons.append(run)
        name = "full ranking, RecBole's eval_batch_size 2^20, GPU"
        comparisons.append(alternate(name, lambda: ours.ask("validate"), lambda: theirs.ask("validate"), rounds))
    return comparisons
