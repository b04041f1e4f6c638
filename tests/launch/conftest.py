"""Sweeps that a test starts end with it, their orphaned workers too."""

from collections.abc import Iterator

import pytest
import sweeps


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Kill what `sweeps.start` has started and is not over."""
    yield
    sweeps.end_all()
