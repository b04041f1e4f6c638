"""docs/reliability.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()


def test_each_file_is_there() -> None:
    """By its path below tests/, or, where the page has named it before, by its name alone."""
    for name in set(re.findall(r"`((?:\w+/)*test_\w+\.py)", PAGE)):
        assert (TESTS / name).is_file() or ("/" not in name and len(list(TESTS.rglob(name))) == 1), name


def test_each_test_is_in_its_file() -> None:
    for line in PAGE.splitlines():
        file = ""
        for named, test in re.findall(r"`((?:\w+/)*test_\w+\.py)?(?:::(test_\w+))?`", line):
            file = named or file
            if test:
                assert f"def {test}(" in (TESTS / file).read_text(), f"{file}::{test}"
