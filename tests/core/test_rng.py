"""Streams are a function of their address, and of nothing else."""

import itertools
from collections.abc import Callable

import pytest
import torch
from scipy import stats

from ncf.core.rng import generator, numpy_generator


def test_equal_addresses_give_equal_numbers() -> None:
    first = torch.rand(1000, generator=generator(42, "negatives", 3, 7))
    torch.rand(10, generator=generator(42, "negatives", 3, 8))
    assert torch.equal(first, torch.rand(1000, generator=generator(42, "negatives", 3, 7)))


@pytest.mark.parametrize(
    "other", [(43, "negatives", 3, 7), (42, "shuffle", 3, 7), (42, "negatives", 4, 7), (42, "negatives", 3, 8)]
)
def test_every_coordinate_of_the_address_matters(other: tuple) -> None:
    first = torch.rand(1000, generator=generator(42, "negatives", 3, 7))
    assert not torch.isclose(first, torch.rand(1000, generator=generator(*other))).all()


def test_coordinates_do_not_run_into_each_other() -> None:
    assert generator(1, "shuffle", 23, 4).initial_seed() != generator(1, "shuffle", 2, 34).initial_seed()


def test_the_streams_are_those_of_every_earlier_version() -> None:
    """Changing the addressing changes every published number: it must be a decision, not a side effect."""
    drawn = torch.randint(2**31, (3,), generator=generator(42, "negatives", 1, 0)).tolist()
    assert drawn == [406493308, 1211974917, 1565558010]


def test_the_numpy_stream_is_a_function_of_its_address_and_that_of_every_earlier_version() -> None:
    first = numpy_generator(42, "h1/ndcg@10").random(1000)
    assert (first == numpy_generator(42, "h1/ndcg@10").random(1000)).all()
    for other in ((43, "h1/ndcg@10"), (42, "h1/hit@10")):
        assert not (first == numpy_generator(*other).random(1000)).any()
    assert numpy_generator(0, "bootstrap").integers(2**31, size=3).tolist() == [437899333, 1019799224, 897936952]


def test_neighbouring_streams_are_unrelated() -> None:
    """The first numbers of streams at adjacent addresses are uniform, and independent of their neighbours'."""
    first = torch.tensor(
        [torch.rand((), generator=generator(s, "shuffle", e)) for s, e in itertools.product(range(40), range(50))]
    )
    assert stats.kstest(first.numpy(), "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(first[1:].numpy(), first[:-1].numpy()).statistic) < 0.1


def test_no_global_state_is_touched(untouched: Callable[[], bool]) -> None:
    torch.rand(10, generator=generator(0, "initialisation"))
    numpy_generator(0, "bootstrap").random(10)
    assert untouched()
