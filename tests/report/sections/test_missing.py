"""Which parts of a study lack runs, and what makes them."""

from made_up import presented, registration, runs

from ncf.report.kit.prose import Prose, line
from ncf.report.sections.missing import SECTION, missing
from ncf.report.study import Study


def note(study: Study) -> str:
    return line(Prose(study).macro(SECTION.prose, "missing_note", missing(study).facts))


def test_a_part_that_lacks_runs_is_named_with_its_seeds_and_command() -> None:
    plan = registration()
    table = runs(plan)
    lost = ((table["loss"] == "bce") & (table["neg_ratio"] == 10) & table["seed"].isin([42, 43, 50])) | (
        table["gamma"] == 0.5
    )
    study = presented(
        Study(plan, table[~lost], {}, {}),
        names={"gentle": "a gentle γ"},
        commands={"runs": "make a", "gentle": "make b"},
    )
    assert missing(study).rows == [
        ["main", "1:10", "27 of 30", "42 to 43, 50", "make a"],
        ["a gentle γ", "1:4", "3 of 6", "42 to 44", "make b"],
    ]
    assert note(study) == "make a runs all that is missing, and nothing twice."
    assert note(presented(study)) == ""


def test_a_whole_study_lacks_nothing(study: Study) -> None:
    assert missing(study).rows == []
    assert note(study) == "Every registered run is there."
