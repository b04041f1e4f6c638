"""Training dynamics (`dynamics=true`): which examples the loss emphasises over time, and the model's calibration.

Every 16th step is observed from its own logits, on the device and without waiting for it. Nothing is fed back, so a
run trains to the same bits with and without it. p_t is the probability of the true label: sigmoid(x) for a positive
with logit x, sigmoid(-x) for a negative.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ncf.core.files import write_text
from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.data.split import Pairs
from ncf.losses import AnyLoss
from ncf.losses.kernel import losses_and_logit_grad
from ncf.models import GradientRecommender
from ncf.training.batches import Batches

OBSERVE_EVERY = 16  # steps
CONFIDENCE_EDGES = (0.2, 0.4, 0.6, 0.8)  # bin edges of p_t
CALIBRATION_BINS = 10

_BINS = len(CONFIDENCE_EDGES) + 1
_POSITIVE, _NEGATIVE, _HELD_OUT = range(3)  # kinds of rows; held out: drawn as a negative, but a validation positive
_QUANTITIES = ("rows", "confidence", "loss", "gradient", "weight", "weight_squared")
_SCORED_GROUPS = 2**12


class Dynamics:
    """Observes steps and summarises epochs; pass it the validation positives, never the test ones.

    Args:
        loss: logits (B, 1+K) -> per-example losses (B, 1+K).
        valid: the validation positives (N,).
        num_items: I.
        calibrate: returns the calibration of the current model.
        path: file that gets a JSON line per epoch; see `end_epoch`.
    """

    def __init__(
        self,
        loss: AnyLoss,
        valid: Pairs,
        num_items: int,
        calibrate: Callable[[], dict[str, Any]],
        path: Path,
        device: torch.device | str,
    ) -> None:
        self.history: list[dict[str, Any]] = []
        self._loss, self._calibrate, self._path = loss, calibrate, path
        self._held_out = PairSet(valid, num_items, device)
        self._edges = torch.tensor(CONFIDENCE_EDGES, device=device)
        self._sums = torch.zeros(3 * _BINS, len(_QUANTITIES), dtype=torch.float64, device=device)
        self._steps = 0

    def observe(self, step: int, batch: Batch, logits: Tensor) -> None:
        """Record a step, if it is one of those observed.

        Args:
            step: its number within the epoch, from 0.
            batch: the batch of the step.
            logits: (B, 1+K), the logits of the step; neither they nor their gradient are changed.
        """
        if step % OBSERVE_EVERY:
            return
        logits = logits.detach()
        losses, logit_grad = losses_and_logit_grad(self._loss, logits, batch)
        kind = torch.full_like(batch.items, _NEGATIVE).masked_fill_(
            self._held_out.contains(batch.users, batch.items), _HELD_OUT
        )
        kind[:, 0] = _POSITIVE
        self._add(kind, logits, losses, logit_grad)
        self._steps += 1

    def _add(self, kind: Tensor, logits: Tensor, losses: Tensor, logit_grad: Tensor) -> None:
        z = torch.cat([logits[:, :1], -logits[:, 1:]], dim=1)
        confidence = torch.sigmoid(z)  # p_t
        # Relative to BCE, whose weights are 1: exactly a_t (1 - p_t)^gamma for alpha-BCE and focal loss.
        weight = losses.double() / logsigmoid(z.double()).neg().clamp(min=1e-300)
        values = torch.stack(
            [torch.ones_like(weight), confidence, losses, logit_grad.abs(), weight, weight.square()], dim=-1
        )  # (B, 1+K, Q) float64
        row = kind * _BINS + torch.bucketize(confidence, self._edges, right=True)
        self._sums.index_add_(0, row.flatten(), values.flatten(0, 1))

    def end_epoch(self, epoch: int) -> None:
        """Write the epoch's line and start the next epoch.

        `positive` and `negative` each hold `rows`; `confidence`, the mean p_t; `effective_sample_size`, in rows,
        (sum w)^2 / sum w^2 (Kish 1965), w being the loss relative to BCE; and, per bin of p_t, `histogram`, the share
        of these rows, and `loss_share` and `gradient_share`, the share of the total loss and of the total |dL/dx| over
        logits x, positives and negatives together. `held_out` says how often a negative was a validation positive of
        its user, and the mean weights of those and of the other negatives.
        """
        sums = self._sums.cpu().view(3, _BINS, -1)
        negative = sums[_NEGATIVE] + sums[_HELD_OUT]
        totals = dict(zip(_QUANTITIES, sums.sum((0, 1)).tolist()))
        line = {
            "epoch": epoch,
            "observed_steps": self._steps,
            "positive": _class_summary(sums[_POSITIVE], totals),
            "negative": _class_summary(negative, totals),
            "held_out": _held_out_summary(sums[_HELD_OUT], sums[_NEGATIVE]),
            "calibration": self._calibrate(),
        }
        self.history.append(line)
        # Rewrite the whole file: after a resume it may hold lines from beyond the checkpoint.
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in self.history))
        self._sums.zero_()
        self._steps = 0

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to record the same lines."""
        return {"history": self.history, "sums": self._sums, "steps": self._steps}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.history, self._steps = list(state["history"]), state["steps"]
        self._sums.copy_(state["sums"])


