"""iALS by conjugate gradient steps: against steps taken row by row in dense float64, and against the exact solution."""

import numpy as np
import pytest
import torch
from scipy import sparse
from toy_models import SPLIT, dense_positives

from ncf.core.rng import generator, numpy_generator
from ncf.models.als import IALS
from ncf.models.als_cg import both_sides, half_step
from ncf.models.non_gradient import StoppedError
from ncf.runs.identity import config_hash

EVERYONE = torch.arange(12)


def steps_of_a_row(system: np.ndarray, right: np.ndarray, x: np.ndarray, steps: int) -> np.ndarray:
    """Hestenes and Stiefel 1952, as in textbooks."""
    residual = right - system @ x
    direction = residual
    for _ in range(steps):
        length = residual @ residual / (direction @ system @ direction)
        x, after = x + length * direction, residual - length * (system @ direction)
        direction, residual = after + (after @ after) / (residual @ residual) * direction, after
    return x


def dense_half(matrix: np.ndarray, x: np.ndarray, fixed: np.ndarray, alpha: float, l2: float, steps: int) -> np.ndarray:
    rows = []
    for row, start in zip(matrix, x):
        penalty = l2 * (alpha * row.sum() + len(row)) ** 0.5
        system = fixed.T @ np.diag(1 + alpha * row) @ fixed + penalty * np.eye(fixed.shape[1])
        rows.append(steps_of_a_row(system, (1 + alpha) * fixed.T @ row, start, steps))
    return np.array(rows)


def started(cg_steps: int, sweeps: int, scaling: float = 0.5) -> IALS:
    model = IALS(12, 15, factors=4, alpha=5.0, l2=0.1, scaling=scaling, sweeps=sweeps, cg_steps=cg_steps)
    for table in (model.users, model.items):
        torch.nn.init.normal_(table.weight, std=0.3, generator=generator(0, "initialisation"))
    return model


@pytest.mark.parametrize("cg_steps", [1, 2, 3])
def test_the_steps_are_those_of_each_row_alone(cg_steps: int) -> None:
    model = started(cg_steps, sweeps=3)
    users, items = (table.weight.detach().double().numpy().copy() for table in (model.users, model.items))
    model.fit(SPLIT)
    for _ in range(3):
        users = dense_half(dense_positives(), users, items, 5.0, 0.1, cg_steps)
        items = dense_half(dense_positives().T, items, users, 5.0, 0.1, cg_steps)
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), users @ items.T, rtol=0, atol=1e-5)


def test_as_many_steps_as_factors_solve_the_equations() -> None:
    """And two more, for what rounding has left."""
    exact, stepped = started(0, sweeps=3), started(4 + 2, sweeps=3)
    for model in (exact, stepped):
        model.fit(SPLIT)
    torch.testing.assert_close(stepped.score(EVERYONE), exact.score(EVERYONE), rtol=0, atol=1e-4)


@pytest.mark.parametrize("cg_steps", [1, 2, 3])
def test_few_steps_and_many_sweeps_reach_the_same_minimum(cg_steps: int) -> None:
    exact, stepped = started(0, sweeps=300), started(cg_steps, sweeps=300)
    for model in (exact, stepped):
        model.fit(SPLIT)
    torch.testing.assert_close(stepped.score(EVERYONE), exact.score(EVERYONE), rtol=0, atol=1e-3)


def toy() -> tuple[sparse.csr_matrix, torch.Tensor, torch.Tensor]:
    draws = numpy_generator(0, "synthetic")
    matrix = sparse.csr_matrix((draws.random((9, 7)) < 0.4) * (np.arange(9) != 3)[:, None] * 1.0)  # row 3 is empty
    return matrix, *(torch.from_numpy(draws.normal(size=(size, 3))).float() for size in matrix.shape)


def test_the_inner_products_stay_those_of_the_factors_and_pass_to_the_other_side() -> None:
    """Without the update, or in the order of the wrong side, they are off by a third and more."""
    matrix, users, items = toy()
    (by_user, user_order), (by_item, item_order) = both_sides(matrix)
    assert torch.equal(user_order[item_order], torch.arange(matrix.nnz))
    products = by_user.products(users, items)
    half_step(by_user, users, items, products, alpha=2.0, penalty=torch.full((9,), 0.1), steps=2)
    rows, columns = map(torch.from_numpy, matrix.nonzero())
    torch.testing.assert_close(products, (users[rows] * items[columns]).sum(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(products[item_order], by_item.products(items, users), rtol=0, atol=1e-5)


def test_a_row_without_positives_is_nought_and_a_solved_one_stays() -> None:
    matrix, users, items = toy()
    by_user = both_sides(matrix)[0][0]
    settings = {"alpha": 2.0, "penalty": torch.full((9,), 0.1)}
    products = by_user.products(users, items)
    half_step(by_user, users, items, products, steps=30, **settings)  # type: ignore[arg-type]
    assert not users[3].any()
    assert users.isfinite().all()
    before = users.clone()
    half_step(by_user, users, items, products, steps=3, **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(users, before, rtol=0, atol=1e-5)


def test_two_fits_are_equal_to_the_bit() -> None:
    one, two = started(3, sweeps=5), started(3, sweeps=5)
    for model in (one, two):
        model.fit(SPLIT)
    assert torch.equal(one.score(EVERYONE), two.score(EVERYONE))


def test_it_stops_when_it_is_asked_to() -> None:
    model, asked = started(3, sweeps=5), iter([False, False, True])
    model.stopped = lambda: next(asked)
    with pytest.raises(StoppedError):
        model.fit(SPLIT)


def test_runs_that_solve_exactly_keep_their_ids() -> None:
    old = {"model": {"name": "ials", "factors": 4, "alpha": 1.0, "l2": 0.1, "scaling": 1.0, "sweeps": 5}}
    ids = [config_hash({"model": {**old["model"], "cg_steps": steps}}) for steps in (0, 3)]
    assert ids[0] == config_hash(old) != ids[1]
