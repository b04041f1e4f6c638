"""A finished study with made-up numbers, reported once for all tests."""

from pathlib import Path

import pytest
from made_up import registration, runs, write
from matplotlib.figure import Figure

from ncf.report.kit import page
from ncf.report.sections import chosen
from ncf.report.study import Study, load


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The whole registered study, with every companion."""
    folder = tmp_path_factory.mktemp("study")
    write(folder, runs(registration()))
    return load(folder, registration())


@pytest.fixture(scope="session")
def reported(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its report: every section of the library's, figures as SVG alone (PNG takes as long again)."""

    def save(figure: Figure, folder: Path, name: str, formats: object) -> str:
        figure.savefig(folder / f"{name}.svg")
        return (folder / f"{name}.svg").read_text()

    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "save", save)
        page.write(study, chosen(None), folder)
    return folder
