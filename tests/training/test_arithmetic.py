"""The arithmetic of training begins and ends with it."""

import contextlib

import pytest
import torch

from ncf.training.arithmetic import arithmetic

TINY = torch.tensor(1e-40)  # a denormal number


@pytest.mark.parametrize(("precision", "products"), [("float32", "highest"), ("tf32", "high"), ("bfloat16", "highest")])
def test_it_holds_in_the_context_and_ends_with_it_even_after_an_error(precision: str, products: str) -> None:
    assert TINY / 2 > 0
    with contextlib.suppress(KeyError), arithmetic(precision):
        assert TINY / 2 == 0
        assert torch.get_float32_matmul_precision() == products
        raise KeyError
    assert TINY / 2 > 0
    assert torch.get_float32_matmul_precision() == "highest"


def test_ordinary_numbers_are_left_as_they_are() -> None:
    values = torch.tensor([1e-37, 1.0, -3e38])
    with arithmetic("float32"):
        assert torch.equal(values * 1.0, values)
