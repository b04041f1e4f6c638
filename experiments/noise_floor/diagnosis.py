"""What undoes the pairing of two runs whose losses are one and the same but for a factor of one half.

Both runs train in lockstep, from the same weights on the same batches. Halving is exact in binary arithmetic: as long
as the weights are equal, logits are equal, and gradients and first moments are exactly half, second moments a quarter,
to the bit. `first_difference` looks at each of these after each step, in the order in which a step computes them, and
names the first that is not. `growth` then follows how far the weights and validation drift apart; and does so again
with an epsilon of Adam that is halved with the loss, and with a single weight moved by one unit in the last place.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from experiments.noise_floor.runs import HERE
from ncf.core.compose import compose, configuration
from ncf.core.files import write_text
from ncf.losses.kernel import losses_and_logit_grad
from ncf.runs.job import build_trainer, set_up_torch
from ncf.runs.plan import plan_run
from ncf.training.arithmetic import arithmetic
from ncf.training.fast.adam import FusedAdam
from ncf.training.trainer import Trainer

FIRST, GROWTH = HERE / "diagnosis.json", HERE / "diagnosis.csv"
SEED = 519_999  # of no registered run
SETTINGS = ("model=neumf", "neg_ratio=10", "device=cpu", "trainer.progress=false", f"seed={SEED}")
BCE, HALF = ("loss=bce",), ("loss=focal", "loss.gamma=0.0", "loss.alpha=0.5")
VARIANTS = ("as trained", "epsilon halved with the loss", "one weight moved by 1 ulp", "the same run")
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Difference:
    """The first tensor of a step that is not what it should be, whole or scaled by a power of two.

    Attributes:
        step: from 1.
        operation: that computes it.
        tensor: name of the parameter, or "" for all logits.
        elements: how many of its elements differ, `of` how many.
        ulps: the largest difference, in units in the last place.
        relative: the largest difference relative to the element.
    """

    step: int
    operation: str
    tensor: str
    elements: int
    of: int
    ulps: int
    relative: float


class Pair:
    """Two trainers in lockstep; the second has half of the loss.

    Args:
        settings: further overrides of both runs.
        variant: of `VARIANTS`.
    """

    def __init__(self, settings: tuple[str, ...] = (), variant: str = VARIANTS[0]) -> None:
        same = variant in VARIANTS[2:]
        self._scale = 1 if same else 2
        self.runs = [_trainer((*SETTINGS, *settings, *loss)) for loss in (BCE, BCE if same else HALF)]
        if variant == VARIANTS[1]:
            self._group(1)["eps"] = self._group(0)["eps"] / 2
        if variant == VARIANTS[2]:
            weight = next(self.runs[1].model.parameters()).data.view(-1)[:1]
            weight.copy_(torch.nextafter(weight, torch.full_like(weight, math.inf)))

    def _group(self, side: int) -> dict[str, object]:
        group: dict[str, object] = self.runs[side].step.optimizer.param_groups[0]
        return group

    def steps(self, epoch: int) -> Iterator[tuple[int, list[tuple[str, str, Tensor, Tensor]]]]:
        """Take the steps of an epoch; yield each one's number and its tensors: operation, name, BCE's, half's, scaled.

        The second tensor of a pair is scaled to what it would be for the whole loss, which is exact.
        """
        streams = [run.batches.epoch(epoch) for run in self.runs]
        for step, batches in enumerate(zip(*streams, strict=True), 1):
            found = []
            sides = [(run.model(b.users, b.items).detach(), b) for run, b in zip(self.runs, batches)]
            (whole, _), (half, _) = sides
            found.append(("logits", "", whole, half))
            gradients = [losses_and_logit_grad(run.step.loss, x, b)[1] for run, (x, b) in zip(self.runs, sides)]
            found.append(("gradient of the loss by the logits", "", gradients[0], self._scale * gradients[1]))
            for run, batch in zip(self.runs, batches):
                run.step(batch)
                run.progress.step += 1
            for operation, power in (("gradient", 1), ("first moment", 1), ("second moment", 2), ("weights", 0)):
                pairs = zip(*(self._tensors(run, operation) for run in self.runs), strict=True)
                found += [(operation, name, one, self._scale**power * other) for (name, one), (_, other) in pairs]
            yield step, found

    @staticmethod
    def _tensors(run: Trainer, operation: str) -> list[tuple[str, Tensor]]:
        optimizer = run.step.optimizer
        assert isinstance(optimizer, FusedAdam)
        key = {"first moment": "exp_avg", "second moment": "exp_avg_sq"}.get(operation)
        named = list(run.model.named_parameters())
        if key:
            return [(name, optimizer.state[p][key]) for name, p in named]
        return [(name, p.detach() if operation == "weights" else p.grad) for name, p in named if p.grad is not None]

    def advance(self, epoch: int) -> None:
        """Take the steps of an epoch without looking."""
        for batches in zip(*(run.batches.epoch(epoch) for run in self.runs), strict=True):
            for run, batch in zip(self.runs, batches):
                run.step(batch)
                run.progress.step += 1

    def apart(self) -> float:
        """Return the root mean square difference of the weights, relative to theirs."""
        one, other = (torch.cat([p.detach().flatten() for p in run.model.parameters()]).double() for run in self.runs)
        return float((one - other).norm() / one.norm())


def _trainer(overrides: tuple[str, ...]) -> Trainer:
    plan = plan_run(compose(overrides))
    set_up_torch(plan)
    trainer = build_trainer(plan, plan.split(plan.data()), _CPU)
    assert isinstance(trainer, Trainer)
    return trainer


def first_difference(pair: Pair, most: int = 10_000) -> Difference | None:
    """Train in lockstep up to the first tensor that differs; None if none does within an epoch."""
    with arithmetic("float32"):
        for step, tensors in pair.steps(1):
            for operation, name, one, other in tensors:
                if not torch.equal(one, other):
                    return _described(step, operation, name, one, other)
            if step == most:
                break
    return None


def _described(step: int, operation: str, name: str, one: Tensor, other: Tensor) -> Difference:
    unequal = one != other
    a, b = one[unequal], other[unequal]
    relative = ((a.double() - b.double()).abs() / a.double().abs().clamp(min=1e-300)).max()
    return Difference(step, operation, name, int(unequal.sum()), one.numel(), ulps(a, b), float(relative))


def ulps(one: Tensor, other: Tensor) -> int:
    """Return the largest distance between float32 tensors (N,), in units in the last place."""
    ordered = [torch.where((bits := t.contiguous().view(torch.int32).long()) < 0, -(bits & 0x7FFFFFFF), bits)
               for t in (one, other)]  # fmt: skip
    return int((ordered[0] - ordered[1]).abs().max())


def growth(pair: Pair, variant: str, epochs: int) -> Iterator[dict[str, object]]:
    """Yield how far the two runs are apart: at steps 1, 2, 4, ... of the first epoch, and after each epoch."""
    steps = pair.runs[0].batches.steps
    with arithmetic("float32"):
        for epoch in range(1, epochs + 1):
            if epoch == 1:
                for step, batches in enumerate(zip(*(run.batches.epoch(1) for run in pair.runs), strict=True), 1):
                    for run, batch in zip(pair.runs, batches):
                        run.step(batch)
                        run.progress.step += 1
                    if step & (step - 1) == 0:
                        yield {"variant": variant, "epoch": step / steps, "step": step, "weights": pair.apart()}
            else:
                pair.advance(epoch)
            for run in pair.runs:
                run.step.flush()
            one, other = (run._validate()["ndcg@10"] for run in pair.runs)
            yield {"variant": variant, "epoch": float(epoch), "step": epoch * steps, "weights": pair.apart(),
                   "ndcg": one, "ndcg_other": other}  # fmt: skip


def diagnose(settings: tuple[str, ...] = (), epochs: int = 20, first: Path = FIRST, path: Path = GROWTH) -> None:
    """Write the first difference of each variant, and the growth of the difference."""
    with configuration():
        found = {variant: first_difference(Pair(settings, variant)) for variant in VARIANTS}
        text = {variant: None if d is None else vars(d) for variant, d in found.items()}
        write_text(first, json.dumps({"seed": SEED, "torch": torch.__version__, "first": text}, indent=1) + "\n")
        rows: list[dict[str, object]] = []
        for variant in VARIANTS:
            for row in growth(Pair(settings, variant), variant, epochs):
                rows.append(row)
                write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6g"))
