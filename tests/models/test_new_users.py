"""Users who were not in training: their rows alone are fitted, and what comes of it is theirs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from toy_models import BY_GRADIENT, ITEMS, drawn, objective

from ncf.data.batch import Batch
from ncf.errors import DataError
from ncf.losses import BCE, LogQSoftmax
from ncf.models import GradientRecommender, new_users
from ncf.models.new_users import Histories, with_rows_for

LISTS = Histories(torch.tensor([4, 1, 4, 13, *range(ITEMS)]), torch.tensor([1, 0, 3, ITEMS]))


def by_gradient(name: str, users: int = 12, items: int = ITEMS) -> GradientRecommender:
    model = drawn(name, users, items)
    assert isinstance(model, GradientRecommender)
    model.objective = objective()
    return model


def test_histories_as_owners_a_matrix_and_ones() -> None:
    lists = replace(LISTS, ratings=torch.arange(len(LISTS.items)).float())
    assert lists.owners.tolist() == [0, 2, 2, 2, *[3] * ITEMS]
    assert np.array_equal(lists.matrix(ITEMS).toarray(), lists.dense(ITEMS).numpy())
    assert lists.matrix(ITEMS, lists.ratings).toarray()[2, [1, 4, 13]].tolist() == [1, 2, 3]


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 100])
def test_parts_are_whole_users_within_the_limit(limit: int) -> None:
    lists = replace(LISTS, ratings=torch.arange(len(LISTS.items)).float())
    parts = list(lists.parts(limit))
    for name in ("items", "counts", "ratings"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(lists, name))
    assert all(len(part.counts) == 1 or len(part.items) <= limit for part in parts)
    assert len(list(Histories(LISTS.items[:0], LISTS.counts[:0]).parts(limit))) == 1


def test_negatives_are_uniform_among_the_items_that_the_user_does_not_have() -> None:
    lists = Histories(torch.tensor([0, 3, 4, 9, 2]), torch.tensor([4, 1]))
    draws = new_users._Draws(lists, 10, replace(objective(), neg_ratio=50))
    drawn = torch.stack([draws.batch(step).items[:, 1:] for step in range(60)])
    for rows, own in ((slice(0, 4), [0, 3, 4, 9]), (slice(4, 5), [2])):
        counts = np.bincount(drawn[:, rows].flatten().numpy(), minlength=10)
        assert not counts[own].any()
        assert stats.chisquare(np.delete(counts, own)).pvalue > 1e-3
    assert not torch.equal(drawn[0], drawn[1])
    other = new_users._Draws(lists, 10, replace(objective(), neg_ratio=50, seed=6))
    assert not torch.equal(other.batch(0).items, draws.batch(0).items)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_only_the_rows_of_the_users_are_new(name: str) -> None:
    model = by_gradient(name)
    assert model.objective
    fitted = with_rows_for(model, LISTS, model.objective)
    own, shared = model.state_dict(), fitted.state_dict()
    moved = {key for key in own if own[key].data_ptr() != shared[key].data_ptr()}
    tables = {id(table.weight) for table in model.user_tables()}
    assert moved == {key for key, value in model.named_parameters() if id(value) in tables}
    for key in moved:
        start = own[key].mean(0)
        assert shared[key].shape == (4, *own[key].shape[1:])
        for row in (1, 3):  # nothing, and everything, says nothing
            torch.testing.assert_close(shared[key][row], start)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.grad is not None for parameter in model.parameters())


def two_tastes(name: str) -> GradientRecommender:
    """Trained on 40 users, each of whom has some items of one of two halves of the catalogue."""
    rng = np.random.default_rng(0)
    model = by_gradient(name, 40, 30)
    users, own = torch.arange(40).repeat_interleave(8), np.stack([rng.permutation(15)[:8] for _ in range(40)])
    items = torch.from_numpy(own + 15 * (np.arange(40)[:, None] % 2)).flatten()
    train = new_users._Draws(
        Histories(items.view(40, 8).sort(1).values.flatten(), torch.full((40,), 8)), 30, objective()
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(120):
        batch = train.batch(step)
        assert torch.equal(batch.users, users)
        optimizer.zero_grad()
        BCE()(model(batch.users, batch.items)).mean().backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_few_items_tell_the_taste_of_a_new_user(name: str) -> None:
    model = two_tastes(name)
    scores = model.fold_in(Histories(torch.tensor([0, 3, 8, 16, 22, 29]), torch.tensor([3, 3])))
    for row, own in enumerate((range(15), range(15, 30))):
        others = [item for item in range(30) if item not in own]
        above = scores[row, list(own)][:, None] > scores[row, others]
        assert above.float().mean() > 0.9  # at the mean of all users: 0.5


def test_the_loss_gets_what_it_needs_of_the_batch() -> None:
    model = by_gradient("gmf")
    model.objective = objective(LogQSoftmax())
    assert model.fold_in(LISTS).isfinite().all()
    seen: list[Batch] = []

    def watched(logits: Tensor, batch: Batch) -> Tensor:
        seen.append(batch)
        return BCE()(logits)

    model.objective = replace(objective(), losses=watched, needs=frozenset({"ratings", "log_probs"}))
    with pytest.raises(DataError, match="needs ratings; expected one for each item, found none"):
        model.fold_in(LISTS)
    model.fold_in(replace(LISTS, ratings=torch.arange(len(LISTS.items)).float()))
    batch = seen[-1]
    assert batch.ratings is not None
    assert batch.log_probs is not None
    assert batch.ratings.tolist() == [0, 1, 2, 3]  # who has everything has no negatives, and is not fitted
    assert batch.log_probs.exp()[:, 0].tolist() == pytest.approx([1 / 14, 1 / 12, 1 / 12, 1 / 12])


def test_a_crowd_does_not_shrink_the_gradient_of_one_below_the_epsilon_of_adam() -> None:
    model = by_gradient("gmf")
    own, crowd = torch.tensor([1, 4, 13]), 4000
    assert model.objective
    alone, among = (
        with_rows_for(model, Histories(own.repeat(users), torch.full((users,), 3)), model.objective).score(
            torch.tensor([0])
        )
        for users in (1, crowd)
    )
    torch.testing.assert_close(among, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_many_users_are_fitted_as_each_of_them_alone(name: str) -> None:
    """In parts of one, a few and all: 20 steps of Adam amplify rounding, a wrong draw or weight moves tenths."""
    model = by_gradient(name)
    rng = np.random.default_rng(3)
    own = [np.sort(rng.permutation(ITEMS)[:count]) for count in (1, 2, 3, 5, 8, 3, 1, 13)]
    together = model.fold_in(
        Histories(torch.from_numpy(np.concatenate(own)), torch.tensor([len(items) for items in own]))
    )
    alone = [model.fold_in(Histories(torch.from_numpy(items), torch.tensor([len(items)]))) for items in own]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)
