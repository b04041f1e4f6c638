"""What is missing: the registered runs that are not there."""

from pathlib import Path

from ncf.report.kit.naming import seeds_text
from ncf.report.kit.section import Cells, Listing, Section
from ncf.report.study import Study


def missing(study: Study) -> Cells:
    """The parts of the study that lack runs, with the command that makes them."""
    names = study.registration.report.names
    rows = [
        [names.get(m.grid, m.grid), f"1:{m.ratio}", f"{m.registered - m.missing} of {m.registered}",
         seeds_text(m.seeds), study.command(m.grid)]
        for m in study.missing if m.missing
    ]  # fmt: skip
    header = ["part", "negatives", "finished", "seeds that lack a run", "command"]
    return Cells(header, rows, {"lacking": len(rows)})


SECTION = Section(
    "What is missing", Path(__file__).with_suffix(".j2"), (Listing("missing", "What is missing", missing),)
)
