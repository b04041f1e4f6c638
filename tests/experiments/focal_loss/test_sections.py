"""The committed report follows from the committed tables, and from them alone."""

from pathlib import Path

import pytest
from markupsafe import Markup

from experiments.focal_loss import clamped, grid, rule, sections
from ncf.report.kit import page
from ncf.report.kit.prose import Prose
from ncf.report.kit.section import Chart, Section
from ncf.report.sections import SECTIONS, chosen
from ncf.report.study import NotRunError, Study

FOLDER = Path(sections.__file__).parent


def test_the_studys_own_sections_are_registered(study: Study) -> None:
    own = (rule.SECTION, grid.SECTION, clamped.SECTION)
    assert tuple(SECTIONS[name] for name in ("rule", "grid", "clamped")) == own
    shown = chosen(study.registration.report.sections)
    assert all(section in shown for section in own)


def blank(study: Study, words: Prose, section: Section, chart: Chart, *_: object) -> page.Drawn:
    """A figure in name alone: drawing is most of the time, and no figure is compared here."""
    return page.Drawn(chart.name, chart.question, chart.standing, "", Markup())


@pytest.fixture(scope="module")
def again(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report made again beside a copy of the registration, without its figures."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "preregistration.yaml").write_bytes((FOLDER / "preregistration.yaml").read_bytes())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "drawn", blank)
        page.write(study, chosen(study.registration.report.sections), folder)
    return folder


@pytest.mark.slow
def test_the_committed_tables_come_out_again_to_the_byte(again: Path) -> None:
    committed = {path.name: path.read_bytes() for path in (FOLDER / "tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (again / "tables").iterdir()} == committed
    assert len(committed) == 22


@pytest.mark.slow
def test_the_committed_readme_comes_out_again_to_the_byte(again: Path) -> None:
    assert (again / page.README).read_text() == (FOLDER / page.README).read_text()


def test_every_committed_figure_is_one_that_the_sections_draw(study: Study) -> None:
    parts = [part for section in chosen(study.registration.report.sections) for part in section.parts]
    drawn = {part.name for part in parts if isinstance(part, Chart)}
    assert {path.stem for path in (FOLDER / "figures").iterdir()} == drawn


def test_before_the_sweep_the_studys_own_parts_say_what_runs_them(study: Study) -> None:
    before = Study(study.registration, study.runs[study.runs["run"] == ""], study.protocol, {})
    with pytest.raises(NotRunError) as caught:
        grid.heat_map(before)
    assert (caught.value.missing, study.command(caught.value.made_by)) == (
        "the γ × α grid", "python -m ncf.train -m experiment=grid",
    )  # fmt: skip
    for make in (clamped.figure, clamped.table):
        with pytest.raises(NotRunError) as caught:
            make(before)
        assert study.command(caught.value.made_by) == "python -m ncf.train -m experiment=clamped"
