"""The negative sampler against RecBole's, against bare random integers, against its epoch, and in memory."""

from typing import Any

from experiments.benchmarks.harness import Comparison, alternate, side

NEG_RATIO = 10
ML_20M = {"users": 138_493, "items": 26_744, "interactions": 20_000_263}


def sampler(peers: str, rounds: int) -> list[Comparison]:
    """One core: the draws of one epoch at 1:10, for the users of RecBole's own batches in their order."""
    sizes = {"neg_ratio": NEG_RATIO, "batch_size": 256}
    with side("ncf_side") as ours, side("recbole_side", peers) as theirs:
        ours.ask("prepare", overrides=[])
        theirs.ask("prepare", **sizes, eval_batch_size=4096)
        users = theirs.ask("batches")["users"]
        facts = ours.ask("prepare_draws", users=users, neg_ratio=NEG_RATIO)
        facts |= {"memory": ours.ask("sampler_memory", **ML_20M)}

        def peer() -> dict[str, Any]:
            return theirs.ask("draw", neg_ratio=NEG_RATIO)

        comparisons = []
        for name, batchwise, needed in (("in blocks, as in training", False, 8.0), ("batch by batch", True, None)):
            name = f"negatives of an epoch at 1:10, {name}"
            run = alternate(name, lambda b=batchwise: ours.ask("draw", batchwise=b), peer, rounds, needed, **facts)  # type: ignore[misc]
            run.facts["false_negatives"] = ours.ask("false_negatives")
            comparisons.append(run)
        name = "negatives of an epoch at 1:10 against bare randint"
        run = alternate(name, lambda: ours.ask("draw", batchwise=False), lambda: ours.ask("randint"), rounds)
    memory, false = facts["memory"], comparisons[0].facts["false_negatives"]
    print(f"  training positives among {false['drawn']:,} draws: {false['false']}")
    print(f"  memory at MovieLens-20M's shape: {memory['sampler'] / 2**20:.0f} MiB, "
          f"a boolean mask {memory['mask'] / memory['sampler']:.1f} times that (goal 20)")  # fmt: skip
    return [*comparisons, run, *_shares(rounds)]


def _shares(rounds: int) -> list[Comparison]:
    """What an epoch's batches cost against the epoch: 3% of it is a ratio of 33."""
    comparisons = []
    for neg_ratio, batch_size in ((4, 256), (10, 256), (50, 256), (50, 2048)):
        with side("ncf_side") as ours:
            ours.ask("prepare", overrides=[f"neg_ratio={neg_ratio}", f"trainer.batch_size={batch_size}"])
            name = f"all batches of an epoch at 1:{neg_ratio}, batch {batch_size} against the epoch"
            run = alternate(name, lambda: ours.ask("draw_epoch"), lambda: ours.ask("epoch"), rounds, 1 / 0.03)
            comparisons.append(run)
    return comparisons
