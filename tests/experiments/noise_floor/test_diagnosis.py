"""The diagnosis finds Adam's epsilon, and nothing where there is nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from experiments.noise_floor.diagnosis import VARIANTS, Pair, first_difference, growth, ulps
from ncf.core.compose import configuration


@pytest.fixture
def settings(root: Path) -> Iterator[tuple[str, ...]]:
    """Of a tiny run."""
    with configuration():
        yield (
            "data=synthetic", f"data.root={root}", "data.users=40", "data.items=60", "data.interactions=600",
            "model.gmf_factors=4", "model.mlp_factors=4", "model.hidden=[8,4]",
        )  # fmt: skip


def test_halving_the_loss_first_shows_in_the_weights_that_adam_updates(settings: tuple[str, ...]) -> None:
    found = first_difference(Pair(settings))
    assert found is not None
    assert (found.step, found.operation) == (1, "weights")


def test_with_epsilon_halved_as_well_nothing_differs(settings: tuple[str, ...]) -> None:
    pair = Pair(settings, "epsilon halved with the loss")
    assert first_difference(pair) is None
    assert {row["weights"] for row in growth(Pair(settings, VARIANTS[1]), VARIANTS[1], 3)} == {0.0}
    assert first_difference(Pair(settings, "the same run")) is None


def test_a_moved_weight_is_found_where_it_is(settings: tuple[str, ...]) -> None:
    found = first_difference(Pair(settings, "one weight moved by 1 ulp"))
    assert found is not None
    assert found.step <= 2
    rows = list(growth(Pair(settings, VARIANTS[2]), VARIANTS[2], 3))
    assert 0 < rows[0]["weights"] < rows[-1]["weights"]  # type: ignore[operator]


def test_ulps_by_hand() -> None:
    one = torch.tensor([1.0, -1.0, 0.0, 1e-45])
    up = torch.nextafter(one, torch.full_like(one, 9))
    assert ulps(one, up) == 1
    assert ulps(torch.tensor([-1e-45]), torch.tensor([1e-45])) == 2
    assert ulps(torch.tensor([1.0]), torch.tensor([1 + 2.0**-20])) == 8
