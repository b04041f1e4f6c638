"""Adam whose step costs what the batch costs: rows of embeddings are brought up to date when they are looked up.

Dense Adam moves every row at every step, also those without a gradient, because their moments decay. Here a row
waits, and the updates that it missed are applied at once, in closed form, before it is next read.

The missed updates. A row last updated at step t has moments m and v. With a gradient of 0, Adam (Kingma and Ba 2015,
algorithm 1) moves it at step t + k by

    -lr a_k u_k m / (sqrt(v) + eps u_k),  a_k = b1^k / (1 - b1^(t+k)),  u_k = b2^(-k/2) sqrt(1 - b2^(t+k)).

Over k = 1..n this is a sum of one function f(u) = u / (sqrt(v) + eps u) with weights a_k. Its moments are separable,

    M_j = sum_k a_k u_k^j = D_j(t) - r_j^n D_j(t+n),  r_j = b1 b2^(-j/2),  D_j(t) = r_j (G_j(t+1) + D_j(t+1)),
    G_j(s) = (1 - b2^s)^(j/2) / (1 - b1^s),

so D_j is a table, constant once b2^s is lost in double precision. Where eps is negligible the sum is M_1 / sqrt(v):
exact. In general it is the two-point Gauss quadrature that has the moments M_0 to M_3: exact also where eps is all
that counts (M_0 / eps), and between the two as good as u_k is even. It is uneven in the first steps of training,
where the first missed updates are therefore summed one by one.
"""

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.adam import Adam
from torch.optim.adam import adam as adam_step

from ncf.errors import ConfigError
from ncf.training.step import LazyOptimizer

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # of Adam, as published and as torch.optim.Adam has them
_HORIZON = math.ceil(53 * math.log(2) / -math.log(_BETA2))  # the steps after which 1 - b2^s is 1 in double precision
_EARLY = 256  # a row last touched at a later step needs no explicit sum
_EXPLICIT = 40  # updates summed one by one: those after them weigh b1^40 = 1.5% together
_CHUNK_ROWS = 2**12  # rows brought up to date at once by `flush`


class MissedUpdates:
    """The sum of the updates that rows missed, for m = 1 and lr = 1. Relative error below 2e-7."""

    def __init__(self, device: torch.device) -> None:
        ratios = [_BETA1 * _BETA2 ** (-j / 2) for j in range(4)]
        tails = torch.tensor([_tails(j, ratio) for j, ratio in enumerate(ratios)], dtype=torch.float64)
        self._tails = tails.T.contiguous().to(device)  # (steps, 4): D_j(t)
        self._log_ratios = torch.tensor(ratios, dtype=torch.float64, device=device).log()

    def total(self, root: Tensor, last: Tensor, now: Tensor) -> Tensor:
        """The sum over the steps last + 1 to now, (R, D).

        Args:
            root: sqrt(v) of the rows as it was at step `last`, (R, D).
            last: (R,) int64, the step that each row's moments are from.
            now: () int64, the step to come up to.
        """
        early = ((last > 0) & (last < _EARLY) & (last < now)).nonzero().flatten()
        done = torch.zeros_like(last)
        done[early] = (now - last[early]).clamp(max=_EXPLICIT)
        total = self._closed(root, last, done, now - last)
        if len(early):
            total[early] += _one_by_one(root[early], last[early], done[early])
        return total

    def _closed(self, root: Tensor, last: Tensor, first: Tensor, missed: Tensor) -> Tensor:
        """The sum over k = first + 1 to missed, each (R,)."""
        weights, nodes = gauss(self._beyond(last, first) - self._beyond(last, missed))
        scaled = (weights * nodes).to(root.dtype)
        shift = (_EPS * nodes).to(root.dtype)
        return scaled[:, :1] / (root + shift[:, :1]) + scaled[:, 1:] / (root + shift[:, 1:])

    def _beyond(self, last: Tensor, first: Tensor) -> Tensor:
        """sum_k a_k u_k^j over all k > first: r_j^first D_j(last + first), (R, 4)."""
        tails = self._tails.index_select(0, (last + first).clamp(max=_HORIZON))
        return (first[:, None] * self._log_ratios).exp() * tails


