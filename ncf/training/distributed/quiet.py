"""Silence for torchrec and fbgemm, which log pages of information, and warnings that concern their authors."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back logs up to warnings, and warnings, in the context; errors are shown."""
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # warns later of torchrec's own use of it
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
