"""Recognise running out of memory, which Python and torch report by different errors."""

import re

_TORCH = re.compile("out of memory|can't allocate memory|not enough memory|Cannot allocate memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether `error`, or an error that caused it, says that no memory was left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and _TORCH.search(str(error))):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
