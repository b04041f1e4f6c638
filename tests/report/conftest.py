"""A finished study with made-up numbers, reported once for all tests."""

from pathlib import Path

import pytest
from made_up import registration, runs, write

from ncf.report import page
from ncf.report.study import Study, load


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The whole registered study, with every companion."""
    folder = tmp_path_factory.mktemp("study")
    write(folder, runs(registration()))
    return load(folder, registration())


@pytest.fixture(scope="session")
def reported(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its report."""
    folder = tmp_path_factory.mktemp("report")
    page.write(study, folder)
    return folder
