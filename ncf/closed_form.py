"""Logits and gradients of GMF, MLP and NeuMF in closed form, of S runs at once.

They are what autograd gives, to rounding. A step of a small model is a hundred small operations, and autograd's
account of them costs more than they do (docs/decisions/0006). The parameters of a run lie one after the other in one
tensor, and so do its gradients, so that an optimiser moves them all in one operation.

Shapes: S runs, B groups of n = 1 + K rows, R = B n rows, D factors, H units of a layer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ncf.models import GMF, MLP, NeuMF, Recommender
from ncf.models.gmf import GMFTower
from ncf.models.mlp import MLPTower

_threshold_backward = torch.ops.aten.threshold_backward


class FlatParameters:
    """The parameters of S models of one shape as `values` (S, N), their gradients as `gradients` (S, N).

    The models' own parameters and gradients become views of them, each with the value it had.
    """

    def __init__(self, models: Sequence[Recommender]) -> None:
        named = [dict(model.named_parameters()) for model in models]
        like = next(iter(named[0].values()))
        self._at: dict[str, tuple[int, torch.Size]] = {}
        place = 0
        for name, parameter in named[0].items():
            self._at[name] = place, parameter.shape
            place += parameter.numel()
        # A whole number of rows of any table, so that each run's rows continue those of the run before: see `table`.
        stride = math.lcm(16, *(shape[1] for name, (_, shape) in self._at.items() if _is_table(name)))
        size = -(-place // stride) * stride
        self.values = torch.zeros(len(models), size, dtype=like.dtype, device=like.device)
        self.gradients = torch.zeros_like(self.values)
        for name in self._at:
            values, gradients = self.parameter(name)
            for parameters, value, gradient in zip(named, values, gradients, strict=True):
                parameters[name].data = value.copy_(parameters[name].detach())
                parameters[name].grad = gradient

    def parameter(self, name: str) -> tuple[Tensor, Tensor]:
        """The values and gradients of parameter `name` in all runs: each (S, *shape)."""
        place, shape = self._at[name]
        part = slice(place, place + shape.numel())
        return self.values[:, part].unflatten(1, shape), self.gradients[:, part].unflatten(1, shape)

    def table(self, name: str) -> "_Table":
        """Embedding `name` of all runs."""
        place, (rows, width) = self._at[name]
        apart = self.values.shape[1] // width
        view = (len(self.values) - 1) * apart + rows, width
        values, gradients = (flat.as_strided(view, (width, 1), place) for flat in (self.values, self.gradients))
        return _Table(values, gradients, apart * torch.arange(len(self.values), device=values.device)[:, None])


def _is_table(name: str) -> bool:
    return name.endswith(("users.weight", "items.weight"))


class _Table:
    """S embeddings as the rows of one matrix; those of run s begin at `first`[s] (S, 1)."""

    def __init__(self, values: Tensor, gradients: Tensor, first: Tensor) -> None:
        self._values, self._gradients, self._first = values, gradients, first
        self._rows = self._filled = first.new_empty(0)

    def __call__(self, index: Tensor) -> Tensor:
        """index (S, M) -> rows (S, M, D)."""
        self._rows = index.flatten() if len(index) == 1 else (index + self._first).flatten()
        return self._values.index_select(0, self._rows).view(*index.shape, -1)

    def give(self, gradient: Tensor) -> None:
        """Let (S, M, D) be the gradients of the rows that were looked up last, summed where one was repeatedly."""
        self._gradients.index_fill_(0, self._filled, 0)  # the rest is zero already
        self._gradients.index_add_(0, self._rows, gradient.reshape(len(self._rows), -1))
        self._filled = self._rows


class _GMFPass:
    """What GMF towers add to the logits, given output weights (S, D)."""

    def __init__(self, flat: FlatParameters, tower: str) -> None:
        self._users, self._items = flat.table(f"{tower}.users.weight"), flat.table(f"{tower}.items.weight")

    def forward(self, users: Tensor, items: Tensor, weight: Tensor) -> Tensor:
        """users (S, B), items (S, B, n) -> (S, B, n)."""
        self._weight = weight[:, None]
        self._p = self._users(users)
        self._q = self._items(items.flatten(1)).view(users.numel(), items.shape[2], -1)
        self._pw = self._p * self._weight
        return torch.bmm(self._q, self._pw.view(users.numel(), -1, 1)).view(items.shape)

    def backward(self, slope: Tensor, weight_gradient: Tensor) -> None:
        """slope (S, B, n): the gradient by the logits; that by the output weights goes to `weight_gradient` (S, D)."""
        pulled = torch.bmm(slope.view(-1, 1, slope.shape[2]), self._q).view(self._p.shape)  # sum over a group's items
        torch.sum(pulled * self._p, 1, out=weight_gradient)
        self._users.give(pulled.mul_(self._weight))
        self._items.give(slope[..., None] * self._pw[:, :, None])


class _MLPPass:
    """What MLP towers add to the logits, given output weights (S, H)."""

    def __init__(self, flat: FlatParameters, tower: str, depth: int) -> None:
        self._users, self._items = flat.table(f"{tower}.users.weight"), flat.table(f"{tower}.items.weight")
        names = [f"{tower}.first", *(f"{tower}.upper.{i}" for i in range(depth - 1))]
        self._first, *self._upper = [(flat.parameter(f"{n}.weight"), flat.parameter(f"{n}.bias")) for n in names]

    def forward(self, users: Tensor, items: Tensor, weight: Tensor) -> Tensor:
        """users (S, B), items (S, B, n) -> (S, B, n)."""
        self._weight = weight[:, None]
        self._p, self._q = self._users(users), self._items(items.flatten(1))
        (first, _), (bias, _) = self._first
        width = self._p.shape[2]
        user_half = torch.baddbmm(bias[:, None], self._p, first[..., :width].mT)
        hidden = torch.bmm(self._q, first[..., width:].mT)
        hidden.view(*items.shape, -1).add_(user_half[:, :, None]).relu_()
        self._hidden = [hidden]
        for (layer, _), (bias, _) in self._upper:
            hidden = torch.baddbmm(bias[:, None], hidden, layer.mT).relu_()
            self._hidden.append(hidden)
        return torch.bmm(hidden, weight[..., None]).view(items.shape)

    def backward(self, slope: Tensor, weight_gradient: Tensor) -> None:
        """slope (S, B, n): the gradient by the logits; that by the output weights goes to `weight_gradient` (S, H)."""
        column = slope.view(len(slope), -1, 1)
        weight_gradient.copy_(torch.bmm(column.mT, self._hidden[-1])[:, 0])
        delta = _threshold_backward(column * self._weight, self._hidden[-1], 0)  # ReLU passes it where it was above 0
        for below, ((layer, layer_gradient), (_, bias_gradient)) in zip(self._hidden[-2::-1], self._upper[::-1]):
            layer_gradient.copy_(torch.bmm(delta.mT, below))
            torch.sum(delta, 1, out=bias_gradient)
            delta = _threshold_backward(torch.bmm(delta, layer), below, 0)
        (first, first_gradient), (_, bias_gradient) = self._first
        width = self._p.shape[2]
        user_delta = delta.view(*slope.shape, -1).sum(2)
        torch.sum(user_delta, 1, out=bias_gradient)
        first_gradient[..., :width] = torch.bmm(user_delta.mT, self._p)
        first_gradient[..., width:] = torch.bmm(delta.mT, self._q)
        self._users.give(torch.bmm(user_delta, first[..., :width]))
        self._items.give(torch.bmm(delta, first[..., width:]))


class ClosedForm:
    """The forward and backward passes of S models, all GMF, all MLP or all NeuMF, of one shape."""

    def __init__(self, models: Sequence[Recommender]) -> None:
        self.flat = FlatParameters(models)
        self._towers = _towers(models[0], self.flat)
        (weight, gradient), self._bias = (self.flat.parameter(f"output.{name}") for name in ("weight", "bias"))
        widths = [width for _, width in self._towers]
        self._weights = list(zip(weight[:, 0].split(widths, 1), gradient[:, 0].split(widths, 1), strict=True))

    @torch.no_grad()
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (S, B) and items (S, B, 1+K) -> logits (S, B, 1+K); of one model also (B,), (B, 1+K) -> (B, 1+K)."""
        shape, runs = items.shape, len(self.flat.values)
        users, items = users.view(runs, -1), items.view(runs, -1, shape[-1])
        logits = self._bias[0][..., None].expand(items.shape)
        for (tower, _), (weight, _) in zip(self._towers, self._weights, strict=True):
            logits = logits + tower.forward(users, items, weight)
        return logits.view(shape)

    @torch.no_grad()
    def backward(self, slope: Tensor) -> None:
        """Put the gradients in place, given those by the logits of the last forward pass, of the same shape."""
        slope = slope.view(len(self.flat.values), -1, slope.shape[-1])
        torch.sum(slope, (1, 2), out=self._bias[1][:, 0])
        for (tower, _), (_, gradient) in zip(self._towers, self._weights, strict=True):
            tower.backward(slope, gradient)


def supports(model: Recommender) -> bool:
    """Whether `ClosedForm` knows the model's gradients; a subclass may have changed the formula."""
    return type(model) in (GMF, MLP, NeuMF)


def _towers(model: Recommender, flat: FlatParameters) -> list[tuple[_GMFPass | _MLPPass, int]]:
    """The passes of the model's towers, each with the number of its features, in the order of the output weights."""
    towers: list[tuple[_GMFPass | _MLPPass, int]] = []
    for name, tower in model.named_children():
        if isinstance(tower, GMFTower):
            towers.append((_GMFPass(flat, name), tower.users.embedding_dim))
        elif isinstance(tower, MLPTower):
            depth = 1 + len(tower.upper)
            towers.append((_MLPPass(flat, name, depth), [tower.first, *tower.upper][-1].out_features))
    return towers
