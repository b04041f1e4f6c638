"""The optimizer of a sharded model: of its tables each process updates the rows that a step has read and that it has.

Adam on a table is `ncf.training.fast.row_adam`, which equals Adam up to rounding: a row that is not read waits, and the
updates that it misses are applied when it is next read. SGD without momentum moves no other row anyway.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ncf.errors import ConfigError
from ncf.training.base import LazyOptimizer
from ncf.training.distributed.model import ShardedModel
from ncf.training.distributed.tables import Shard
from ncf.training.fast.adam import FusedAdam
from ncf.training.fast.row_adam import LazyEmbedding, MissedUpdates

_ADAPTIVE = ("adam", "row_adam")
_ALLOWED = {"weight_decay": 0.0, "momentum": 0.0, "clip_norm": None, "schedule": "constant", "warmup": None}


def refuse_unsupported(optimizer: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings of an optimizer that would move rows which a step has not read."""
    if optimizer["name"] not in (*_ADAPTIVE, "sgd"):
        raise ConfigError(
            f"optimizer: expected adam, row_adam or sgd with trainer=distributed, got {optimizer['name']}"
        )
    for key, value in _ALLOWED.items():
        if optimizer.get(key, value) != value:
            text = "null" if value is None else value
            raise ConfigError(f"optimizer.{key}: expected {text} with trainer=distributed, got {optimizer[key]}")


class ShardedOptimizer(LazyOptimizer):
    """Adam or SGD on the dense weights, which all processes update alike, and on this process's rows of the tables."""

    def __init__(self, model: ShardedModel, lr: float, adaptive: bool) -> None:
        dense = list(model.parameters())
        super().__init__(dense, {"lr": lr})
        self._lr = lr
        self.dense = FusedAdam(dense, lr, 0.0) if adaptive else torch.optim.SGD(dense, lr)
        self.shards: list[Shard] = [] if model.tables is None else list(model.tables.shards.values())
        missed = MissedUpdates(dense[0].device) if adaptive else None
        self.lazy = {} if missed is None else {s.name: LazyEmbedding(s.weight, lr, missed) for s in self.shards}
        if self.lazy and model.tables is not None:
            model.tables.before_read = self._catch_up

    def _catch_up(self, shard: Shard, rows: Tensor) -> None:
        self.lazy[shard.name].catch_up(rows)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the dense weights, whose gradients are those of the global batch, and the rows read by the step."""
        self.dense.step()
        for shard in self.shards:
            rows, gradient = shard.gradient()
            if self.lazy:
                self.lazy[shard.name].apply(rows, gradient, None)
            else:
                shard.weight.index_add_(0, rows, gradient, alpha=-self._lr)

    def flush(self) -> None:
        """Bring all rows up to date."""
        for table in self.lazy.values():
            table.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this process: of the dense weights, and by table of its rows."""
        tables = {name: own.state() for name, own in self.lazy.items()}
        return {"dense": self.dense.state_dict(), "tables": tables, "adaptive": isinstance(self.dense, FusedAdam)}

    def prepare(self) -> None:
        """Make the moments of the dense weights, which otherwise the first step makes, so that they can be filled."""
        if isinstance(self.dense, FusedAdam):
            for parameter in self.dense.param_groups[0]["params"]:
                self.dense._new_state(parameter)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned in this process."""
        self.dense.load_state_dict(state["dense"])
        for name, own in self.lazy.items():
            for key, tensor in own.state().items():
                tensor.copy_(state["tables"][name][key])
            own.current = False


def optimizer_for(settings: Mapping[str, Any], bound: partial[Any], model: ShardedModel) -> ShardedOptimizer:
    """Return the optimizer that the settings name, which `bound` holds the learning rate of."""
    return ShardedOptimizer(model, bound.keywords["lr"], settings["name"] in _ADAPTIVE)
