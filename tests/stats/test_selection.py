"""The best of many cells beside what the best of as many without effect would show."""

import numpy as np
import pytest

from ncf.stats.checks import StatisticsError
from ncf.stats.selection import best_of

CELLS = 20
NEAR = 0.9 ** np.abs(np.subtract.outer(np.arange(CELLS), np.arange(CELLS)))
COVARIANCES = {
    "independent": np.eye(CELLS),
    "one baseline": 0.7 + 0.3 * np.eye(CELLS),
    "neighbours": NEAR,
    "some noisier": np.diag(np.where(np.arange(CELLS) % 5 == 0, 4.0, 1.0)),
}


def expectation(kind: str, seeds: int, grids: int) -> tuple[float, float, float]:
    """The true expected maximum of the means without effect, the mean of those estimated, and its standard error."""
    r = np.random.default_rng(seeds)
    root = np.linalg.cholesky(COVARIANCES[kind])
    true = (r.normal(size=(100_000, CELLS)) @ root.T).max(1).mean() / np.sqrt(seeds)
    tables = r.normal(size=(grids, seeds, CELLS)) @ root.T
    found = np.array([best_of(table, draws=400, rng=r).expected for table in tables])
    return float(true), float(found.mean()), float(found.std(ddof=1) / np.sqrt(grids))


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("seeds", [3, 10])
def test_the_expected_best_is_that_of_cells_with_their_covariance(kind: str, seeds: int) -> None:
    true, found, error = expectation(kind, seeds, 150)
    assert found == pytest.approx(true, abs=3 * error + 0.04 * true)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("seeds", [3, 5, 10, 30])
def test_the_expected_best_is_within_four_per_cent(kind: str, seeds: int) -> None:
    true, found, error = expectation(kind, seeds, 3000)
    print(f"{kind}, {seeds} seeds: {found:.4f} for {true:.4f}, error {error:.4f}")
    assert found == pytest.approx(true, abs=3 * error + 0.04 * true)


def test_independent_means_have_the_tabled_maximum() -> None:
    """The expected maximum of 5 standard normals is 1.16296 (Teichroew 1956)."""
    d = np.random.default_rng(0).normal(size=(400, 5))
    found = best_of(d, draws=40_000, rng=np.random.default_rng(1))
    assert found.expected * 20 == pytest.approx(1.16296, abs=0.06)
    assert found.error == pytest.approx(0.669 / 20 / 200, rel=0.1)


def test_the_best_is_named_and_what_all_share_does_not_count() -> None:
    d = np.random.default_rng(0).normal(size=(6, 4)) + np.array([0, 0, 3.0, 0])
    found = best_of(d, rng=np.random.default_rng(1))
    assert (found.cell, found.cells, found.seeds) == (2, 4, 6)
    assert found.estimate == pytest.approx(d[:, 2].mean())
    alone = best_of(d[:, :1], rng=np.random.default_rng(1))
    assert abs(alone.expected) <= 3 * alone.error  # one cell is not chosen among others
    alike = best_of(np.repeat(d[:, :1], 4, axis=1), rng=np.random.default_rng(1))
    assert alike.expected == pytest.approx(alone.expected)


@pytest.mark.parametrize("differences", [np.ones((2, 4)), np.ones(4), np.ones((3, 0)), np.full((3, 2), np.nan)])
def test_grids_that_are_none_are_refused(differences: np.ndarray) -> None:
    with pytest.raises(StatisticsError, match="grid: expected"):
        best_of(differences, rng=np.random.default_rng(0))
