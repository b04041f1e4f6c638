"""What the tests of tuning share: a database that does not wait for the disk."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from ncf.launch import study_database


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Databases of studies are written without fsync, so that a transaction takes no time."""
    connect = study_database._connect

    def connected(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with patch.object(study_database, "_connect", connected):
        yield
