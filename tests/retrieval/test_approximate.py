"""Indexes: with all effort exact, the same each time, kept as arrays, and no array of a stranger's is trusted."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from ncf.errors import ConfigError, DataError
from ncf.retrieval.approximate import HNSW, INDEXES, IVF, Arrays
from ncf.retrieval.nearest import Exact, recall

pytest.importorskip("faiss")
ALL = torch.ones(20, 10, dtype=torch.bool)


@pytest.fixture(scope="module")
def table() -> tuple[Tensor, Tensor]:
    """Items (600, 8) of differing lengths, one of none and two the same; queries (20, 8)."""
    stream = torch.Generator().manual_seed(1)
    items = torch.randn(600, 8, generator=stream) * torch.rand(600, 1, generator=stream)
    items[5], items[6] = 0, items[7]
    return items, torch.randn(20, 8, generator=stream)


@pytest.mark.parametrize("name", INDEXES)
def test_more_effort_finds_more_up_to_all(name: str, table: tuple[Tensor, Tensor]) -> None:
    items, queries = table
    index = INDEXES[name](items)
    expected = Exact(items).search(queries, 10)
    found = []
    for index.effort in (1, 512):
        values, chosen = index.search(queries, 10)
        found.append(recall(chosen, expected[1], ALL))
        torch.testing.assert_close(values, (items[chosen] @ queries[:, :, None]).squeeze(2).where(values > -9, values))
        assert (values.diff(dim=1) <= 0).all()  # best first
    assert found[0] < found[1]
    assert found[1] == 1
    assert index.search(queries, 9999)[0].shape == (20, 600)


@pytest.mark.parametrize("name", INDEXES)
def test_equal_vectors_give_an_equal_index_and_its_arrays_give_it_again(
    name: str, table: tuple[Tensor, Tensor]
) -> None:
    items, queries = table
    first, second = (INDEXES[name](items) for _ in range(2))
    for key, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[key])
    again = INDEXES[name](items, first.arrays())
    for effort in (1, 16, 512):
        first.effort = again.effort = effort
        assert again.search(queries, 10)[1].tolist() == first.search(queries, 10)[1].tolist()


def test_a_graph_that_leads_out_of_its_arrays_is_refused(table: tuple[Tensor, Tensor]) -> None:
    items, _ = table
    good = HNSW(items).arrays()
    low = int(np.flatnonzero(good["levels"] == 1)[0])
    high = int(np.flatnonzero(good["levels"] > 1)[0])
    width = 32  # links on the lowest level; each further one has 16 more
    start = width * high + 16 * int((good["levels"][:high] - 1).sum())

    def put(name: str, place: int, value: int) -> Arrays:
        array = good[name].copy()
        array[place] = value
        return good | {name: array}

    for bad in (
        put("neighbours", 0, 600), put("neighbours", 0, -2), put("neighbours", start + width, low), put("levels", 3, 0),
        put("levels", 3, 99), put("levels", low, 2), good | {"entry": np.array(600)}, good | {"entry": np.array(-1)},
        good | {"entry": np.array(low)}, good | {"levels": good["levels"][:-1]},
        good | {"neighbours": good["neighbours"][:-1]}, good | {"neighbours": good["neighbours"].astype(np.int64)},
        {}, good | {"entry": np.array([1])},
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"^expected "):
            HNSW(items, bad)


def test_cells_that_are_none_are_refused(table: tuple[Tensor, Tensor]) -> None:
    items, _ = table
    good = IVF(items).arrays()
    for bad in (
        {}, good | {"cells": good["cells"] + len(good["centres"])}, good | {"cells": good["cells"] - 1000},
        good | {"cells": good["cells"][1:]}, good | {"centres": good["centres"][:, 1:]},
        good | {"centres": good["centres"] * np.nan}, good | {"centres": good["centres"][:0]},
        good | {"centres": good["centres"].astype(np.float64)},
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"^expected "):
            IVF(items, bad)


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_small_catalogues(name: str, count: int, table: tuple[Tensor, Tensor]) -> None:
    items, queries = table[0][100 : 100 + count], table[1]
    index = INDEXES[name](items)
    index.effort = 512
    assert recall(index.search(queries, 1)[1], Exact(items).search(queries, 1)[1], ALL[:, :1]) == 1


def test_without_faiss_one_line_says_what_to_install(
    table: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"^retrieval: faiss is not installed; pip install 'ncf\[ann\]' brings it$"):
        HNSW(table[0])
