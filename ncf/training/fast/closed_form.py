"""Closed-form logits and gradients of GMF, MLP and NeuMF, for S runs at once.

They equal autograd's up to rounding. A step of a small model is a hundred small operations, and autograd's bookkeeping
costs more than they do (docs/decisions/0006). The parameters of a run lie one after the other in one tensor, and so do
its gradients, so that an optimizer updates them all in one operation.

Shapes: S runs, B groups of n = 1 + K rows, D factors, H units of a layer, N parameters of a run, M looked-up rows.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ncf.models import GMF, MLP, Dropout, GradientRecommender, NeuMF
from ncf.models.gmf import GMFTower
from ncf.models.mlp import MLPTower

_GATHER_COST = 4  # approximate cost of gathering a value first, relative to reading it in place

_threshold_backward = torch.ops.aten.threshold_backward


class FlatParameters:
    """The parameters of S models of one shape as `values` (S, N), their gradients as `gradients` (S, N).

    The models' own parameters and gradients become views of these tensors; the parameters keep their values.
    """

    def __init__(self, models: Sequence[GradientRecommender]) -> None:
        named = [dict(model.named_parameters()) for model in models]
        like = next(iter(named[0].values()))
        self._layout: dict[str, tuple[int, torch.Size]] = {}
        offset = 0
        for name, parameter in sorted(named[0].items(), key=lambda entry: not _is_embedding(entry[0])):
            self._layout[name] = offset, parameter.shape
            offset += parameter.numel()
        # A multiple of every embedding's width, so that its rows in all runs form one strided matrix: see `embedding`.
        stride = math.lcm(16, *(shape[1] for name, (_, shape) in self._layout.items() if _is_embedding(name)))
        size = -(-offset // stride) * stride
        self.values = torch.zeros(len(models), size, dtype=like.dtype, device=like.device)
        self.gradients = torch.zeros_like(self.values)
        # On a CPU, a step zeroes only the gradient rows that the last one wrote; a CUDA graph cannot know which.
        self.clear_rows = not like.is_cuda
        embeddings = sum(parameter.numel() for name, parameter in named[0].items() if _is_embedding(name))
        self.dense_gradients = self.gradients[:, embeddings:]  # of everything but the embeddings
        for name in self._layout:
            values, gradients = self.parameter(name)
            for parameters, value, gradient in zip(named, values, gradients, strict=True):
                parameters[name].data = value.copy_(parameters[name].detach())
                parameters[name].grad = gradient

    def parameter(self, name: str) -> tuple[Tensor, Tensor]:
        """Return values and gradients of parameter `name` in all runs: each (S, *shape)."""
        offset, shape = self._layout[name]
        part = slice(offset, offset + shape.numel())
        return self.values[:, part].unflatten(1, shape), self.gradients[:, part].unflatten(1, shape)

    def embedding(self, name: str) -> "_Embedding":
        """Return the embedding `name` of all runs."""
        offset, (rows, width) = self._layout[name]
        stride = self.values.shape[1] // width  # in rows, from one run to the next
        shape = (len(self.values) - 1) * stride + rows, width
        values, gradients = (flat.as_strided(shape, (width, 1), offset) for flat in (self.values, self.gradients))
        first = stride * torch.arange(len(self.values), device=values.device)[:, None]
        return _Embedding(self, values, gradients, first)


def _is_embedding(name: str) -> bool:
    return name.endswith(("users.weight", "items.weight"))


class _Embedding:
    """S embeddings as the rows of one matrix; run s starts at row `first`[s] (S, 1)."""

    def __init__(self, flat: FlatParameters, values: Tensor, gradients: Tensor, first: Tensor) -> None:
        self._flat, self._values, self._gradients, self._first = flat, values, gradients, first
        self.width = values.shape[1]
        self._rows = self._written = first.new_empty(0)

    def __call__(self, index: Tensor) -> Tensor:
        """index (S, M) -> rows (S, M, D)."""
        self._rows = index.flatten() if len(index) == 1 else (index + self._first).flatten()
        return self._values.index_select(0, self._rows).view(*index.shape, -1)

    def set_gradient(self, gradient: Tensor) -> None:
        """Set the gradients (S, M, D) of the rows looked up last; those of repeated rows are summed."""
        if self._flat.clear_rows:
            self._gradients.index_fill_(0, self._written, 0)  # the rest is zero already
        self._gradients.index_add_(0, self._rows, gradient.reshape(len(self._rows), -1))
        self._written = self._rows

    def touched_size(self) -> int:
        """Return the number of values in `touched`."""
        return len(self._written) * self.width

    def touched(self) -> Tensor:
        """Return the gradients of the rows written last, repeats included: (S M, D)."""
        return self._gradients.index_select(0, self._written)


class _Linear:
    """A linear layer of all runs: weight (S, out, in), bias (S, 1, out), and their gradients."""

    def __init__(self, flat: FlatParameters, name: str) -> None:
        self.weight, self.weight_gradient = flat.parameter(f"{name}.weight")
        bias, self.bias_gradient = flat.parameter(f"{name}.bias")
        self.bias = bias[:, None]


class _GMFPass:
    """The contribution of GMF towers to the logits; `weight` and its gradient: the output weights (S, D)."""

    def __init__(self, flat: FlatParameters, tower: str, weight: Tensor, weight_gradient: Tensor) -> None:
        self._users, self._items = flat.embedding(f"{tower}.users.weight"), flat.embedding(f"{tower}.items.weight")
        self._weight, self._weight_gradient = weight[:, None], weight_gradient

    def forward(self, users: Tensor, items: Tensor, logits: Tensor) -> Tensor:
        """users (S, B), items (S, B, n) -> `logits` (S, B, n) plus the contribution of this tower."""
        groups, rows = users.numel(), items.shape[2]
        self._p = self._users(users)
        self._q = self._items(items.view(len(users), -1)).view(groups, rows, -1)
        self._pw = self._p * self._weight
        return torch.baddbmm(logits.reshape(groups, rows, 1), self._q, self._pw.view(groups, -1, 1)).view(items.shape)

    def backward(self, logit_grad: Tensor) -> None:
        """Compute the gradients from those of the logits, `logit_grad` (S, B, n)."""
        # (S, B, D): the sum over a group's items of logit gradient times item vector
        summed = torch.bmm(logit_grad.view(-1, 1, logit_grad.shape[2]), self._q).view(self._p.shape)
        torch.sum(summed * self._p, 1, out=self._weight_gradient)
        self._users.set_gradient(summed.mul_(self._weight))
        self._items.set_gradient(logit_grad[..., None] * self._pw[:, :, None])


class _MLPPass:
    """The contribution of MLP towers to the logits; `weight` and its gradient: the output weights (S, H)."""

    def __init__(self, flat: FlatParameters, tower: str, depth: int, weight: Tensor, weight_gradient: Tensor) -> None:
        self._users, self._items = flat.embedding(f"{tower}.users.weight"), flat.embedding(f"{tower}.items.weight")
        self._first = _Linear(flat, f"{tower}.first")
        self._upper = [_Linear(flat, f"{tower}.upper.{i}") for i in range(depth - 1)]
        width = self._users.width
        self._user_weight, self._item_weight = (w.mT for w in self._first.weight.tensor_split([width], -1))
        self._user_gradient, self._item_gradient = self._first.weight_gradient.tensor_split([width], -1)
        self._row, self._column, self._weight_gradient = weight[:, None], weight[..., None], weight_gradient[:, None]

    def forward(self, users: Tensor, items: Tensor, logits: Tensor) -> Tensor:
        """users (S, B), items (S, B, n) -> `logits` (S, B, n) plus the contribution of this tower."""
        self._p, self._q = self._users(users), self._items(items.view(len(users), -1))
        user_half = torch.baddbmm(self._first.bias, self._p, self._user_weight)
        hidden = torch.bmm(self._q, self._item_weight)
        hidden.view(*items.shape, -1).add_(user_half[:, :, None]).relu_()
        self._hidden = [hidden]
        for layer in self._upper:
            hidden = torch.baddbmm(layer.bias, hidden, layer.weight.mT).relu_()
            self._hidden.append(hidden)
        return torch.baddbmm(logits.reshape(len(users), -1, 1), hidden, self._column).view(items.shape)

    def backward(self, logit_grad: Tensor) -> None:
        """Compute the gradients from those of the logits, `logit_grad` (S, B, n)."""
        column = logit_grad.view(len(logit_grad), -1, 1)
        self._weight_gradient.copy_(torch.bmm(column.mT, self._hidden[-1]))
        delta = _threshold_backward(column * self._row, self._hidden[-1], 0)  # zero where ReLU gave 0
        for below, layer in zip(self._hidden[-2::-1], self._upper[::-1]):
            layer.weight_gradient.copy_(torch.bmm(delta.mT, below))
            torch.sum(delta, 1, out=layer.bias_gradient)
            delta = _threshold_backward(torch.bmm(delta, layer.weight), below, 0)
        user_delta = delta.view(*logit_grad.shape, -1).sum(2)
        torch.sum(user_delta, 1, out=self._first.bias_gradient)
        self._user_gradient.copy_(torch.bmm(user_delta.mT, self._p))
        self._item_gradient.copy_(torch.bmm(delta.mT, self._q))
        self._users.set_gradient(torch.bmm(user_delta, self._user_weight.mT))
        self._items.set_gradient(torch.bmm(delta, self._item_weight.mT))


class ClosedForm:
    """Forward and backward passes of S models of one shape: all GMF, all MLP or all NeuMF."""

    def __init__(self, models: Sequence[GradientRecommender]) -> None:
        self.flat = FlatParameters(models)
        output = _Linear(self.flat, "output")
        self._bias, self._bias_gradient = output.bias, output.bias_gradient[:, 0]
        self._towers: list[_GMFPass | _MLPPass] = []
        offset = 0
        for name, tower in models[0].named_children():
            if isinstance(tower, GMFTower | MLPTower):
                features = slice(offset, offset := offset + tower.features)
                weights = output.weight[:, 0, features], output.weight_gradient[:, 0, features]
                self._towers.append(
                    _GMFPass(self.flat, name, *weights)
                    if isinstance(tower, GMFTower)
                    else _MLPPass(self.flat, name, 1 + len(tower.upper), *weights)
                )

    @torch.inference_mode()
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (S, B) and items (S, B, 1+K) -> logits (S, B, 1+K); for one model also (B,), (B, 1+K) -> (B, 1+K)."""
        shape, runs = items.shape, len(self.flat.values)
        users, items = users.view(runs, -1), items.view(runs, -1, shape[-1])
        logits = self._bias.expand(items.shape)
        for tower in self._towers:
            logits = tower.forward(users, items, logits)
        return logits.view(shape)

    @torch.inference_mode()
    def backward(self, logit_grad: Tensor) -> None:
        """Compute the gradients from those of the last forward pass's logits: (S, B, 1+K) or (B, 1+K)."""
        logit_grad = logit_grad.view(len(self.flat.values), -1, logit_grad.shape[-1])
        if not self.flat.clear_rows:
            self.flat.gradients.zero_()
        torch.sum(logit_grad, (1, 2), out=self._bias_gradient)
        for tower in self._towers:
            tower.backward(logit_grad)

    def touched(self) -> list[Tensor]:
        """Return all gradients that the last backward pass may have made non-zero, (S, N) or (S M, D), some twice."""
        embeddings = [embedding for tower in self._towers for embedding in (tower._users, tower._items)]
        touched = sum(embedding.touched_size() for embedding in embeddings)
        if not self.flat.clear_rows or _GATHER_COST * touched > self.flat.gradients.numel():
            return [self.flat.gradients]
        return [self.flat.dense_gradients, *(embedding.touched() for embedding in embeddings)]


def supports(model: GradientRecommender) -> bool:
    """Return whether `ClosedForm` covers the model: it has GMF's, MLP's or NeuMF's `forward` and towers, no dropout."""
    if any(isinstance(part, Dropout) and part.p > 0 for part in model.modules()):
        return False
    towers = {type(part) for part in model.children()} - {nn.Linear}
    return type(model).forward in (GMF.forward, MLP.forward, NeuMF.forward) and towers <= {GMFTower, MLPTower}
