"""`python -m ncf.compare run1 run2 ...`: show how finished runs differ, in settings and in results.

Each run is tested against the run of its own seed with the settings of the first run, or, where no such run is given,
against the first, by Wilcoxon's test, paired by user, with Holm's correction over the runs, but not over the metrics.
Folds of one division of the data are averaged, and not tested. The sample of a test is the users: it says whether these
trained models differ, and nothing about how other seeds would turn out; `python -m ncf.report sweep=<folder>` compares
over seeds.
"""

from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line

PARTS = ("valid", "test")


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.compare", __doc__)
    options.add_argument(
        "runs",
        nargs="+",
        type=Path,
        help="folders of finished runs, or of sweeps; the baseline has the settings of the first",
    )
    options.add_argument(
        "--part", choices=PARTS, default="test", help="held-out positives to compare on: valid or test (test)"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    from ncf.report.side_by_side import ComparedRun, bar, report, runs_of  # here: --help works without torch
    from ncf.runs.loading import finished

    folders = [run for folder in options.runs for run in runs_of(folder)]
    runs = [ComparedRun(folder, finished(folder)) for folder in bar(folders, "results")]
    print(report(runs, options.part))


if __name__ == "__main__":
    command_line.run(main)
