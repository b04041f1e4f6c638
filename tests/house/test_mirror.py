"""`tests/` mirrors `ncf/`: each module has a test file of its name, and each test file a module."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "ncf", ROOT / "tests"
# What has no module of its own: promises that cut across modules, the pages of docs/, the experiments, and the house.
ACROSS = ("reliability", "docs", "experiments", "house", "helpers")

SOURCES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py") and path.stat().st_size
)
TEST_FILES = sorted(
    path.relative_to(TESTS) for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in ACROSS
)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_each_module_has_tests(source):
    assert (TESTS / source.parent / f"test_{source.name}").exists()


@pytest.mark.parametrize("test", TEST_FILES, ids=str)
def test_each_test_file_has_a_module(test):
    words = test.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]  # test_sweep_faults.py is of sweep.py
    files = [test.parent / file for name in names for file in (f"{name}.py", f"__{name}__.py")]
    assert any((PACKAGE / file).exists() for file in files)
