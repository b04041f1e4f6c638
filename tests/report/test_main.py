"""`python -m ncf.report`: from run folders or from earlier tables to the files, and one line for every mistake."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up import REGISTRATION, registration, runs, write

from ncf.core import command_line
from ncf.core.registry import IMPORTS
from ncf.errors import NcfError
from ncf.report.__main__ import FORMATS, main
from ncf.report.kit import page, style
from ncf.report.sections import SECTIONS

SECTION = """
from pathlib import Path
from ncf.report.kit.section import Cells, Listing, Section
from ncf.report.sections import register

def count(study):
    return Cells(["ratio", "runs"], [[f"1:{r}", str((study.runs["neg_ratio"] == r).sum())] for r in study.ratios])

register("counted", Section("How many", Path(__file__).with_suffix(".j2"), (Listing("counted", "Counted", count),)))
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The tables of a finished study, its registration beside them."""
    write(tmp_path, runs(registration()))
    (tmp_path / "registration.yaml").write_text(REGISTRATION)
    return tmp_path / "results.csv"


def arguments(results: Path, *more: str) -> list[str]:
    return ["--registration", str(results.with_name("registration.yaml")), f"results={results}", *more]


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_made_again_elsewhere_from_its_tables_a_report_is_the_same_to_the_byte(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results.with_name("report.yaml").write_text("report: [protocol, effects, missing]\n")
    first, again = results.parent / "first", results.parent / "again"
    main(arguments(results, f"output={first}"))
    main([*arguments(results)[:2], "--results", str(first / "results.csv"), "--output", str(again)])
    assert capsys.readouterr().out.split() == [str(first / page.PAGE), str(again / page.PAGE)]
    made = files(first)
    assert {"figures/sampled.svg", "figures/sampled.png", "tables/effects.md", "README.md"} <= set(map(str, made))
    assert made == files(again)


def test_a_report_has_the_sections_that_the_registration_names_and_no_others(results: Path) -> None:
    plan = results.with_name("registration.yaml")
    plan.write_text(f"{REGISTRATION}\nreport: [missing, effects]\n")
    main(arguments(results))
    text = (results.parent / page.PAGE).read_text()
    assert text.index("<h2>What is missing") < text.index("<h2>How sure, and how large")
    assert text.count("<h2>") == 3  # the two, and where the numbers come from
    assert sorted(path.stem for path in (results.parent / "tables").glob("*.md")) == [
        "design", "effects", "missing", "users",
    ]  # fmt: skip


def test_what_the_report_says_may_lie_beside_the_registration_but_not_in_both(results: Path) -> None:
    beside = results.with_name("report.yaml")
    beside.write_text("report:\n  sections: [missing]\n  background: Ranks <are> counted.\n  limits: [One study.]\n")
    main(arguments(results))
    assert "Ranks &lt;are&gt; counted." in (results.parent / page.PAGE).read_text()
    assert "\n- One study.\n" in (results.parent / page.README).read_text()
    results.with_name("registration.yaml").write_text(f"{REGISTRATION}\nreport: [missing]\n")
    with pytest.raises(NcfError, match="expected `report` as its only key, and not in the registration as well"):
        main(arguments(results))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha: 0.5\nreport: [missing]\n", "expected `report` as its only key"),
        ("report: {sectoins: []}\n", "report.sectoins: unknown key"),
        ("report: {grids: [wide]}\n", r"report.grids: expected one of \['main', 'weighed', 'gentle'\], got 'wide'"),
        (
            "report: [missing, heat_map]\n",
            "report.sections: expected some of comparisons, .*, got 'heat_map'; --import",
        ),
    ],
)
def test_a_wrong_report_is_refused_by_its_key_and_nothing_is_written(results: Path, text: str, message: str) -> None:
    results.with_name("report.yaml").write_text(text)
    with pytest.raises(NcfError, match=message):
        main(arguments(results))
    assert not (results.parent / page.PAGE).exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["sweep=nowhere"], "nowhere: expected a finished run"),
        (["results=nowhere/results.csv"], "nowhere/results.csv does not exist"),
        (["sweep=a"], "a: expected a finished run, or a sweep with one, found no result.json"),
        (["sweep=,"], "--sweep: expected a sweep's folder, got none"),
        (["sweep=a", "output=r.yaml"], "--output: expected a folder, got r.yaml"),
        (["sweep=a", "formats=svg,gif"], "--formats: expected some of svg, png, pdf, got 'svg,gif'"),
        (["sweep=a", "formats="], "formats: expected a value, got none"),
        (["results=r.yaml"], "--results: expected the results.csv of an earlier report, got r.yaml"),
        (["sweep=a", "results=b"], "^results: not allowed with sweep "),
        ([], r"^expected one of sweep=\.\.\., results=\.\.\., found none"),
        (["sweep=a", "sweeps=a"], "sweeps: unknown option, expected one of "),
        (["registration=nowhere.yaml", "sweep=a"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(REGISTRATION)
    Path("a").mkdir()
    with pytest.raises(NcfError, match=message) as caught:
        main(["registration=r.yaml", *given])
    assert "\n" not in str(caught.value)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """typed(*arguments) -> the exit status of `python -m ncf.report` with them; what it imports is forgotten after."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setenv(IMPORTS, "")
    before = dict(SECTIONS)

    def run(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["ncf.report", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.run(main)
        return ended.value.code

    yield run
    SECTIONS.clear()
    SECTIONS.update(before)
    sys.modules.pop("my_sections", None)


def test_the_formats_offered_are_those_that_are_written_the_same_each_time() -> None:
    assert tuple(style.METADATA) == FORMATS


def test_a_section_of_the_users_own_comes_in_by_import(
    results: Path, typed: Callable[..., object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results.parent
    (folder / "my_sections.py").write_text(SECTION)
    (folder / "my_sections.j2").write_text("{% macro counted_note() %}Of {{ study.ratios | length }}.{% endmacro %}")
    (folder / "report.yaml").write_text("report: [counted]\n")
    monkeypatch.chdir(folder)
    assert typed(*arguments(results)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "got 'counted'; --import brings in your own" in line
    assert typed("--import", "my_sections", *arguments(results)) == 0
    assert "| 1:4 | 61 |" in (folder / "tables" / "counted.md").read_text()
    assert "\nOf 3.\n" in (folder / "tables" / "counted.md").read_text()
