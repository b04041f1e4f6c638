"""Numbers of any origin as arrays and tensors: read-only, reversed and big-endian ones too, and never a warning."""

import decimal
import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncf.errors import NcfError


def tensor_of(name: str, values: Any, error: type[NcfError]) -> Tensor:
    """Return a dense tensor of numbers; it shares memory with `values` where torch can.

    Args:
        name: of the values, for the message.

    Raises:
        NcfError: of the type `error`, as `array_of`.
    """
    if not isinstance(values, Tensor):
        return torch.from_numpy(_for_torch(array_of(name, values, error)))
    if values.is_nested or values.layout != torch.strided:
        layout = "nested" if values.is_nested else str(values.layout).removeprefix("torch.")
        raise error(f"{name}: expected a dense tensor, got a {layout} one; .to_dense() makes one of a sparse one")
    if values.is_meta or values.is_quantized:
        raise error(f"{name}: expected a tensor of numbers, got one on device {values.device} in {values.dtype}")
    return values


def array_of(name: str, values: Any, error: type[NcfError]) -> np.ndarray:
    """Return a NumPy array of numbers without copying any that are in one already.

    Raises:
        NcfError: of the type `error`: the values are no numbers, masked, sparse, or of uneven lengths.
    """
    if hasattr(values, "toarray"):
        raise error(f"{name}: expected a dense array, got a sparse {type(values).__name__}; .toarray() makes one")
    if isinstance(values, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(values))):
        raise error(f"{name}: expected no masked values, found {masked}; .filled(value) gives them one")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise error(f"{name}: expected an array of numbers, got {type(values).__name__} of uneven parts") from None
    array = _unboxed(name, array, error) if array.dtype.kind == "O" else array
    if array.dtype.kind not in "biufc":
        raise error(f"{name}: expected an array of numbers, got one of {array.dtype}")
    return array


def _unboxed(name: str, array: np.ndarray, error: type[NcfError]) -> np.ndarray:
    """Return an array of objects as float64. Raises `error` for what is no real number, text that spells one too."""
    for value in array.flat:
        if not isinstance(value, numbers.Real | np.bool_ | decimal.Decimal):
            raise error(
                f"{name}: expected an array of numbers, found {repr(value)[:40]} of type {type(value).__name__}"
            )
    try:
        return array.astype(np.float64)
    except (OverflowError, ValueError):
        raise error(f"{name}: expected numbers within the range of float64") from None


def _for_torch(array: np.ndarray) -> np.ndarray:
    """Return the array itself, or a copy if torch cannot share its memory or would warn of it."""
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":  # long double
        return array.astype(np.float64)
    shareable = array.flags.writeable and array.dtype.isnative and min(array.strides, default=0) >= 0
    return array if shareable else np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
