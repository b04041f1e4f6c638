"""Worlds: exact means, noise that pairs agents, drift that can be taken up anywhere, and what is refused."""

import pytest
import torch
from toy_worlds import world

from ncf.errors import ConfigError, DataError
from ncf.simulation import Environment
from ncf.simulation.environments import MovieLens

ALL = torch.arange(100)
WORLDS = {
    "linear": {},
    "linear_fixed_norm": {},
    "movielens": {"run": "x", "scores": lambda run: torch.randn(100, 80, generator=torch.Generator().manual_seed(0))},
}


def made(name: str, **more: object) -> Environment:
    """A world of each kind."""
    return world(name, **{**WORLDS[name], **more})


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("feedback", ["rating", "click"])
def test_best_is_the_highest_mean_and_best_item_the_best_for_all(name: str, feedback: str) -> None:
    environment = made(name, feedback=feedback, drift=0.3)
    for period in range(3):
        environment.begin(period)
        means = environment.means(ALL)
        assert means.shape == (100, 80)
        assert torch.equal(environment.best(ALL), means.amax(1))
        assert environment.best_item() == int(means.mean(0).argmax())
        items = torch.arange(100) % 80
        assert torch.allclose(environment.mean(ALL, items), means[ALL, items])
    if feedback == "click":
        assert ((means > 0) & (means < 1)).all()


def test_ratings_are_inner_products_plus_noise_and_clicks_follow_their_probability() -> None:
    """Over 2,000 periods: mean and spread of ratings within 5 standard errors, clicks likewise."""
    environment, count = made("linear", noise=0.3), 2000
    items = torch.arange(100) % 80
    exact = (environment.users * environment.items[items]).sum(1)  # type: ignore[attr-defined]
    draws = torch.stack([environment.step(environment.begin(period), items) for period in range(count)])
    assert ((draws.mean(0) - exact).abs() < 5 * 0.3 / count**0.5).all()
    assert float((draws - exact).std()) == pytest.approx(0.3, rel=5 / (2 * draws.numel()) ** 0.5)
    clicks = made("linear", feedback="click")
    draws = torch.stack([clicks.step(clicks.begin(period), items) for period in range(count)])
    chances = clicks.mean(ALL, items)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert ((draws.mean(0) - chances).abs() < 5 * (chances * (1 - chances) / count).sqrt()).all()


@pytest.mark.parametrize("name", WORLDS)
def test_noise_belongs_to_the_user_whatever_is_recommended_and_whoever_else_asks(name: str) -> None:
    one, other = made(name, feedback="rating"), made(name, feedback="rating", requests=30)
    one.begin(4)
    users = other.begin(4)
    items = torch.randint(80, (30,), generator=torch.Generator().manual_seed(1))
    first = one.step(ALL, torch.zeros(100, dtype=torch.int64)) - one.mean(ALL, torch.zeros(100, dtype=torch.int64))
    second = other.step(users, items) - other.mean(users, items)
    assert torch.allclose(first[users], second, atol=1e-12)
    assert len(users.unique()) == 30


def test_worlds_are_taken_up_at_any_period() -> None:
    whole, later = made("linear", drift=0.2, requests=20), made("linear", drift=0.2, requests=20)
    before = whole.means(ALL)
    for period in range(6):
        users = whole.begin(period)
    assert torch.equal(later.begin(5), users)
    assert torch.equal(later.means(ALL), whole.means(ALL))
    changed = (before != whole.means(ALL)).any(1).double().mean()
    assert 0.4 < float(changed) < 0.9  # 1 - .8^5 = .67, less those who drew themselves; 100 users


def test_attributes_are_uniform_or_of_one_length_and_quality_dominates_only_the_first() -> None:
    """What the best fixed item leaves of the regret of random ones: little in one world, nearly all in the other."""
    shares = {}
    for name in ("linear", "linear_fixed_norm"):
        environment = world(name, users=1000, items=1000)
        users = torch.arange(1000)
        means, best = environment.means(users), environment.best(users)
        fixed = float((best - means[:, environment.best_item()]).mean())
        shares[name] = fixed / float((best - means.mean(1)).mean())
    assert shares["linear"] < 0.2
    assert shares["linear_fixed_norm"] > 0.8
    attributes = made("linear").users  # type: ignore[attr-defined]
    assert 0 <= float(attributes.min()) < 0.01
    assert 0.99 < float(attributes.max()) <= 1
    lengths = made("linear_fixed_norm").items.norm(dim=1)  # type: ignore[attr-defined]
    assert torch.allclose(lengths, torch.full_like(lengths, (10 / 3) ** 0.5))


def test_a_world_from_scores_ranks_as_they_do() -> None:
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)) * 30 + 7
    environment = made("movielens", scores=lambda run: scores)
    means = environment.means(torch.arange(6))
    assert torch.equal(means.argsort(1), scores.double().argsort(1))
    assert float(means.logit().mean()) == pytest.approx(0, abs=1e-9)


def test_what_is_not_in_the_world_is_refused() -> None:
    environment = made("linear")
    with pytest.raises(DataError, match="user: expected one of the world's 100 users, 0 to 99, got 100"):
        environment.step(torch.tensor([3, 100]), torch.tensor([0, 0]))
    with pytest.raises(DataError, match="item: expected one of the world's 80 items, 0 to 79, got -1"):
        environment.step(torch.tensor([3]), torch.tensor([-1]))
    with pytest.raises(ConfigError, match=r"environment\.requests: expected at most the 100 users, got 101"):
        made("linear", requests=101)
    with pytest.raises(DataError, match="expected a finite score"):
        made("movielens", scores=lambda run: torch.full((3, 3), torch.nan))
    with pytest.raises(ConfigError, match=r"environment\.run: expected the folder"):
        made("movielens", run="")


def test_a_run_that_scores_everything_alike_makes_no_world() -> None:
    settings = {"requests": None, "feedback": "click", "noise": 0.1, "drift": 0.0}
    with pytest.raises(DataError, match="run: expected scores that differ, found 2 everywhere"):
        MovieLens(0, lambda run: torch.full((3, 4), 2.0), "cpu", run="run", **settings)
