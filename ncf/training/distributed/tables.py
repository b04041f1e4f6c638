"""Embedding tables sharded by torchrec: its planner, its exchange of ids and rows, its kernels for looking them up.

Rows are read by `ShardedEmbeddingCollection`. What a step changes are the rows that it has read, so their gradients are
taken where torchrec's lookup hands its output to the exchange: (ids of this process's shard, gradient of each).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor

from ncf.training.distributed.group import Group
from ncf.training.distributed.quiet import quiet

with quiet():
    from torchrec.distributed import comm_ops
    from torchrec.distributed.embedding import EmbeddingCollectionSharder
    from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
    from torchrec.distributed.types import ShardingEnv
    from torchrec.modules.embedding_configs import EmbeddingConfig
    from torchrec.modules.embedding_modules import EmbeddingCollection
    from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

KINDS = {"auto": ["row_wise", "table_wise"], "row": ["row_wise"], "table": ["table_wise"]}
_MULTIPLE = 4  # the kernels' rows are multiples of four numbers; the rest stays 0, and its gradient is 0


@dataclass(frozen=True)
class Shape:
    """Rows and columns of a table."""

    rows: int
    columns: int

    @property
    def width(self) -> int:
        """The columns as they are stored."""
        return -(-self.columns // _MULTIPLE) * _MULTIPLE


@dataclass
class Shard:
    """The rows of a table that lie in this process.

    Attributes:
        name: of the table.
        weight: (R, W), rows `first` to `first + R` of the table, a view of what the lookups read.
        whole: the table with its shards, as torchrec describes it.
        touched: ids (n,) from `first`, may repeat, and gradients (n, W) of the rows read since `Tables.clear`.
    """

    name: str
    weight: Tensor
    first: int
    whole: ShardedTensor
    touched: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _gradient: tuple[Tensor, Tensor] | None = None

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Return the distinct rows (n,) that the step has read and, after its backward pass, the gradients (n, W)."""
        if self._gradient is None:
            self._gradient = self._added_up()
        return self._gradient

    def clear(self) -> None:
        """Forget what has been read."""
        self.touched.clear()
        self._gradient = None

    def _added_up(self) -> tuple[Tensor, Tensor]:
        pairs = [(rows, leaf.grad) for rows, leaf in self.touched if leaf.grad is not None]
        if not pairs:
            return self.weight.new_empty(0, dtype=torch.int64), self.weight.new_empty(0, self.weight.shape[1])
        rows, which = torch.cat([rows for rows, _ in pairs]).unique(return_inverse=True)
        gradients = torch.cat([gradient for _, gradient in pairs])
        return rows, gradients.new_zeros(len(rows), gradients.shape[1]).index_add_(0, which, gradients)


class Tables:
    """Tables by name, each spread over the processes of `group` or lying whole in one of them.

    Args:
        shapes: of each table.
        sharding: "auto", "row" or "table".
    """

    def __init__(self, shapes: Mapping[str, Shape], sharding: str, group: Group) -> None:
        comm_ops.set_gradient_division(False)  # the loss is divided by the rows of the global batch already
        self.shapes = dict(shapes)
        self.before_read: Callable[[Shard, Tensor], None] = lambda shard, rows: None
        self._group = group
        widths = sorted({shape.width for shape in shapes.values()})
        self._names = [[name for name in shapes if shapes[name].width == width] for width in widths]  # one width each
        with quiet():
            self._collections = [self._sharded(names, KINDS[sharding]) for names in self._names]
        self.shards = {shard.name: shard for collection in self._collections for shard in self._shards_of(collection)}
        self.whole = {
            _table(key): tensor for part in self._collections for key, tensor in part.state_dict().items()
        }  # every table, also where no row of it lies here

    def _sharded(self, names: Sequence[str], kinds: list[str]) -> Any:
        configs = [
            EmbeddingConfig(
                name=name, num_embeddings=self.shapes[name].rows, embedding_dim=self.shapes[name].width,
                feature_names=[name],
            )
            for name in names
        ]  # fmt: skip
        module = EmbeddingCollection(tables=configs, device=torch.device("meta"))
        constraints = {n: ParameterConstraints(sharding_types=kinds, compute_kernels=["fused"]) for n in names}
        topology = Topology(world_size=self._group.size, compute_device=self._group.device.type)
        planner = EmbeddingShardingPlanner(topology=topology, constraints=constraints)
        sharder: Any = EmbeddingCollectionSharder()
        plan = planner.collective_plan(nn.ModuleDict({"part": module}), [sharder], dist.group.WORLD)
        found = plan.get_plan_for_module("part")
        assert found is not None
        env = ShardingEnv.from_process_group(dist.group.WORLD)
        return sharder.shard(module, found, env, self._group.device)

    def _shards_of(self, collection: Any) -> Iterator[Shard]:
        """Yield this process's shards, once hooks of the lookups report to them."""
        whole = {_table(key): tensor for key, tensor in collection.state_dict().items()}
        for lookup in collection._lookups:
            lookup.register_forward_pre_hook(self._before)
            lookup.register_forward_hook(self._after)
            for kernel in lookup._emb_modules:
                tables = [table.name for table in kernel.config.embedding_tables]
                for name, weight in zip(tables, kernel.split_embedding_weights(), strict=True):
                    (local,) = whole[name].local_shards()
                    yield Shard(name, weight.detach(), local.metadata.shard_offsets[0], whole[name])

    def _before(self, lookup: Any, arguments: tuple[KeyedJaggedTensor]) -> None:
        if lookup._emb_modules:
            for shard, rows in self._read_by(arguments[0]):
                self.before_read(shard, rows)

    def _after(self, lookup: Any, arguments: tuple[KeyedJaggedTensor], output: Tensor) -> Tensor | None:
        """Cut autograd off at the rows that were read, (n W,), and keep them as leaves whose gradient is theirs."""
        if not lookup._emb_modules or not torch.is_grad_enabled():
            return None
        parts, start = [], 0
        for shard, rows in self._read_by(arguments[0]):
            width = shard.weight.shape[1]
            leaf = output.detach().view(-1)[start : start + len(rows) * width].view(len(rows), width).requires_grad_()
            shard.touched.append((rows, leaf))
            parts.append(leaf.view(-1))
            start += len(rows) * width
        return torch.cat(parts).view(output.shape)

    def _read_by(self, features: KeyedJaggedTensor) -> Iterator[tuple[Shard, Tensor]]:
        """Yield each shard with the rows (n,) of it that these ids name."""
        for name, rows in zip(features.keys(), features.values().split(features.length_per_key()), strict=True):
            yield self.shards[name], rows

    def fetch(self, ids: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the rows of each table at `ids` (n,): (n, D). All processes must call it, each with ids of its own."""
        rows: dict[str, Tensor] = {}
        for collection, names in zip(self._collections, self._names, strict=True):
            lengths = torch.tensor([len(ids[name]) for name in names], dtype=torch.int32, device=self._group.device)
            found = collection(KeyedJaggedTensor(list(names), torch.cat([ids[n] for n in names]), lengths=lengths))
            rows |= {name: found[name].values()[:, : self.shapes[name].columns] for name in names}
        return rows

    def clear(self) -> None:
        """Forget what has been read."""
        for shard in self.shards.values():
            shard.clear()


def _table(key: str) -> str:
    """Return the table of a parameter: gmf_users of embeddings.gmf_users.weight."""
    return key.removeprefix("embeddings.").removesuffix(".weight")
