"""Training on several processes: embedding tables sharded by torchrec, dense layers replicated, batches shared out.

Chosen in one place, `ncf.runs.distributed`, by `trainer.sharding`; nothing of it is imported in other runs. The global
batch of a step does not depend on the number of processes, so that a run ends where a run on one process ends, up to
the rounding of sums in another order.
"""

from ncf.training.distributed.batches import PartBatches
from ncf.training.distributed.group import Group, LostError, agreed, as_lost, wait_for_all
from ncf.training.distributed.model import ShardedModel, build
from ncf.training.distributed.model import refuse_unsupported as refuse_model
from ncf.training.distributed.optimizers import ShardedOptimizer, optimizer_for
from ncf.training.distributed.optimizers import refuse_unsupported as refuse_optimizer
from ncf.training.distributed.ranking import evaluate, targets_of
from ncf.training.distributed.step import PartStep
from ncf.training.distributed.tables import Shard
from ncf.training.distributed.trainer import GroupTrainer

__all__ = [
    "Group",
    "GroupTrainer",
    "LostError",
    "PartBatches",
    "PartStep",
    "Shard",
    "ShardedModel",
    "ShardedOptimizer",
    "agreed",
    "as_lost",
    "build",
    "evaluate",
    "optimizer_for",
    "refuse_model",
    "refuse_optimizer",
    "targets_of",
    "wait_for_all",
]
