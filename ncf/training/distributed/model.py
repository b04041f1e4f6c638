"""A model whose embedding tables are sharded: its own `forward` and `score`, with rows that were fetched before."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ncf.errors import ConfigError
from ncf.models import EMBEDDING_STD, GradientRecommender, draw, undrawn
from ncf.models.gmf import GMF
from ncf.models.mf import MF
from ncf.models.mlp import MLP
from ncf.models.neumf import NeuMF
from ncf.training.distributed.group import Group
from ncf.training.distributed.tables import Shape, Tables

SUPPORTED = (GMF, MLP, NeuMF, MF)
_DRAWN_AT_ONCE = 2**20  # numbers of a table, a multiple of 16: torch draws normal numbers in groups of 16


class Rows(nn.Module):
    """Stands in for an embedding: answers with rows that were fetched for the ids that it will be asked for.

    Attributes:
        fetched: (n, D), in the order of the ids; or of `known` (n,) ascending ids, which are then looked up.
    """

    def __init__(self, table: str, num_embeddings: int) -> None:
        super().__init__()
        self.table, self.num_embeddings = table, num_embeddings
        self.fetched: Tensor | None = None
        self.known: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """All rows (R, D), while a model scores."""
        assert self.fetched is not None
        return self.fetched

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...,) int64 -> rows (..., D)."""
        rows = self.weight if self.known is None else self.weight[torch.searchsorted(self.known, ids)]
        return rows.view(*ids.shape, rows.shape[-1])


class ShardedModel(GradientRecommender):
    """`inner`, a model of users and items, with the rows of its tables in `tables`.

    Args:
        users: stand-ins for the embeddings that have a row a user.
        items: stand-ins for those that have a row an item.
        tables: None: `inner` has all its tables itself, as on one process.
    """

    def __init__(
        self, inner: GradientRecommender, tables: Tables | None, users: Sequence[Rows], items: Sequence[Rows]
    ) -> None:
        super().__init__()
        self.inner, self.tables, self._users, self._items = inner, tables, users, items

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K), this process's part of a batch -> logits (B, 1+K); a collective operation."""
        if self.tables is not None:
            self.tables.clear()
            self._fetch_each_once(users, items.flatten())
        logits: Tensor = self.inner(users, items)
        return logits

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I); users whose rows `scoring` has fetched."""
        return self.inner.score(users)

    @contextmanager
    def scoring(self, users: Tensor, num_items: int) -> Iterator[None]:
        """Fetch what scoring `users` (n,) of this process takes, their rows and all items'; a collective operation."""
        if self.tables is not None:
            known, every = users.unique(), torch.arange(num_items, device=users.device)
            with torch.no_grad():
                self._fetch(known, every, known)
        yield
        for rows in (*self._users, *self._items):
            rows.fetched = rows.known = None

    def _fetch_each_once(self, users: Tensor, items: Tensor) -> None:
        """Fetch the rows of `users` (n,) and `items` (m,); one that is there twice is exchanged once, either way."""
        (some, where), (others, place) = (ids.unique(return_inverse=True) for ids in (users, items))
        self._fetch(some, others)
        for stand_ins, at in ((self._users, where), (self._items, place)):
            for rows in stand_ins:
                rows.fetched = rows.weight.index_select(0, at)

    def _fetch(self, users: Tensor, items: Tensor, known: Tensor | None = None) -> None:
        assert self.tables is not None
        ids = {rows.table: users for rows in self._users} | {rows.table: items for rows in self._items}
        found = self.tables.fetch(ids)
        for rows in (*self._users, *self._items):
            rows.fetched = found[rows.table]
        for rows in self._users:
            rows.known = known

    def assembled(self, group: Group, at_once: int) -> dict[str, Tensor] | None:
        """Return all weights under the names and in the order of `inner` on one process; only in rank 0.

        A collective operation, which moves `at_once` rows of each table at a time.
        """
        found = {
            name: tensor.detach().cpu()
            for name, tensor in self.inner.state_dict().items()
            if isinstance(tensor, Tensor)
        }
        paths = {rows.table: name for name, rows in self.inner.named_modules() if isinstance(rows, Rows)}
        whole = {} if self.tables is None else self._whole(group, at_once)
        named = {f"{paths[table]}.weight": rows for table, rows in whole.items()} | found
        return named if group.rank == 0 else None

    @torch.no_grad()
    def _whole(self, group: Group, at_once: int) -> dict[str, Tensor]:
        """Return every table in rank 0, empty ones elsewhere."""
        assert self.tables is not None
        pieces: dict[str, list[Tensor]] = {name: [] for name in self.tables.shapes}
        for start in range(0, max(shape.rows for shape in self.tables.shapes.values()), at_once):
            ends = {
                name: min(start + at_once, shape.rows) if group.rank == 0 else 0
                for name, shape in self.tables.shapes.items()
            }
            ids = {name: torch.arange(start, max(start, end), device=group.device) for name, end in ends.items()}
            for name, rows in self.tables.fetch(ids).items():
                pieces[name].append(rows.cpu().clone())
        return {name: torch.cat(rows) for name, rows in pieces.items()}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the dense weights by name, and the local rows of each table."""
        shards = {} if self.tables is None else self.tables.shards
        return {**self.inner.state_dict(), **{f"table.{name}": shard.weight for name, shard in shards.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Restore what `state_dict` returned in this process: tensors (...) by name."""
        self.inner.load_state_dict({key: value for key, value in state.items() if not key.startswith("table.")})
        for name, shard in (self.tables.shards if self.tables is not None else {}).items():
            shard.weight.copy_(state[f"table.{name}"])


