"""Adam whose step costs what the batch costs: embedding rows are brought up to date only when they are looked up.

Dense Adam moves every row at every step, even rows without a gradient, because their moments decay. Here a row waits,
and the updates that it missed are applied at once, in closed form, before it is next read.

The missed updates. A row last updated at step t has moments m and v. With a gradient of 0, Adam (Kingma and Ba 2015,
algorithm 1) moves it at step t + k by

    -lr a_k u_k m / (sqrt(v) + eps u_k),  a_k = b1^k / (1 - b1^(t+k)),  u_k = b2^(-k/2) sqrt(1 - b2^(t+k)).

Over k = 1..n this is a sum of one function f(u) = u / (sqrt(v) + eps u) with weights a_k. Its moments are separable,

    M_j = sum_k a_k u_k^j = D_j(t) - r_j^n D_j(t+n),  r_j = b1 b2^(-j/2),  D_j(t) = r_j (G_j(t+1) + D_j(t+1)),
    G_j(s) = (1 - b2^s)^(j/2) / (1 - b1^s),

so D_j is tabulated up to the step where b2^s vanishes in double precision. Where eps is negligible the sum is exactly
M_1 / sqrt(v). In general it is approximated by the two-point Gauss quadrature with the moments M_0 to M_3, which is
also exact where eps dominates (M_0 / eps), and in between more accurate the less u_k varies. u_k varies most in the
first steps of training, where the first missed updates are therefore summed one by one.
"""

import math
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.adam import Adam
from torch.optim.adam import adam as adam_step

from ncf.errors import ConfigError
from ncf.training.base import LazyOptimizer

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # the defaults of the paper and of torch.optim.Adam
_HORIZON = math.ceil(53 * math.log(2) / -math.log(_BETA2))  # from this step on, 1 - b2^s is 1 in double precision
_EARLY = 256  # a row last updated at this step or later needs no explicit sum
_EXPLICIT = 40  # updates summed one by one; all later ones together weigh b1^40 = 1.5%
_CHUNK_ROWS = 2**12  # rows brought up to date at once by `flush`


class MissedUpdates:
    """Sums the updates that rows missed, for m = 1 and lr = 1, with a relative error below 2e-7."""

    def __init__(self, device: torch.device) -> None:
        ratios = [_BETA1 * _BETA2 ** (-j / 2) for j in range(4)]
        tails = torch.tensor([_tails(j, ratio) for j, ratio in enumerate(ratios)], dtype=torch.float64)
        self._tails = tails.T.contiguous().to(device)  # (steps, 4): D_j(t)
        self._log_ratios = torch.tensor(ratios, dtype=torch.float64, device=device).log()

    def total(self, root: Tensor, last: Tensor, now: Tensor) -> Tensor:
        """Return the sum over the steps last + 1 to now, (R, D).

        Args:
            root: sqrt(v) of the rows at step `last`, (R, D).
            last: (R,) int64, the step at which each row was last updated.
            now: () int64, the current step.
        """
        early = ((last > 0) & (last < _EARLY) & (last < now)).nonzero().flatten()
        done = torch.zeros_like(last)
        done[early] = (now - last[early]).clamp(max=_EXPLICIT)
        total = self._closed(root, last, done, now - last)
        if len(early):
            total[early] += _one_by_one(root[early], last[early], done[early])
        return total

    def _closed(self, root: Tensor, last: Tensor, first: Tensor, missed: Tensor) -> Tensor:
        """Return the quadrature of the sum over k = first + 1 to missed, both (R,)."""
        weights, nodes = gauss(self._tail_sums(last, first) - self._tail_sums(last, missed))
        scaled = (weights * nodes).to(root.dtype)
        shift = (_EPS * nodes).to(root.dtype)
        return scaled[:, :1] / (root + shift[:, :1]) + scaled[:, 1:] / (root + shift[:, 1:])

    def _tail_sums(self, last: Tensor, first: Tensor) -> Tensor:
        """Return sum_k a_k u_k^j over all k > first, which is r_j^first D_j(last + first): (R, 4)."""
        tails = self._tails.index_select(0, (last + first).clamp(max=_HORIZON))
        return (first[:, None] * self._log_ratios).exp() * tails


@cache  # constants that take a tenth of a second to compute
def _tails(j: int, ratio: float) -> list[float]:
    """Return D_j(t) for t = 0 to the horizon, computed backwards from its limit ratio / (1 - ratio)."""
    terms = (
        (1 - _BETA2**step) ** (j / 2) / (1 - _BETA1**step) for step in range(_HORIZON, 0, -1)
    )  # G_j(t+1) of the last t first
    return list(accumulate(terms, lambda tail, term: ratio * (term + tail), initial=ratio / (1 - ratio)))[::-1]


