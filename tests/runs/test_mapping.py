"""What is given back is read again from the file; memory that is not the file's is left alone."""

from pathlib import Path

import pytest
import torch
from smaps import resident
from torch import Tensor

from ncf.runs.mapping import NOWHERE, Mapped, mapped_at

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not say what is mapped")


def mapped(path: Path) -> Tensor:
    torch.save({"x": torch.arange(1 << 20)}, path)
    found = torch.load(path, mmap=True)["x"]
    assert isinstance(found, Tensor)
    return found


def test_pages_of_the_file_are_given_back_and_come_again(tmp_path: Path) -> None:
    tensor = mapped(tmp_path / "x")
    assert int(tensor.sum()) == (1 << 19) * ((1 << 20) - 1)
    assert resident(tensor.data_ptr()) > 8000
    with (tmp_path / "x").open("rb") as file:
        mapped_at(file).give_back(tensor)
    assert resident(tensor.data_ptr()) < 200
    assert torch.equal(tensor, torch.arange(1 << 20))


def test_other_memory_keeps_its_content(tmp_path: Path) -> None:
    tensor, other = mapped(tmp_path / "x"), torch.arange(1 << 20)
    with (tmp_path / "x").open("rb") as file:
        where = mapped_at(file)
    for mapping in (where, NOWHERE):
        mapping.give_back(other)
        mapping.give_back(tensor[:0])
    assert torch.equal(other, torch.arange(1 << 20))
    Mapped(((other.data_ptr() // 4096 * 4096, other.data_ptr() + (8 << 20) + 4096),)).give_back(other)
    assert not torch.equal(other, torch.arange(1 << 20))  # which is what the ranges protect it from


def test_a_file_that_is_not_mapped_has_no_ranges(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with (tmp_path / "x").open("rb") as file:
        assert mapped_at(file) == NOWHERE
