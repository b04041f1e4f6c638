"""Thompson sampling from the exact posterior of a factor model, by Gibbs sampling."""

import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.simulation.agents.thompson import Factors, Mean, Positive, Sweeps, refuse_more_factors
from ncf.simulation.base import Agent, Recommendations, State, best_of, unknown
from ncf.simulation.gaussians import bartlett, drawn_by_precision, outer, quadratic, unpacked
from ncf.simulation.interactions import Interactions, Rows

_ROWS_AT_ONCE = 2**15


class Gibbs(Agent):
    """Keeps one draw of all users, items, priors and the noise, and moves it by `sweeps` sweeps after each period.

    Recommends the best item by that draw, as Kawale et al. 2015 do with particles. In the long run the draws are those
    of the posterior itself, correlations included; but all users of a period share one draw of the items. The priors
    are drawn from their posterior (Salakhutdinov and Mnih 2008), the precision of the noise likewise.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, factors: Factors,
        prior_mean: Mean, prior_variance: Positive, noise: Positive, sweeps: Sweeps,
    ) -> None:  # fmt: skip
        super().__init__(num_users, num_items, seed, device)
        refuse_more_factors(factors, num_items)
        self._sweeps, self.tau = sweeps, noise**-2
        self.seen = Interactions(num_users, num_items, device)
        stream = generator(seed, "initialisation", device=device)
        self._first = torch.eye(factors, dtype=torch.float64, device=device) * prior_variance
        self.means = [self._first.new_full((factors,), prior_mean) for _ in range(2)]
        self.precisions = [torch.linalg.inv(self._first) for _ in range(2)]
        normals = [
            torch.randn(size, factors, generator=stream, dtype=torch.float64, device=device)
            for size in (num_users, num_items)
        ]
        self.sides = [prior_mean + prior_variance**0.5 * normal for normal in normals]

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        scores, items = best_of(self._score(users))
        return Recommendations(items, scores, unknown(items))

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self.seen.add(users, items, rewards)
        stream = self.learning()
        for _ in range(self._sweeps):
            for side, rows in enumerate((self.seen.by_user(), self.seen.by_item())):
                self.sides[side] = self._half_step(side, rows, stream)
                self._draw_prior(side, stream)
            self._draw_noise(stream)

    def _half_step(self, side: int, rows: Rows, stream: torch.Generator) -> Tensor:
        """Draw the vectors (R, D) of one side, given those of the other."""
        other, size = self.sides[1 - side], len(rows.starts) - 1
        moments, factors = outer(other), other.shape[1]
        parts = []
        for first in range(0, size, _ROWS_AT_ONCE):
            part = rows.part(first, min(first + _ROWS_AT_ONCE, size))
            precisions = self.precisions[side] + self.tau * unpacked(part.counted(moments), factors)
            right = self.precisions[side] @ self.means[side] + self.tau * part.summed(other)
            parts.append(drawn_by_precision(precisions, right, stream))
        return torch.cat(parts)

    def _draw_prior(self, side: int, stream: torch.Generator) -> None:
        """Draw mean and precision of a side's prior, given its vectors; the first covariance counts as D + 2 rows."""
        vectors = self.sides[side]
        rows, size = vectors.shape
        average = vectors.mean(0)
        away = vectors - average
        scale = torch.linalg.inv(away.T @ away + size * self._first)
        factor = torch.linalg.cholesky(scale) @ bartlett(1, size, rows + size, stream, vectors.device)[0]
        self.precisions[side] = factor @ factor.T
        self.means[side] = drawn_by_precision(
            rows * self.precisions[side][None], rows * (self.precisions[side] @ average)[None], stream
        )[0]

    def _draw_noise(self, stream: torch.Generator) -> None:
        users, items = self.sides
        rows, seen = self.seen.by_item(), self.seen
        cross = (rows.summed(users) * items).sum()
        second = (rows.counted(outer(users)) * quadratic(items)).sum()
        errors = max(float(seen.squares - 2 * cross + second), 1e-6 * seen.total)
        shape = torch.full((), seen.total / 2, dtype=torch.float64, device=items.device)
        self.tau = float(torch._standard_gamma(shape, generator=stream)) / (errors / 2)

    def _score(self, users: Tensor) -> Tensor:
        return self.sides[0][users] @ self.sides[1].T

    def _state(self) -> State:
        state = {"tau": torch.tensor(self.tau, dtype=torch.float64), **self.seen.state()}
        for name, side in (("users", 0), ("items", 1)):
            state |= {f"{name}.draw": self.sides[side], f"{name}.mean": self.means[side]}
            state |= {f"{name}.precision": self.precisions[side]}
        return state

    def _load(self, state: State) -> None:
        self.seen.load(state)
        self.tau = float(state["tau"])
        for name, side in (("users", 0), ("items", 1)):
            self.sides[side], self.means[side] = state[f"{name}.draw"], state[f"{name}.mean"]
            self.precisions[side] = state[f"{name}.precision"]
