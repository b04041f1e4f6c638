"""Both kinds of ALS against dense algebra, and iALS against the `implicit` library."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from toy_models import SPLIT, dense_positives, ready
from toys import random_split

from ncf.core.rng import generator
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError
from ncf.evaluation import FullRanking, validation_targets
from ncf.models import als
from ncf.models.als import ALS, IALS
from ncf.models.new_users import Histories
from ncf.models.non_gradient import positives_matrix

EVERYONE = torch.arange(12)


def ials_half(matrix: np.ndarray, fixed: np.ndarray, alpha: float, l2: float, scaling: float) -> np.ndarray:
    """Row by row, Hu et al. 2008, eq. 4."""
    solved = []
    for row in matrix:
        confidence = np.diag(1 + alpha * row)
        penalty = l2 * (alpha * row.sum() + len(row)) ** scaling
        system = fixed.T @ confidence @ fixed + penalty * np.eye(fixed.shape[1])
        solved.append(np.linalg.solve(system, fixed.T @ confidence @ row))
    return np.array(solved)


@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("cells", [1, 2**22])
def test_ials_solves_the_equations_of_hu_et_al(scaling: float, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "_CHUNK_CELLS", cells)
    model = IALS(12, 15, factors=3, alpha=5.0, l2=0.1, scaling=scaling, sweeps=2, cg_steps=0)
    items = model.items.weight.detach().double().numpy()
    model.fit(SPLIT)
    for _ in range(2):
        users = ials_half(dense_positives(), items, 5.0, 0.1, scaling)
        items = ials_half(dense_positives().T, users, 5.0, 0.1, scaling)
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), users @ items.T, rtol=0, atol=1e-6)


def als_objective(model: ALS, l2: float) -> torch.Tensor:
    """Squared error of the ratings + l2 n |row|^2, in float64 and differentiable."""
    train = SPLIT.train
    assert train.ratings is not None
    users, items = torch.from_numpy(train.users), torch.from_numpy(train.items)
    x = torch.cat([model.users.weight, model.user_bias.weight], dim=1).double()
    y = torch.cat([model.items.weight, model.item_bias.weight], dim=1).double()
    fitted = (x[users, :-1] * y[items, :-1]).sum(1) + x[users, -1] + y[items, -1] + model.mean.double()
    penalty = (x[users] ** 2).sum() + (y[items] ** 2).sum()  # a row counts once a rating
    return ((torch.from_numpy(train.ratings).double() - fitted) ** 2).sum() + l2 * penalty


def test_als_reaches_a_stationary_point_of_its_objective() -> None:
    model = ALS(12, 15, factors=3, l2=0.3, sweeps=300)
    torch.nn.init.normal_(model.items.weight, std=0.1, generator=generator(0, "initialisation"))
    model.fit(SPLIT)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(als_objective(model, 0.3), parameters)
    assert max(float(g.abs().max()) for g in gradients) < 1e-3
    with torch.no_grad():
        low = als_objective(model, 0.3)
        for parameter in parameters:
            parameter[0] += 0.05
            assert als_objective(model, 0.3) > low
            parameter[0] -= 0.05


def test_als_scores_are_predicted_ratings() -> None:
    model = ready("als")
    assert isinstance(model, ALS)
    with torch.no_grad():
        row = model.users.weight[4] @ model.items.weight[7] + model.user_bias.weight[4] + model.item_bias.weight[7]
    assert float(model.score(torch.tensor([4]))[0, 7]) == pytest.approx(float(row + model.mean), abs=1e-5)


def test_als_without_ratings_is_refused() -> None:
    with pytest.raises(DataError, match="toy: expected ratings, found none; model=als needs them"):
        ALS(12, 15, factors=3, l2=0.3, sweeps=1).fit(random_split(12, 15))


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured")
def test_ials_agrees_with_implicit(ml100k: Split) -> None:
    """The same start, penalty and weights: NDCG@10 within 1%."""
    users, items = ml100k.num_users, ml100k.num_items
    ours = IALS(users, items, factors=16, alpha=9.0, l2=10.0, scaling=0.0, sweeps=5, cg_steps=0)
    for table in (ours.users, ours.items):
        torch.nn.init.normal_(table.weight, std=0.01, generator=generator(0, "initialisation"))
    theirs = AlternatingLeastSquares(
        factors=16, regularization=10.0, alpha=10.0, iterations=5, use_cg=False, num_threads=1, dtype=np.float64
    )
    theirs.user_factors = ours.users.weight.detach().double().numpy().copy()
    theirs.item_factors = ours.items.weight.detach().double().numpy().copy()
    theirs.fit(positives_matrix(ml100k.train, users, items), show_progress=False)
    ours.fit(ml100k)
    factors = [torch.from_numpy(f) for f in (theirs.user_factors, theirs.item_factors)]
    evaluation = FullRanking(metrics=["ndcg"], cutoffs=[10], ties="average", memory_mb=64)
    targets = validation_targets(ml100k, "cpu")
    scorers = (ours.score, lambda u: factors[0][u] @ factors[1].T)
    mine, other = (evaluation.metrics(evaluation.evaluate(score, targets))["ndcg@10"] for score in scorers)
    assert mine == pytest.approx(other, rel=0.01)
    assert mine > 0.05


def test_rows_come_shortest_first_padded_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sparse.csr_matrix(np.array([[0, 2, 3.0], [0, 0, 0], [4, 0, 0], [5, 6, 7]]))
    for cells in (1, 2**22):
        monkeypatch.setattr(als, "_CHUNK_CELLS", cells)
        found: dict[int, list[tuple[int, float]]] = {}
        lengths = []
        for rows, columns, values, entry in als._batches(matrix, width=2):
            for row, own, numbers, there in zip(rows.tolist(), columns, values, entry):
                assert row not in found
                found[row] = list(zip(own[there].tolist(), numbers[there].tolist()))
                assert not numbers[~there].any()
                lengths.append(int(there.sum()))
        assert found == {2: [(0, 4.0)], 0: [(1, 2.0), (2, 3.0)], 3: [(0, 5.0), (1, 6.0), (2, 7.0)]}
        assert lengths == sorted(lengths)


def test_a_user_without_ratings_is_predicted_the_mean_and_what_the_items_bias_says() -> None:
    kept = SPLIT.train.users != 4
    assert SPLIT.train.ratings is not None
    train = Pairs(SPLIT.train.users[kept], SPLIT.train.items[kept], ratings=SPLIT.train.ratings[kept])
    model = ready("als", replace(SPLIT, train=train))
    assert isinstance(model, ALS)
    expected = model.mean + model.item_bias.weight[:, 0].detach()
    torch.testing.assert_close(model.score(torch.tensor([4]))[0], expected)


def test_a_smaller_penalty_fits_the_ratings_better() -> None:
    assert SPLIT.train.ratings is not None
    errors = []
    for l2 in (1.0, 0.1, 0.01):
        model = ALS(12, 15, factors=3, l2=l2, sweeps=20)
        torch.nn.init.normal_(model.items.weight, std=0.1, generator=generator(0, "initialisation"))
        model.fit(SPLIT)
        predicted = model.score(EVERYONE).numpy()[SPLIT.train.users, SPLIT.train.items]
        errors.append(float(((predicted - SPLIT.train.ratings) ** 2).mean()))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("l2", [1e-18, 1e-13])
@pytest.mark.parametrize("kind", [ALS, partial(IALS, alpha=1.0, scaling=0.0, cg_steps=0)], ids=["als", "ials"])
def test_a_penalty_so_small_that_rounding_decides_is_refused(kind: Callable[..., ALS | IALS], l2: float) -> None:
    """With more factors than a row has cells, only the penalty makes its equations have one solution."""
    model = kind(12, 15, factors=20, l2=l2, sweeps=2)
    with pytest.raises(ConfigError, match=rf"^model\.l2: expected a penalty that is large enough.*, got {l2};"):
        model.fit(SPLIT)
    kind(12, 15, factors=20, l2=1e-4, sweeps=2).fit(SPLIT)


# Lists of three, no and all items, with ratings.
LISTS = Histories(
    torch.tensor([1, 4, 13, *range(15)]), torch.tensor([3, 0, 15]), torch.arange(18).float().remainder(5) + 1
)


@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0])
def test_ials_solves_the_same_equations_for_new_users(scaling: float) -> None:
    model = IALS(12, 15, factors=3, alpha=5.0, l2=0.1, scaling=scaling, sweeps=2, cg_steps=0)
    model.fit(SPLIT)
    items = model.items.weight.detach().double().numpy()
    expected = ials_half(LISTS.dense(15).numpy(), items, 5.0, 0.1, scaling) @ items.T
    np.testing.assert_allclose(model.fold_in(LISTS).numpy(), expected, rtol=0, atol=1e-6)


def test_als_solves_the_regression_of_a_new_users_ratings() -> None:
    """Ridge of rating - mean - b_i on the items' factors and a constant, with penalty l2 n."""
    model = ready("als")
    assert isinstance(model, ALS)
    assert LISTS.ratings is not None
    items, bias = model.items.weight.detach().double().numpy(), model.item_bias.weight[:, 0].detach().double().numpy()
    mean, scores = float(model.mean), model.fold_in(LISTS).numpy()
    for row, own in enumerate((LISTS.items[:3], LISTS.items[:0], LISTS.items[3:])):
        ratings = LISTS.ratings[LISTS.owners == row].double().numpy()
        design = np.column_stack([items[own], np.ones(len(own))])
        system = design.T @ design + model.l2 * max(1, len(own)) * np.eye(design.shape[1])
        solved = np.linalg.solve(system, design.T @ (ratings - mean - bias[own]))
        np.testing.assert_allclose(scores[row], items @ solved[:-1] + solved[-1] + mean + bias, rtol=0, atol=1e-5)


def test_als_says_that_it_needs_ratings() -> None:
    with pytest.raises(DataError, match=r"^fold_in: model ALS learns from ratings; expected one for each item, found"):
        ready("als").fold_in(replace(LISTS, ratings=None))


@pytest.mark.parametrize("kind", [ALS, partial(IALS, alpha=5.0, scaling=0.0, cg_steps=0)], ids=["als", "ials"])
def test_once_converged_a_known_user_folded_in_is_scored_as_trained(kind: Callable[..., ALS | IALS]) -> None:
    model = kind(12, 15, factors=3, l2=0.3, sweeps=300)
    torch.nn.init.normal_(model.items.weight, std=0.1, generator=generator(0, "initialisation"))
    model.fit(SPLIT)
    matrix = positives_matrix(SPLIT.train, 12, 15)
    order = np.lexsort((SPLIT.train.items, SPLIT.train.users))
    assert SPLIT.train.ratings is not None
    own = Histories(
        torch.from_numpy(matrix.indices).long(),
        torch.from_numpy(np.diff(matrix.indptr)).long(),
        torch.from_numpy(SPLIT.train.ratings[order]),
    )
    torch.testing.assert_close(model.fold_in(own), model.score(EVERYONE), rtol=0, atol=1e-3)
