"""Files of arrays from outside: what does not hold what it declares is refused before memory is taken."""

import io
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ncf.core.arrays import mapped, most_unpacked, read_arrays
from ncf.errors import DataError


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def test_arrays_come_back_stored_or_compressed_in_either_order(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.asfortranarray(np.eye(3)), "c": np.array("x"), "d": np.zeros(0)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **arrays)
        found = read_arrays(tmp_path / "x.npz", DataError)
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert np.array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def one_of_shape(*shape: int) -> bytes:
    """An array file that declares a shape and holds a single number."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(8)


def bad(kind: str, path: Path) -> Path:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        return Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "shape":
        npz(path, {"a.npy": one_of_shape(10**16)}, zipfile.ZIP_STORED)
    elif kind == "negative":
        npz(path, {"a.npy": one_of_shape(-1, -1)})
    elif kind == "bomb":
        npz(path, {"a.npy": npy(np.zeros(4_000_000, np.int64))})
    elif kind == "method":
        npz(path, {"a.npy": npy(np.zeros(1000, np.int64))}, zipfile.ZIP_BZIP2)
    elif kind == "objects":
        npz(path, {"a.npy": npy(np.array([{}], object))})
    elif kind == "text":
        npz(path, {"a.npy": b"no array"})
    return path


@pytest.mark.parametrize(
    "kind", ["fifo", "zero", "folder", "nothing", "shape", "negative", "bomb", "method", "objects", "text"]
)
def test_what_is_no_file_of_arrays_is_one_line_and_takes_no_memory(tmp_path: Path, kind: str) -> None:
    path = bad(kind, tmp_path / "x.npz")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as caught:
        read_arrays(path, DataError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "gone.npz", DataError)


def test_small_files_may_unfold_freely_and_large_ones_thirtyfold() -> None:
    assert most_unpacked(1) == 16 * 2**20
    assert most_unpacked(10**9) == 30 * 10**9


def test_an_array_is_mapped_and_its_file_keeps_what_is_changed_in_memory(tmp_path: Path) -> None:
    for array in (np.arange(6), np.array(["é", "ab"]), np.zeros(0, np.int64), np.eye(3)):
        np.save(tmp_path / "x.npy", array)
        found = mapped(tmp_path / "x.npy", DataError)
        assert isinstance(found, np.memmap)
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
        found[:1] = found[-1:]
        assert np.array_equal(np.load(tmp_path / "x.npy"), array)


@pytest.mark.parametrize("damage", ["cut", "longer", "objects", "text", "empty", "fifo"])
def test_what_is_no_file_of_an_array_is_not_mapped(damage: str, tmp_path: Path) -> None:
    path, sound = tmp_path / "x.npy", npy(np.arange(100))
    content = {
        "cut": sound[:-1], "longer": sound + b"0", "objects": npy(np.array([{}])), "text": b"a,b\n1,2\n", "empty": b"",
    }  # fmt: skip
    path.write_bytes(content[damage]) if damage in content else os.mkfifo(path)
    with pytest.raises(DataError) as caught:
        mapped(path, DataError)
    assert "\n" not in str(caught.value)