class PairSet:
    """A set of pairs (N,) on a device, for batched membership tests."""

    def __init__(self, pairs: Pairs, num_items: int, device: torch.device | str) -> None:
        keys = torch.from_numpy(pairs.users * num_items + pairs.items)
        self._keys = torch.cat([keys.sort().values, keys.new_tensor([-1])]).to(device)  # -1 matches no pair
        self._num_items = num_items

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,) and items (B, n) int64 -> (B, n) bool: whether each (user, item) is in the set."""
        keys = users[:, None] * self._num_items + items
        return self._keys[torch.searchsorted(self._keys[:-1], keys)] == keys


class Calibration:
    """Reliability of sigmoid(logit) on validation positives, each with K negatives as in training.

    The negatives are drawn once, so that epochs are comparable. A drawn validation positive counts as a positive.

    Args:
        model: evaluated in its current state on each call.
        batches: the training batches, for their sampler, K, seed and device.
        valid: the validation positives (N,).
        num_items: I.
    """

    def __init__(self, model: GradientRecommender, batches: Batches, valid: Pairs, num_items: int) -> None:
        self._model = model
        self._users = torch.from_numpy(valid.users).to(batches.device)
        positives = torch.from_numpy(valid.items).to(batches.device)[:, None]
        stream = generator(batches.seed, "evaluation", device=batches.device)
        negatives = batches.sampler.draw(self._users, batches.neg_ratio, stream)
        self._items = torch.cat([positives, negatives], dim=1)
        self._labels = PairSet(valid, num_items, batches.device).contains(self._users, self._items)  # (N, 1+K)

    @torch.no_grad()
    def __call__(self) -> dict[str, Any]:
        """Return `ece` and the reliability curve: per tenth of predicted probability, `rows`, their mean `predicted`
        probability, and the `observed` share of positives (0 where there are no rows).

        The expected calibration error is sum_b n_b / N |observed_b - predicted_b| (Guo et al. 2017, eq. 3).
        """
        pairs = zip(self._users.split(_SCORED_GROUPS), self._items.split(_SCORED_GROUPS))
        probs = torch.cat([self._model(users, items) for users, items in pairs]).sigmoid().double()
        return reliability(probs, self._labels)


def reliability(probs: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return ECE and reliability curve of probs (...) float64 against labels (...) bool; see `Calibration`."""
    row = (probs * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1).flatten()
    values = torch.stack([torch.ones_like(probs), probs, labels.double()], dim=-1).flatten(0, -2)
    sums = torch.zeros(CALIBRATION_BINS, 3, dtype=torch.float64, device=probs.device).index_add_(0, row, values)
    rows, predicted, observed = sums.cpu().T
    at_least_one = rows.clamp(min=1)
    return {
        "ece": float((observed - predicted).abs().sum() / rows.sum()),
        "rows": rows.long().tolist(),
        "predicted": (predicted / at_least_one).tolist(),
        "observed": (observed / at_least_one).tolist(),
    }


def _class_summary(sums: Tensor, totals: Mapping[str, float]) -> dict[str, Any]:
    """Summarise one class from its sums (bins, Q) and the totals over both classes."""
    by_bin = dict(zip(_QUANTITIES, sums.T))
    own = dict(zip(_QUANTITIES, sums.sum(0).tolist()))
    return {
        "rows": int(own["rows"]),
        "confidence": _share(own["confidence"], own["rows"]),
        "effective_sample_size": _share(own["weight"] ** 2, own["weight_squared"]),
        "histogram": [_share(value, own["rows"]) for value in by_bin["rows"].tolist()],
        "loss_share": [_share(value, totals["loss"]) for value in by_bin["loss"].tolist()],
        "gradient_share": [_share(value, totals["gradient"]) for value in by_bin["gradient"].tolist()],
    }


def _held_out_summary(held_out: Tensor, others: Tensor) -> dict[str, Any]:
    drawn, other = (dict(zip(_QUANTITIES, sums.sum(0).tolist())) for sums in (held_out, others))
    return {
        "drawn": int(drawn["rows"]),
        "rate": _share(drawn["rows"], drawn["rows"] + other["rows"]),
        "weight": _share(drawn["weight"], drawn["rows"]) if drawn["rows"] else None,
        "weight_of_others": _share(other["weight"], other["rows"]),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
