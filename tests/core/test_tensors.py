"""Numbers of any origin become tensors, without a warning; what holds none is refused in a line."""

import decimal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from ncf.core.tensors import array_of, tensor_of
from ncf.errors import DataError

NUMBERS = np.arange(12, dtype=np.float64).reshape(3, 4) / 8


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Any warning fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read_only() -> np.ndarray:
    array = NUMBERS.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        read_only(),
        NUMBERS[:, ::-1].copy()[:, ::-1],
        NUMBERS[::-1].copy()[::-1],
        NUMBERS.astype(">f8"),
        NUMBERS.astype(object),
        NUMBERS.astype(np.longdouble),
        np.asfortranarray(NUMBERS),
        NUMBERS.tolist(),
        np.ma.masked_array(NUMBERS),
        pd.DataFrame(NUMBERS),
        torch.tensor(NUMBERS),
        [[decimal.Decimal(x) for x in row] for row in NUMBERS.tolist()],
    ],
)
def test_the_numbers_are_those_given(values: Any) -> None:
    found = tensor_of("x", values, DataError)
    assert found.dtype == torch.float64
    assert np.array_equal(found.numpy(), NUMBERS)


def test_a_file_mapped_into_memory_and_a_repeated_row_are_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", NUMBERS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert array_of("x", mapped, DataError) is not None
    assert np.array_equal(tensor_of("x", mapped, DataError).numpy(), NUMBERS)
    assert tensor_of("x", np.broadcast_to(NUMBERS[0], (3, 4)), DataError).shape == (3, 4)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32, ">i4", ">f4"])
def test_the_kind_of_numbers_stays(kind: Any) -> None:
    found = tensor_of("x", NUMBERS.astype(kind), DataError)
    assert found.numpy().dtype == np.dtype(kind).newbyteorder("=")
    assert np.array_equal(found.numpy(), NUMBERS.astype(kind))


def test_memory_is_shared_where_it_may_be_written_to() -> None:
    array = NUMBERS.copy()
    array_of("x", array, DataError)[0, 0] = 7
    assert float(tensor_of("x", array, DataError)[0, 0]) == 7
    assert np.shares_memory(tensor_of("x", array, DataError).numpy(), array)
    assert not np.shares_memory(tensor_of("x", read_only(), DataError).numpy(), array)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (NUMBERS.astype(str), "expected an array of numbers, got one of <U32"),
        (NUMBERS.astype("datetime64[s]"), "expected an array of numbers, got one of datetime64"),
        (np.zeros(3, [("a", float)]), "expected an array of numbers, got one of"),
        (np.where(NUMBERS > 1, None, NUMBERS), "expected an array of numbers, found None of type NoneType"),
        (np.array(["1", 2], object), "expected an array of numbers, found '1' of type str"),
        (np.array([1j], object), "expected an array of numbers, found 1j of type complex"),
        (np.array([10**400], object), "expected numbers within the range of float64"),
        (None, "expected an array of numbers, found None"),
        ({}, "expected an array of numbers, found {}"),
        ([[1, 2], [3]], "expected an array of numbers, got list of uneven parts"),
        (np.ma.masked_greater(NUMBERS, 1), r"expected no masked values, found 3; \.filled\(value\) gives them one"),
        (sparse.csr_matrix(NUMBERS), r"expected a dense array, got a sparse csr_matrix; \.toarray\(\) makes one"),
        (sparse.coo_array(NUMBERS), r"expected a dense array, got a sparse coo_array"),
        (torch.tensor(NUMBERS).to_sparse(), r"expected a dense tensor, got a sparse_coo one; \.to_dense\(\)"),
        (torch.zeros(2, device="meta"), "expected a tensor of numbers, got one on device meta"),
    ],
)
def test_what_holds_no_numbers_is_refused_in_a_line(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^x: {message}") as caught:
        tensor_of("x", values, DataError)
    assert "\n" not in str(caught.value)
