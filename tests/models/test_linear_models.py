"""EASE, PureSVD and both kinds of ALS against dense algebra, and iALS against the `implicit` library."""

import numpy as np
import pytest
import torch
from test_knn import dense
from test_recommender_contract import SPLIT, ready
from toys import compose, random_split

from ncf.core.rng import generator
from ncf.errors import ConfigError, DataError
from ncf.evaluation import FullRanking, validation_targets
from ncf.models import als
from ncf.models.als import ALS, IALS
from ncf.models.ease import EASE
from ncf.models.non_gradient import positives_matrix
from ncf.models.puresvd import PureSVD

EVERYONE = torch.arange(12)


def test_ease_equals_a_regression_an_item():
    model = EASE(12, 15, l2=3.0)
    model.fit(SPLIT)
    x = dense()
    weights = np.zeros((15, 15))
    for item in range(15):  # without the item itself: zero diagonal
        others = [i for i in range(15) if i != item]
        a = x[:, others]
        weights[others, item] = np.linalg.solve(a.T @ a + 3.0 * np.eye(14), a.T @ x[:, item])
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), x @ weights, rtol=0, atol=1e-6)


def test_puresvd_is_the_best_approximation_of_its_rank():
    model = PureSVD(12, 15, factors=4)
    model.fit(SPLIT)
    left, values, right = np.linalg.svd(dense())
    best = (left[:, :4] * values[:4]) @ right[:4]
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), best, rtol=0, atol=1e-6)


def test_puresvd_refuses_more_factors_than_the_matrix_has():
    with pytest.raises(ConfigError, match=r"model.factors: expected fewer than 12, .* got 12"):
        PureSVD(12, 15, factors=12)


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
def test_ials_equals_hus_equations(scaling, cells, monkeypatch):
    monkeypatch.setattr(als, "_CHUNK_CELLS", cells)
    model = IALS(12, 15, factors=3, alpha=5.0, l2=0.1, scaling=scaling, sweeps=2)
    items = model.items.weight.detach().double().numpy()
    model.fit(SPLIT)
    for _ in range(2):
        users = ials_half(dense(), items, 5.0, 0.1, scaling)
        items = ials_half(dense().T, users, 5.0, 0.1, scaling)
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), users @ items.T, rtol=0, atol=1e-6)


def als_objective(model: ALS, l2: float) -> torch.Tensor:
    """Squared error of the ratings + l2 n |row|^2, in float64 and differentiable."""
    train = SPLIT.train
    users, items = torch.from_numpy(train.users), torch.from_numpy(train.items)
    x = torch.cat([model.users.weight, model.user_bias.weight], dim=1).double()
    y = torch.cat([model.items.weight, model.item_bias.weight], dim=1).double()
    fitted = (x[users, :-1] * y[items, :-1]).sum(1) + x[users, -1] + y[items, -1] + model.mean.double()
    penalty = (x[users] ** 2).sum() + (y[items] ** 2).sum()  # a row counts once a rating
    return ((torch.from_numpy(train.ratings).double() - fitted) ** 2).sum() + l2 * penalty


def test_als_reaches_a_stationary_point_of_its_objective():
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


def test_als_scores_are_predicted_ratings():
    model = ready("als")
    with torch.no_grad():
        row = model.users.weight[4] @ model.items.weight[7] + model.user_bias.weight[4] + model.item_bias.weight[7]
    assert float(model.score(torch.tensor([4]))[0, 7]) == pytest.approx(float(row + model.mean), abs=1e-5)


def test_als_without_ratings_is_refused():
    with pytest.raises(DataError, match="toy: expected ratings, found none; model=als fits them"):
        ALS(12, 15, factors=3, l2=0.3, sweeps=1).fit(random_split(12, 15))


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured")
def test_ials_agrees_with_implicit(ml100k):
    """The same start, penalty and weights: NDCG@10 within 1%."""
    implicit_als = pytest.importorskip("implicit.cpu.als")
    users, items = ml100k.num_users, ml100k.num_items
    ours = IALS(users, items, factors=16, alpha=9.0, l2=10.0, scaling=0.0, sweeps=5)
    for table in (ours.users, ours.items):
        torch.nn.init.normal_(table.weight, std=0.01, generator=generator(0, "initialisation"))
    theirs = implicit_als.AlternatingLeastSquares(
        factors=16, regularization=10.0, alpha=10.0, iterations=5, use_cg=False, num_threads=1, dtype=np.float64
    )
    theirs.user_factors = ours.users.weight.detach().double().numpy().copy()
    theirs.item_factors = ours.items.weight.detach().double().numpy().copy()
    theirs.fit(positives_matrix(ml100k.train, users, items), show_progress=False)
    ours.fit(ml100k)
    factors = [torch.from_numpy(f) for f in (theirs.user_factors, theirs.item_factors)]
    keys = compose().evaluation
    evaluation = FullRanking(cutoffs=[10], ties=keys.ties, memory_mb=keys.memory_mb)
    targets = validation_targets(ml100k, "cpu")
    scorers = (ours.score, lambda u: factors[0][u] @ factors[1].T)
    mine, other = (evaluation.metrics(evaluation.evaluate(score, targets))["ndcg@10"] for score in scorers)
    assert mine == pytest.approx(other, rel=0.01)
    assert mine > 0.05
