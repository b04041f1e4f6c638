"""Mean-field variational Bayes for matrix factorisation: a Gaussian for each user and each item.

A reward is u_u . v_i + noise of precision tau, with u ~ N(mu_U, Sigma_U) and v ~ N(mu_V, Sigma_V). The posterior is
approximated by a product of Gaussians, one for each user and item (Lim and Teh 2007); given those of the items, a
user's is that of Bayesian linear regression with the items' second moments in place of their outer products. The
priors are set to what maximises the bound after each half of a sweep (empirical Bayes), and tau too if asked for: with
few rewards a user and tastes that cancel out on average, calling everything noise is then a maximum of the bound.
"""

import torch
from torch import Tensor

from ncf.simulation.base import State
from ncf.simulation.gaussians import Gaussians, doubled, draw, outer, packed, quadratic, solved, unpacked
from ncf.simulation.interactions import Interactions, Rows

_ROWS_AT_ONCE = 2**15  # whose precisions (R, D, D) are held at a time
_SMALLEST_NOISE = 1e-6  # variance of the noise


class Prior:
    """N(mean, covariance) of one side, estimated from its posteriors.

    Attributes:
        mean: (D,).
        precision: (D, D).
    """

    def __init__(self, mean: Tensor, variance: float) -> None:
        self.mean = mean
        self._first = torch.eye(len(mean), dtype=mean.dtype, device=mean.device) * variance
        self.precision = torch.linalg.inv(self._first)

    def fit(self, found: Gaussians, seen: Tensor) -> None:
        """Set mean and covariance to those that maximise the bound for the rows `seen` (R,) bool of `found`.

        The first covariance counts as D further rows: so few rows do not make the prior too sure of itself.
        """
        means, covariances = found if seen.all() else found.rows(seen)  # at a million users, a copy is half a GiB
        size = len(self.mean)
        self.mean = means.mean(0)
        away = means - self.mean
        spread = unpacked(covariances.sum(0, keepdim=True), size)[0] + away.T @ away + size * self._first
        self.precision = torch.linalg.inv(spread / (len(means) + size))


class Posterior:
    """The Gaussians of all users and items, with their priors and the precision of the noise.

    Args:
        num_users: U.
        num_items: I.
        factors: D.
        prior_mean: of every coordinate of both sides; its square times D is the reward expected at first.
        prior_variance: likewise.
        noise: standard deviation of a reward around its mean.
        empirical: whether the priors are estimated; else they stay as they are.
        learn_noise: whether the noise is estimated, from `noise` on.
        stream: draws a small difference between the first means, without which all factors would stay alike.
        device: of all tensors.
    """

    def __init__(
        self, num_users: int, num_items: int, factors: int, *, prior_mean: float, prior_variance: float, noise: float,
        empirical: bool, learn_noise: bool, stream: torch.Generator, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self.factors, self.empirical, self.learn_noise, self.tau = factors, empirical, learn_noise, noise**-2
        mean = torch.full((factors,), prior_mean, dtype=torch.float64, device=device)
        self.priors = Prior(mean, prior_variance), Prior(mean, prior_variance)
        covariance = packed(torch.eye(factors, dtype=torch.float64, device=device)[None] * prior_variance)
        self.sides = [self._first(size, mean, covariance, stream) for size in (num_users, num_items)]

    def _first(self, size: int, mean: Tensor, covariance: Tensor, stream: torch.Generator) -> Gaussians:
        normals = torch.randn(size, self.factors, generator=stream, dtype=torch.float64, device=mean.device)
        return Gaussians(mean + covariance.max().sqrt() / 3 * normals, covariance.repeat(size, 1))

    def sweep(self, seen: Interactions) -> None:
        """Update the Gaussians of all users, then of all items, by all interactions."""
        for side, rows in enumerate((seen.by_user(), seen.by_item())):
            self.sides[side] = self.half_step(side, rows)
            if self.empirical:
                self.priors[side].fit(self.sides[side], rows.starts[1:] > rows.starts[:-1])
        if self.learn_noise:
            self.tau = seen.total / max(self._squared_errors(seen), _SMALLEST_NOISE * seen.total)

    def half_step(self, side: int, rows: Rows) -> Gaussians:
        """Return the Gaussians of side 0, users, or 1, items, given those of the other."""
        other, prior = self.sides[1 - side], self.priors[side]
        moments, size = other.moments(), len(rows.starts) - 1
        found = Gaussians(*(moments.new_empty(size, table.shape[1]) for table in other))
        for first in range(0, size, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, size)
            part = rows.part(first, last)
            precisions = prior.precision + self.tau * unpacked(part.counted(moments), self.factors)
            solution = solved(precisions, prior.precision @ prior.mean + self.tau * part.summed(other.means))
            found.means[first:last], found.covariances[first:last] = solution
        return found

    def _squared_errors(self, seen: Interactions) -> float:
        """Return the expected sum of the squared differences between rewards and u . v, from the items' side."""
        users, items = self.sides
        rows = seen.by_item()
        cross = (rows.summed(users.means) * items.means).sum()
        second = (rows.counted(users.moments()) * doubled(items.moments(), self.factors)).sum()
        return float(seen.squares - 2 * cross + second)

    def means(self, users: Tensor) -> Tensor:
        """Return the expected rewards (B, I) of every item for users (B,)."""
        return self.sides[0].means[users] @ self.sides[1].means.T

    def deviations(self, users: Tensor) -> Tensor:
        """Return the standard deviations (B, I) of u . v under the posterior of users (B,) and items, float32."""
        own, items = self.sides[0].rows(users), self.sides[1]
        variances = doubled(own.moments(), self.factors).float() @ items.covariances.T.float()
        variances += doubled(own.covariances, self.factors).float() @ outer(items.means).T.float()
        return variances.clamp_(min=0).sqrt_()

    def drawn(self, users: Tensor, stream: torch.Generator) -> Tensor:
        """Draw u . v (B, I) for users (B,), float32: a vector for each user, and *for each user* one for each item.

        Given the user's vector x, the scores of items are independent N(x . m_i, x' S_i x), from which they are drawn.
        """
        vectors, items = draw(self.sides[0].rows(users), stream), self.sides[1]
        scores = (quadratic(vectors).float() @ items.covariances.T.float()).clamp_(min=0).sqrt_()
        scores *= torch.randn(scores.shape, generator=stream, dtype=torch.float32, device=scores.device)
        return scores.addmm_(vectors.float(), items.means.T.float())

    def state(self) -> State:
        """Return what `load` takes."""
        state = {"tau": torch.tensor(self.tau, dtype=torch.float64)}
        for name, side, prior in zip(("users", "items"), self.sides, self.priors, strict=True):
            state |= {f"{name}.means": side.means, f"{name}.covariances": side.covariances}
            state |= {f"{name}.prior_mean": prior.mean, f"{name}.prior_precision": prior.precision}
        return state

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self.tau = float(state["tau"])
        for place, (name, prior) in enumerate(zip(("users", "items"), self.priors, strict=True)):
            self.sides[place] = Gaussians(state[f"{name}.means"], state[f"{name}.covariances"])
            prior.mean, prior.precision = state[f"{name}.prior_mean"], state[f"{name}.prior_precision"]
