"""Every error that a user can cause is an NcfError, so that the command line shows it as one line."""

import inspect

import pytest

from ncf import errors
from ncf.errors import NcfError

OWN = [error for _, error in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.__name__)
def test_it_is_an_ncf_error(error: type[Exception]) -> None:
    assert issubclass(error, NcfError)


def test_none_is_caught_where_another_is_meant() -> None:
    """Apart from the base class, none is a kind of another."""
    rest = [error for error in OWN if error is not NcfError]
    assert not [(a, b) for a in rest for b in rest if a is not b and issubclass(a, b)]