def _tails(j: int, ratio: float) -> list[float]:
    """D_j(t) for t = 0 to the horizon, from its end, where it is ratio / (1 - ratio), backwards."""
    terms = (
        (1 - _BETA2**step) ** (j / 2) / (1 - _BETA1**step) for step in range(_HORIZON, 0, -1)
    )  # G_j(t+1) of the last t first
    return list(accumulate(terms, lambda tail, term: ratio * (term + tail), initial=ratio / (1 - ratio)))[::-1]


def gauss(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and nodes, both (R, 2), of the two-point distribution with these moments M_0 to M_3 (R, 4).

    Where all mass lies at one point both nodes are that point; where there is none the weights are 0.
    """
    mass = moments[:, 0]
    mean, second, third = (moments[:, 1:] / mass.clamp(min=1e-300)[:, None]).unbind(1)
    variance = second - mean.square()
    spread = variance > 1e-10 * mean.square()  # less is rounding: two different steps differ by more
    variance = torch.where(spread, variance, 0.0)
    skew = third - mean * (3 * second - 2 * mean.square())
    shift = torch.where(spread, skew / (2 * variance), 0.0)
    half = (shift.square() + variance).sqrt().clamp(min=1e-30)
    upper = (half - shift) / (2 * half)
    nodes = torch.stack([mean + shift - half, mean + shift + half], dim=1)
    # No u_k is smaller: this changes only the nodes of rows that missed nothing, and keeps 0 / 0 away from them.
    return torch.stack([1 - upper, upper], dim=1) * mass[:, None], nodes.clamp(min=math.sqrt(1 - _BETA2))


def _one_by_one(root: Tensor, last: Tensor, count: Tensor) -> Tensor:
    """The sum over k = 1 to `count` (R,), term by term; root is sqrt(v) (R, D) at step `last` (R,)."""
    k = torch.arange(1, int(count.max()) + 1, device=last.device)
    step = last[:, None] + k
    node = torch.sqrt(1 - _BETA2 ** step.double()) * _BETA2 ** (-k.double() / 2)  # (R, count)
    weight = torch.where(k <= count[:, None], _BETA1 ** k.double() / (1 - _BETA1 ** step.double()), 0.0)
    scaled, shift = (weight * node).to(root.dtype), (_EPS * node).to(root.dtype)
    return (scaled[..., None] / (root[:, None] + shift[..., None])).sum(1)


class _Table:
    """One embedding's weight (R, D) and the moments of its rows; row i is as dense Adam has it after step last[i]."""

    def __init__(self, weight: Tensor, lr: float, missed: MissedUpdates) -> None:
        self.weight, self.lr, self._missed = weight, lr, missed
        self.exp_avg, self.exp_avg_sq = (torch.zeros_like(weight, requires_grad=False) for _ in range(2))
        self.last = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
        self.step = torch.zeros((), dtype=torch.int64, device=weight.device)  # of the whole table
        self.current = False  # whether every row is known to be up to date

    @torch.no_grad()
    def catch_up(self, rows: Tensor) -> None:
        """Apply what `rows` (any shape, repeats allowed) missed. Raises IndexError for a row that is not there."""
        if self.current:
            return
        rows = rows.unique()
        last = self.last.index_select(0, rows)
        weight, mean, square = (t.index_select(0, rows) for t in (self.weight, self.exp_avg, self.exp_avg_sq))
        missed = (self.step - last)[:, None].double()
        weight -= self.lr * mean * self._missed.total(square.sqrt(), last, self.step)
        mean *= (_BETA1**missed).to(mean.dtype)
        square *= (_BETA2**missed).to(square.dtype)
        self._store(rows, weight, mean, square)

    def _store(self, rows: Tensor, weight: Tensor, mean: Tensor, square: Tensor) -> None:
        self.weight.index_copy_(0, rows, weight)
        self.exp_avg.index_copy_(0, rows, mean)
        self.exp_avg_sq.index_copy_(0, rows, square)
        self.last.index_copy_(0, rows, self.step.expand(len(rows)))

    def update(self, found_inf: Tensor | None) -> None:
        """Adam's step on the rows that have a gradient, which are up to date; none at all if `found_inf` () is 1.

        Raises:
            ConfigError: the gradient is dense, because the weight was read otherwise than by looking rows up.
        """
        if self.weight.grad is None:
            return
        if not self.weight.grad.is_sparse:
            raise ConfigError(
                "optimizer: row_adam expected embeddings that are only looked up, found one whose whole weight "
                "enters the loss; optimizer=adam trains it"
            )
        gradient = self.weight.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        weight, mean, square = (t.index_select(0, rows) for t in (self.weight, self.exp_avg, self.exp_avg_sq))
        adam_step(
            [weight], [values], [mean], [square], [], [self.step.float()], fused=True, found_inf=found_inf,
            amsgrad=False, beta1=_BETA1, beta2=_BETA2, lr=self.lr, weight_decay=0.0, eps=_EPS, maximize=False,
        )  # fmt: skip
        self.step += 1 if found_inf is None else (1 - found_inf).long()
        self._store(rows, weight, mean, square)
        self.current = False

    def flush(self) -> None:
        """Bring every row up to date."""
        for rows in torch.arange(len(self.weight), device=self.weight.device).split(_CHUNK_ROWS):
            self.catch_up(rows)
        self.current = True

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the weight."""
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq, "last": self.last, "step": self.step}


class RowAdam(LazyOptimizer):
    """Adam at a constant learning rate, equal to torch.optim.Adam but for rounding.

    Embeddings of `model` get sparse gradients, and a hook that brings rows up to date before they are looked up. Who
    reads a weight otherwise calls `flush` first. All other parameters are stepped by the fused Adam.
    """

    found_inf: Tensor | None = None  # () 1 if the step is to be skipped: the convention of torch's fused optimisers

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__(model.parameters(), {"lr": lr})
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight.requires_grad]
        missed = MissedUpdates(next(model.parameters()).device)
        tables = {module.weight: _Table(module.weight, lr, missed) for module in embeddings}
        for module in embeddings:
            module.sparse = True
            table = tables[module.weight]
            module.register_forward_pre_hook(lambda _, rows, table=table: table.catch_up(rows[0]))
        self._tables = list(tables.values())
        others = [p for p in model.parameters() if p not in tables]
        self._others = Adam([{"params": others}], lr, (_BETA1, _BETA2), _EPS, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on the gradients that are there. Raises ConfigError for an embedding with a dense gradient."""
        self._others.found_inf = self.found_inf  # type: ignore[attr-defined]
        self._others.step()
        for table in self._tables:
            table.update(self.found_inf)

    def flush(self) -> None:
        """Bring every row of every embedding up to date: cost follows the catalogue, once an epoch."""
        for table in self._tables:
            table.flush()

    def state_dict(self) -> dict[str, Any]:
        """The moments and the steps that rows stand at; with the weights as they are, all that a resumed run needs."""
        return {"others": self._others.state_dict(), "tables": [table.state() for table in self._tables]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Stand where the optimiser that gave `state_dict` stood; the model's weights are loaded apart."""
        self._others.load_state_dict(state_dict["others"])
        for table, saved in zip(self._tables, state_dict["tables"], strict=True):
            for name, tensor in table.state().items():
                tensor.copy_(saved[name])
            table.current = False


def row_adam(model: nn.Module, *, lr: Annotated[float, Field(gt=0)]) -> RowAdam:
    """Adam for large catalogues. It has no weight decay: that would touch every row at every step."""
    return RowAdam(model, lr)
