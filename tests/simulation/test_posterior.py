"""Mean-field variational Bayes, against Bayesian linear regression and brute force."""

import pytest
import torch
from torch import Tensor

from ncf.simulation.gaussians import Gaussians, packed, unpacked
from ncf.simulation.interactions import Interactions
from ncf.simulation.posterior import Posterior, Prior


def posterior(users: int, items: int, factors: int, **settings: object) -> Posterior:
    """A posterior at its first state."""
    chosen = {"prior_mean": 0.5, "prior_variance": 0.1, "noise": 0.1, "empirical": False, "learn_noise": False}
    stream = torch.Generator().manual_seed(0)
    return Posterior(users, items, factors, stream=stream, **{**chosen, **settings})  # type: ignore[arg-type]


def seen(users: list[int], items: list[int], rewards: Tensor, sizes: tuple[int, int]) -> Interactions:
    """Interactions of one period."""
    found = Interactions(*sizes)
    found.add(torch.tensor(users), torch.tensor(items), rewards)
    return found


@pytest.mark.parametrize("times", [1, 3])
def test_one_user_with_fixed_items_is_bayesian_linear_regression(times: int) -> None:
    """Bishop 2006, eq. 3.50 and 3.51, item by item, with items known exactly; a pair may come up several times."""
    stream = torch.Generator().manual_seed(1)
    vectors = torch.randn(7, 4, generator=stream, dtype=torch.float64)
    model = posterior(1, 7, 4)
    model.sides[1] = Gaussians(vectors, torch.zeros(7, 10, dtype=torch.float64))
    rewards = torch.randn(5 * times, generator=stream, dtype=torch.float64)
    items = [0, 2, 3, 5, 6] * times
    found = model.half_step(0, seen([0] * len(items), items, rewards, (1, 7)).by_user())
    mean, precision = torch.full((4,), 0.5, dtype=torch.float64), torch.eye(4, dtype=torch.float64) / 0.1
    for item, reward in zip(items, rewards, strict=True):
        x, right = vectors[item], precision @ mean
        precision = precision + torch.outer(x, x) / 0.01
        mean = torch.linalg.solve(precision, right + x * reward / 0.01)
    assert (found.means[0] - mean).abs().max() < 1e-10
    assert (unpacked(found.covariances, 4)[0] - torch.linalg.inv(precision)).abs().max() < 1e-10


def test_uncertain_items_count_by_their_second_moments() -> None:
    model = posterior(1, 2, 2)
    means = torch.tensor([[1.0, 0.0], [0.5, 2.0]], dtype=torch.float64)
    covariance = torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=torch.float64)
    model.sides[1] = Gaussians(means, packed(covariance.expand(2, 2, 2)))
    rewards = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = model.half_step(0, seen([0, 0], [0, 1], rewards, (1, 2)).by_user())
    precision = torch.eye(2, dtype=torch.float64) * 10 + 100 * (means.T @ means + 2 * covariance)
    right = torch.full((2,), 5.0, dtype=torch.float64) + 100 * means.T @ rewards
    assert torch.allclose(found.means[0], torch.linalg.solve(precision, right), atol=1e-12)
    assert torch.allclose(unpacked(found.covariances, 2)[0], torch.linalg.inv(precision), atol=1e-12)


def test_the_squared_errors_are_those_of_draws() -> None:
    """E (r - u . v)^2 under the posterior, against 200,000 draws: within 5 of their standard errors."""
    model = posterior(2, 3, 2)
    found = seen([0, 1, 1], [0, 0, 2], torch.tensor([1.0, 2.0, 0.5]), (2, 3))
    model.sweep(found)
    stream = torch.Generator().manual_seed(2)
    draws = [torch.distributions.MultivariateNormal(side.means, unpacked(side.covariances, 2)) for side in model.sides]
    normals = [torch.randn(200_000, len(side.means), 2, generator=stream, dtype=torch.float64) for side in model.sides]
    users, items = (d.loc + (d.scale_tril @ n[..., None])[..., 0] for d, n in zip(draws, normals, strict=True))
    scores = torch.einsum("nud,nid->nui", users, items)
    errors = (scores[:, 0, 0] - 1) ** 2 + (scores[:, 1, 0] - 2) ** 2 + (scores[:, 1, 2] - 0.5) ** 2
    exact = model._squared_errors(found)
    assert abs(float(errors.mean()) - exact) < 5 * float(errors.std()) / 200_000**0.5


