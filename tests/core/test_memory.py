"""What says that no memory is left, and what does not; and how much is left."""

import resource
from pathlib import Path

import apart
import pytest
import torch

from ncf.core import memory
from ncf.core.memory import available, is_out_of_memory


def wrapped(error: BaseException) -> BaseException:
    try:
        try:
            raise error
        except BaseException as cause:
            raise ValueError("cannot be read") from cause
    except ValueError as outer:
        return outer


def the_allocators() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), OSError(12, "Cannot allocate memory")],
    ids=repr,
)
def test_errors_of_python_torch_and_the_system(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_memory(wrapped(error))


def test_the_error_of_torchs_own_allocator() -> None:
    assert is_out_of_memory(the_allocators())


@pytest.mark.parametrize(
    "error", [None, ValueError("out of memory"), RuntimeError("shape mismatch"), OSError(28, "full")]
)
def test_others_are_not_taken_for_it(error: BaseException | None) -> None:
    assert not is_out_of_memory(error)


def test_errors_that_cause_each_other_do_not_hang() -> None:
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    assert not is_out_of_memory(a)


def test_what_is_left_is_less_than_there_is() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < available() < total


def left_within(size: int, path: Path) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))
    path.write_text(str(available()))


@pytest.mark.slow
def test_a_limit_of_the_shell_is_heeded(tmp_path: Path) -> None:
    process = apart._context.Process(target=left_within, args=(2**28, tmp_path / "left"))
    process.start()
    assert apart.status(process) == 0
    assert 2**27 < float((tmp_path / "left").read_text()) <= 2**28


def test_a_limit_of_the_container_is_heeded(tmp_path: Path) -> None:
    assert memory._container_left(tmp_path) == float("inf")
    for name, text in {"max": "1000\n", "current": "700\n", "stat": "anon 400\ninactive_file 200\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory._container_left(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container_left(tmp_path) == float("inf")
