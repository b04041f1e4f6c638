"""What a torch file would unfold into is known before torch reads it."""

import io
import struct
import time
import zipfile
from typing import Any

import pytest
import torch
from finished_runs import FinishedRuns

from ncf.runs import checkpoint, torch_file

HEAD = b"\x80\x02"


def archived(pickle: bytes, record: bytes = b"", method: int = zipfile.ZIP_STORED) -> io.BytesIO:
    """A torch file with this pickle, and one record."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", HEAD + pickle)
        archive.writestr("archive/data/0", record)
    return file


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"\x8a\x08" + value.to_bytes(8, "little", signed=True) for value in values) + b"t"


def tensor(shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """What torch.save writes of a tensor whose storage holds four numbers."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + numbers(shape) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def called(function: str, *arguments: bytes) -> bytes:
    return b"c" + function.encode() + b"\n(" + b"".join(arguments) + b"tR."


DOUBLED = b"N" + b"".join(b"q" + bytes([place]) + b"h" + bytes([place]) + b"\x86" for place in range(60)) + b"."
HOSTILE = {
    "pairs of pairs": DOUBLED,
    "pairs of pairs as a key": b"}" + DOUBLED[:-1] + b"Ns.",
    "a list in itself": b"]q\x00h\x00a.",
    "a dict in itself": b"}q\x00K\x01h\x00s.",
    "very deep": b"]" * 2000 + b"a" * 1999 + b".",
    "very many lists": b"(" + b"]" * 200_000 + b"t.",
    "very many numbers": b"(" + b"N" * 2_000_000 + b"t.",
    "a tensor with stride 0": tensor((1 << 40,), (0,)) + b".",
    "many of one tensor": b"(" + tensor((4,), (1,)) + b"q\x00" + b"h\x00" * 990_000 + b"t.",
    "a tensor without data": called(
        "torch._utils\n_rebuild_meta_tensor_no_storage", b"ctorch\nfloat32\n", b"K\x01\x85"
    ),
    "a sparse tensor": called("torch._utils\n_rebuild_sparse_tensor", b"ctorch\nfloat32\n"),
    "memory for the asking": called("torch\nTensor", b"\x8a\x08" + (1 << 30).to_bytes(8, "little")),
    "storage for the asking": called("torch\nUntypedStorage", b"\x8a\x08" + (1 << 30).to_bytes(8, "little")),
    "a tensor that is resized": tensor((4,), (1,)) + b"(K\x01tb.",
    "another operation": b"N0N.",
    "a function": b"cos\nsystem\n.",
    "a memo that is not there": b"h\x07.",
    "nothing": b".",
    "no end": b"N",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_unfolds_or_never_ends_is_refused_at_once(kind: str) -> None:
    file, start = archived(HOSTILE[kind], bytes(16)), time.perf_counter()
    with pytest.raises(Exception) as caught:  # noqa: PT011  any of several, as its caller expects
        torch_file.check(file, len(file.getvalue()))
    assert not isinstance(caught.value, MemoryError | RecursionError)
    assert time.perf_counter() - start < 4


def test_an_archive_that_unpacks_to_more_than_it_is_refused() -> None:
    file = archived(b"N.", bytes(1 << 20), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="expected records that are not compressed"):
        torch_file.check(file, len(file.getvalue()))
    file = archived(b"N.", bytes(1 << 20))
    with pytest.raises(ValueError, match="no longer than the file"):
        torch_file.check(file, 1 << 19)


def test_two_pickles_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("one/data.pkl", "two/data.pkl"):
            archive.writestr(name, HEAD + b"N.")
    with pytest.raises(ValueError, match="one pickle"):
        torch_file.check(file, 1 << 20)


def test_a_directory_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "_LARGEST_DIRECTORY", 70_000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(2000):
            archive.writestr(f"archive/data/{number}", b"")
    with pytest.raises(ValueError, match="in one piece"):
        torch_file.check(file, len(file.getvalue()))


SOUND: dict[str, Any] = {
    "every kind": {
        "none": None, "numbers": [1, -5, 2**40, 2**70, 0.5, True], "text": "x" * 300, "pair": (1, 2), "bytes": ((),),
        "dtypes": [torch.zeros(3, dtype=d) for d in (torch.bool, torch.uint8, torch.bfloat16, torch.float8_e4m3fn)],
        "strided": torch.zeros(4, 5).T, "empty": torch.zeros(0, 3), "size": torch.Size([3]),
        "parameter": torch.nn.Parameter(torch.ones(2)), "state": torch.nn.Linear(2, 2).state_dict(),
    },
    "the same one several times": [torch.zeros(500_000)] * 4,
    "a long history": [{f"metric {name}": 0.5 for name in range(14)} for _ in range(10_000)],
}  # fmt: skip


@pytest.mark.parametrize("kind", SOUND)
def test_what_torch_saves_passes(kind: str) -> None:
    file = io.BytesIO()
    torch.save(SOUND[kind], file)
    torch_file.check(file, len(file.getvalue()))


@pytest.mark.parametrize("name", ["neumf", "mlp", "gmf", "mf", "ease", "ials", "puresvd", "popularity", "item_knn"])
def test_checkpoints_pass_in_no_time(name: str, runs: FinishedRuns) -> None:
    path = runs[name] / checkpoint.NEWEST
    start = time.perf_counter()
    with path.open("rb") as file:
        torch_file.check(file, path.stat().st_size)
    assert time.perf_counter() - start < 0.5
