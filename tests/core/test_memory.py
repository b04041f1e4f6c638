"""What says that no memory is left, and what does not."""

import pytest
import torch

from ncf.core.memory import is_out_of_memory


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