def test_draws_have_the_moments_of_the_posterior_and_are_each_users_own() -> None:
    """Mean and variance of u . v in closed form; two users' draws of one item are uncorrelated, one user's are not."""
    model = posterior(2, 3, 2)
    model.sweep(seen([0, 1, 1], [0, 0, 2], torch.tensor([1.0, 2.0, 0.5]), (2, 3)))
    users, size = torch.arange(2).repeat(20_000), 20_000
    scores = model.drawn(users, torch.Generator().manual_seed(3)).double().view(size, 2, 3)
    assert ((scores.mean(0) - model.means(torch.arange(2))).abs() < 5 * scores.std(0) / size**0.5).all()
    assert torch.allclose(scores.std(0), model.deviations(torch.arange(2)).double(), rtol=5 / (2 * size) ** 0.5)
    across = torch.corrcoef(torch.stack([scores[:, 0, 1], scores[:, 1, 1]]))[0, 1]
    assert abs(float(across)) < 5 / size**0.5
    within = torch.corrcoef(torch.stack([scores[:, 0, 1], scores[:, 0, 2]]))[0, 1]
    assert float(within) > 5 / size**0.5


def test_the_bound_never_falls() -> None:
    """The expected log joint plus entropy grows with every half step, with priors and noise fixed."""
    stream = torch.Generator().manual_seed(4)
    users, items = torch.randint(8, (60,), generator=stream), torch.randint(6, (60,), generator=stream)
    found = Interactions(8, 6)
    found.add(users, items, torch.rand(60, generator=stream, dtype=torch.float64) * 3)
    model = posterior(8, 6, 3)

    def bound() -> float:
        total = -0.5 * model.tau * model._squared_errors(found)
        for side, prior in zip(model.sides, model.priors, strict=True):
            covariances = unpacked(side.covariances, 3)
            away = side.means - prior.mean
            total -= 0.5 * float((away @ prior.precision * away).sum())
            total -= 0.5 * float((covariances * prior.precision).sum())
            total += 0.5 * float(torch.logdet(covariances).sum())
        return total

    values = [bound()]
    for _ in range(5):
        for side, rows in enumerate((found.by_user(), found.by_item())):
            model.sides[side] = model.half_step(side, rows)
            values.append(bound())
    steps = torch.tensor(values).diff()
    assert (steps > -1e-9).all()
    assert steps[0] > 1


def test_priors_and_noise_are_learned() -> None:
    """A world drawn from the model, seen whole: the noise comes out within 10%, the prior's mean within 4 SE."""
    stream = torch.Generator().manual_seed(5)
    users = 0.7 + 0.3 * torch.randn(80, 2, generator=stream, dtype=torch.float64)
    items = 0.7 + 0.3 * torch.randn(60, 2, generator=stream, dtype=torch.float64)
    grid = torch.cartesian_prod(torch.arange(80), torch.arange(60))
    noise = 0.2 * torch.randn(len(grid), generator=stream, dtype=torch.float64)
    found = Interactions(80, 60)
    found.add(grid[:, 0], grid[:, 1], (users[grid[:, 0]] * items[grid[:, 1]]).sum(1) + noise)
    model = posterior(80, 60, 2, empirical=True, learn_noise=True)
    for _ in range(60):
        model.sweep(found)
    assert model.tau**-0.5 == pytest.approx(0.2, rel=0.1)
    predicted = model.means(torch.arange(80))
    assert float((predicted - users @ items.T).square().mean()) < 0.2**2 / 10
    product = float(model.priors[0].mean @ model.priors[1].mean)
    assert product == pytest.approx(2 * 0.7**2, abs=4 * float((users @ items.T).std()) / 60**0.5)


def test_a_posterior_goes_on_from_its_state() -> None:
    found = seen([0, 1, 1], [0, 0, 2], torch.tensor([1.0, 2.0, 0.5]), (2, 3))
    one, other = (posterior(2, 3, 2, empirical=True, learn_noise=True) for _ in range(2))
    one.sweep(found)
    other.load(one.state())
    one.sweep(found)
    other.sweep(found)
    assert all(torch.equal(a, b) for a, b in zip(one.state().values(), other.state().values(), strict=True))


def test_a_prior_by_hand() -> None:
    """Two rows seen of three; the first covariance counts as D = 2 more of them, and the mean does not."""
    prior = Prior(torch.zeros(2).double(), 0.3)
    means = torch.tensor([[1.0, 0], [3, 4], [90, 90]]).double()
    covariances = torch.tensor([[2.0, 0.5, 1], [4, 0.5, 3], [90, 0, 90]]).double()  # packed
    prior.fit(Gaussians(means, covariances), torch.tensor([True, True, False]))
    assert prior.mean.tolist() == [2, 2]
    spread = torch.tensor([[2 + 4 + 2 + 0.6, 1 + 4], [1 + 4, 1 + 3 + 8 + 0.6]]).double()
    assert torch.allclose(torch.linalg.inv(prior.precision), spread / 4)