def gauss(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and nodes, both (R, 2), of the two-point distribution with the moments M_0 to M_3 (R, 4).

    If all mass lies at one point, both nodes are that point; if there is none, the weights are 0.
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
    # No u_k is smaller, so the clamp only affects rows that missed nothing, which it protects from 0 / 0.
    return torch.stack([1 - upper, upper], dim=1) * mass[:, None], nodes.clamp(min=math.sqrt(1 - _BETA2))


def _one_by_one(root: Tensor, last: Tensor, count: Tensor) -> Tensor:
    """Return the sum over k = 1 to `count` (R,), term by term; root is sqrt(v) (R, D) at step `last` (R,)."""
    k = torch.arange(1, int(count.max()) + 1, device=last.device)
    step = last[:, None] + k
    node = torch.sqrt(1 - _BETA2 ** step.double()) * _BETA2 ** (-k.double() / 2)  # (R, count)
    weight = torch.where(k <= count[:, None], _BETA1 ** k.double() / (1 - _BETA1 ** step.double()), 0.0)
    scaled, shift = (weight * node).to(root.dtype), (_EPS * node).to(root.dtype)
    return (scaled[..., None] / (root[:, None] + shift[..., None])).sum(1)


class LazyEmbedding:
    """One embedding's weight (R, D) and the moments of its rows; row i is what dense Adam has after step last[i]."""

    def __init__(self, weight: Tensor, lr: float, missed: MissedUpdates) -> None:
        self.weight, self.lr, self._missed = weight, lr, missed
        self.exp_avg, self.exp_avg_sq = (torch.zeros_like(weight, requires_grad=False) for _ in range(2))
        self.last = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
        self.step = torch.zeros((), dtype=torch.int64, device=weight.device)  # number of steps so far
        self.current = False  # whether every row is known to be up to date

    @torch.no_grad()
    def catch_up(self, rows: Tensor) -> None:
        """Apply the updates that `rows` (any shape, may repeat) missed. Raises IndexError for a row out of range."""
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
        """Step the rows that have a gradient, which are up to date, unless `found_inf` () is 1.

        Raises:
            ConfigError: the gradient is dense, because the whole weight was used rather than looked-up rows.
        """
        if self.weight.grad is None:
            return
        if not self.weight.grad.is_sparse:
            raise ConfigError(
                "optimizer: row_adam expected embeddings that are only looked up by row, found one whose whole weight "
                "enters the loss; use optimizer=adam"
            )
        gradient = self.weight.grad.coalesce()
        self.apply(gradient.indices()[0], gradient.values(), found_inf)

    def apply(self, rows: Tensor, values: Tensor, found_inf: Tensor | None) -> None:
        """Step `rows` (R',), distinct and up to date, by their gradients (R', D), unless `found_inf` () is 1."""
        weight, mean, square = (t.index_select(0, rows) for t in (self.weight, self.exp_avg, self.exp_avg_sq))
        adam_step(
            [weight], [values], [mean], [square], [], [self.step.float()], fused=True, found_inf=found_inf,
            amsgrad=False, beta1=_BETA1, beta2=_BETA2, lr=self.lr, weight_decay=0.0, eps=_EPS, maximize=False,
        )  # fmt: skip
        self.step += 1 if found_inf is None else (1 - found_inf).long()
        self._store(rows, weight, mean, square)
        self.current = False

    def flush(self) -> None:
        """Apply the updates that any row missed."""
        for rows in torch.arange(len(self.weight), device=self.weight.device).split(_CHUNK_ROWS):
            self.catch_up(rows)
        self.current = True

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed run needs besides the weight."""
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq, "last": self.last, "step": self.step}


class RowAdam(LazyOptimizer):
    """Adam at a constant learning rate, equal to torch.optim.Adam up to rounding.

    Embeddings of `model` get sparse gradients, and a hook that brings rows up to date before they are looked up. Call
    `flush` before reading a weight in any other way. All other parameters use torch's fused Adam.
    """

    found_inf: Tensor | None = None  # () 1 to skip the step, as in torch's fused optimizers

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__(model.parameters(), {"lr": lr})
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight.requires_grad]
        missed = MissedUpdates(next(model.parameters()).device)
        lazy = {module.weight: LazyEmbedding(module.weight, lr, missed) for module in embeddings}
        for module in embeddings:
            module.sparse = True
            own = lazy[module.weight]
            module.register_forward_pre_hook(lambda _, rows, own=own: own.catch_up(rows[0]))
        self._embeddings = list(lazy.values())
        others = [p for p in model.parameters() if p not in lazy]
        self._others = Adam([{"params": others}], lr, (_BETA1, _BETA2), _EPS, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient. Raises ConfigError for an embedding with a dense gradient."""
        self._others.found_inf = self.found_inf  # type: ignore[attr-defined]
        self._others.step()
        for embedding in self._embeddings:
            embedding.update(self.found_inf)

    def flush(self) -> None:
        """Bring all rows of all embeddings up to date; costs time proportional to the catalogue."""
        for embedding in self._embeddings:
            embedding.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return the moments and the step of each row; with the current weights, all that a resumed run needs."""
        return {"others": self._others.state_dict(), "tables": [embedding.state() for embedding in self._embeddings]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict()` returned; the model's weights are loaded separately."""
        self._others.load_state_dict(state_dict["others"])
        for embedding, saved in zip(self._embeddings, state_dict["tables"], strict=True):
            for name, tensor in embedding.state().items():
                tensor.copy_(saved[name])
            embedding.current = False


def row_adam(model: nn.Module, *, lr: Annotated[float, Field(gt=0)]) -> RowAdam:
    """Adam for large catalogues, without weight decay, which would change every row at every step."""
    return RowAdam(model, lr)
