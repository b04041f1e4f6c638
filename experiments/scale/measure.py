"""One measurement in a process of its own, so that its peak memory is its own: JSON in as argument, JSON out."""

import dataclasses
import json
import resource
import statistics
import sys
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ncf import models
from ncf.core.compose import compose
from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.data.split import Pairs, Split
from ncf.evaluation import FullRanking, validation_targets
from ncf.losses import BCE
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.samplers import NegativeSampler
from ncf.training.trainer import Trainer

CPU = torch.device("cpu")
GROUPS, ROWS_A_GROUP = 23, 11  # a batch of 256 rows at 1:10
FACTORS = 64
CONSTANT = {"clip_norm": None, "schedule": "constant", "warmup": None, "period": None, "decay": 0.1}
OPTIMISERS: dict[str, dict[str, Any]] = {
    "adam": {"lr": 1e-3, "weight_decay": 0.0, **CONSTANT},
    "row_adam": {"lr": 1e-3},
}
STEPS = {"adam": 3, "row_adam": 20}  # a repeat
SETTLE = 300  # steps of row_adam before its first timing: past those whose missed updates are summed one by one


class Side:
    """One model with one optimiser, trained on rows drawn evenly from the whole catalogue."""

    def __init__(self, name: str, rows: int) -> None:
        self.name, self.rows = name, rows
        make = partial(
            models.MODELS["neumf"], gmf_factors=FACTORS, mlp_factors=FACTORS, hidden=[128, 64, 32], dropout=0.0
        )
        self.model: nn.Module = models.build(make, rows // 2, rows // 2, generator(0, "initialisation"))
        self.optimizer = OPTIMIZERS[name](self.model, **OPTIMISERS[name])
        self.stream = generator(0, "negatives")

    def step(self) -> float:
        """Seconds of processor time of one training step, so that what else the machine does counts less."""
        users = torch.randint(self.rows // 2, (GROUPS,), generator=self.stream)
        items = torch.randint(self.rows // 2, (GROUPS, ROWS_A_GROUP), generator=self.stream)
        begun = time.process_time()
        self.optimizer.zero_grad()
        BCE()(self.model(users, items)).mean().backward()
        self.optimizer.step()
        return time.process_time() - begun

    def repeat(self) -> float:
        """Seconds a step: the median of a few in a row."""
        return statistics.median(self.step() for _ in range(STEPS[self.name]))


def catalogue(rows: list[int], repeats: int) -> list[dict[str, Any]]:
    """Seconds a step by rows of the catalogue, users and items together, every side in turn."""
    sides = [Side(name, size) for size in rows for name in OPTIMISERS]
    for side in sides:
        for _ in range(SETTLE if side.name == "row_adam" else 2):
            side.step()
    times = [[side.repeat() for side in sides] for _ in range(repeats)]
    return [
        {"rows": side.rows, "optimizer": side.name, "seconds": list(column)} for side, column in zip(sides, zip(*times))
    ]


def pipeline(users: int, items: int, interactions: int, steps: int, evaluated: int, root: str) -> dict[str, Any]:
    """A world is made, split and trained on for `steps`, and `evaluated` of its users are ranked."""
    overrides = [f"data.users={users}", f"data.items={items}", f"data.interactions={interactions}"]
    plan = plan_run(compose(["data=synthetic", "optimizer=row_adam", f"data.root='{root}'", *overrides]))
    clock = Clock()
    data = plan.data()
    clock.lap("generate")
    split: Split = plan.split(data)
    clock.lap("split")
    trainer = build_trainer(plan, split, CPU)
    assert isinstance(trainer, Trainer)
    clock.lap("build")
    batches = trainer.batches.epoch(1)
    seconds = [train_step(trainer, next(batches)) for _ in range(steps)]
    clock.lap("train")
    trainer.step.flush()
    clock.lap("flush")
    rank_some(plan.evaluation, trainer, split, evaluated)
    clock.lap("rank")
    return {
        "users": split.num_users, "items": split.num_items, "interactions": interactions,
        "train_pairs": len(split.train), "steps": steps, "steps_an_epoch": trainer.batches.steps,
        "evaluated": evaluated, "seconds": clock.laps, "step_seconds": statistics.median(seconds[steps // 2 :]),
        "peak_bytes": clock.peaks, "sampler_bytes": tensor_bytes(trainer.batches.sampler),
        "dense_mask_bytes": split.num_users * split.num_items,
    }  # fmt: skip


class Clock:
    """Seconds of processor time of each phase, and the peak resident bytes of the process by its end."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.peaks: dict[str, int] = {"imports": peak_bytes()}
        self._begun = time.process_time()

    def lap(self, name: str) -> None:
        """End the phase `name`; the next begins."""
        now = time.process_time()
        self.laps[name], self._begun = now - self._begun, now
        self.peaks[name] = peak_bytes()


def peak_bytes() -> int:
    """Most memory that this process was ever resident in."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def train_step(trainer: Trainer, batch: Batch) -> float:
    """Seconds of processor time of one step on `batch`, as the trainer takes it."""
    begun = time.process_time()
    trainer.step(batch)
    return time.process_time() - begun


def rank_some(evaluation: FullRanking, trainer: Trainer, split: Split, count: int) -> None:
    """Rank the validation positives of the first `count` users, among all items."""
    some = Pairs(split.valid.users[:count], split.valid.items[:count])
    targets = validation_targets(dataclasses.replace(split, valid=some), CPU)
    evaluation.metrics(evaluation.evaluate(trainer.model.score, targets))


def tensor_bytes(sampler: NegativeSampler) -> int:
    """Memory that the sampler keeps."""
    return sum(value.nbytes for value in vars(sampler).values() if isinstance(value, Tensor))


def main() -> None:
    """`measure.py NAME ARGUMENTS`: the measurement's result as JSON, on the last line."""
    torch.set_num_threads(1)
    measurement = {"catalogue": catalogue, "pipeline": pipeline}[sys.argv[1]]
    print(json.dumps(measurement(**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