def build(
    make: partial[Any], num_users: int, num_items: int, stream: torch.Generator, sharding: str, group: Group
) -> ShardedModel:
    """Return `make(num_users, num_items)` sharded, with the weights that `ncf.models.build` draws from `stream`.

    No process ever holds more of a sharded table than its own rows and a piece that is being drawn.
    """
    model = undrawn(make, num_users, num_items)
    tables: Tables | None = None
    users: list[Rows] = []
    items: list[Rows] = []
    if sharding != "data":
        tables, users, items = _sharded(model, num_items, sharding, group)
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype)))
        if isinstance(module, Rows):
            assert tables is not None
            _draw_table(tables, module.table, stream)
        draw(module, stream)
    return ShardedModel(model.to(group.device), tables, users, items)


def refuse_unsupported(make: partial[Any], name: str) -> None:
    """Raise ConfigError for a model, called `name`, that cannot be sharded."""
    if make.func not in SUPPORTED:
        known = ", ".join(kind.__name__.lower() for kind in SUPPORTED)
        raise ConfigError(f"model: expected one of {known} with trainer=distributed, got {name}")
    if make.keywords.get("dropout"):
        raise ConfigError(
            f"model.dropout: expected 0.0 with trainer=distributed, got {make.keywords['dropout']}: what is dropped "
            "would depend on the number of processes"
        )


def _sharded(
    model: GradientRecommender, num_items: int, sharding: str, group: Group
) -> tuple[Tables, list[Rows], list[Rows]]:
    """Replace the embeddings of users and items in `model` by stand-ins; return the tables that these read."""
    of_users = {id(table) for table in model.user_tables()}
    found = [
        (parent, key, child) for parent in model.modules() for key, child in parent.named_children()
        if isinstance(child, nn.Embedding) and (id(child) in of_users or child.num_embeddings == num_items > 1)
    ]  # fmt: skip
    names = {id(module): name.replace(".", "_") + "_table" for name, module in model.named_modules()}
    users: list[Rows] = []
    items: list[Rows] = []
    for parent, key, child in found:
        rows = Rows(names[id(child)], child.num_embeddings)
        (users if id(child) in of_users else items).append(rows)
        setattr(parent, key, rows)
    shapes = {names[id(child)]: Shape(child.num_embeddings, child.embedding_dim) for _, _, child in found}
    return Tables(shapes, sharding, group), users, items


def _draw_table(tables: Tables, name: str, stream: torch.Generator) -> None:
    """Draw a whole table from `stream`, a piece at a time, and keep the rows of this process.

    The numbers are those of one draw: torch draws them in groups of 16, and the last 16 anew if a group is not full.
    """
    shape, shard = tables.shapes[name], tables.shards.get(name)
    total = shape.rows * shape.columns
    if shard is not None:
        shard.weight.zero_()
    for start, count in _pieces(total):
        numbers = torch.empty(count).normal_(std=EMBEDDING_STD, generator=stream)
        if shard is not None:
            _keep(numbers, start, shape.columns, shard.weight, shard.first)


def _pieces(total: int) -> Iterator[tuple[int, int]]:
    """Yield (start, count) of pieces of `total` numbers; the last one has at least 16, unless it is the only one."""
    start = 0
    while start < total:
        rest = total - start
        count = rest if rest <= _DRAWN_AT_ONCE + 16 else _DRAWN_AT_ONCE
        yield start, count
        start += count


def _keep(numbers: Tensor, start: int, columns: int, weight: Tensor, first: int) -> None:
    """Copy what `numbers`, from position `start` of the flat table, has of the rows of `weight` (R, W)."""
    low, high = max(start, first * columns), min(start + len(numbers), (first + len(weight)) * columns)
    if low < high:
        own = numbers[low - start : high - start].to(weight.device)
        if weight.shape[1] == columns:
            weight.view(-1)[low - first * columns : high - first * columns] = own
        else:
            position = torch.arange(low - first * columns, high - first * columns, device=weight.device)
            weight[position // columns, position % columns] = own
