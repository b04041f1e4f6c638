"""`python -m ncf.report`: a study's page, tables, figures and README, from run folders or from an earlier report."""

from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.errors import ConfigError
from ncf.study import load as load_registration

STUDY = Path("experiments/focal_loss")


def parser() -> command_line.Parser:
    """The options of the command."""
    options = command_line.Parser("ncf.report", __doc__)
    options.add_argument("--sweep", help="run folders: a sweep's folder, or several with commas between")
    options.add_argument("--results", type=Path, help=f"or the results.csv of an earlier report ({STUDY}/results.csv)")
    options.add_argument("--registration", type=Path, default=STUDY / "preregistration.yaml", help="(%(default)s)")
    options.add_argument("--output", type=Path, help="folder to write (<sweep>/report, or the folder of results)")
    return options


def main(arguments: Sequence[str]) -> None:
    """The command line. Raises NcfError for whatever the user can mend."""
    options = parser().parse(arguments)
    if options.sweep and options.results:
        raise ConfigError("report: expected sweep=<folder> or results=<file>, got both")
    try:
        from ncf.report.collect import collect
        from ncf.report.page import PAGE, write
        from ncf.report.study import copy, load
    except ModuleNotFoundError as error:
        raise ConfigError(f"report: {error.name} is not installed; pip install 'ncf[report]' brings it") from None
    registration = load_registration(options.registration)
    if options.sweep:
        sweeps = [Path(folder) for folder in options.sweep.split(",")]
        output = options.output or sweeps[0] / "report"
        study = collect(sweeps, registration, output)
    else:
        results = options.results or STUDY / "results.csv"
        if not results.exists():
            raise ConfigError(f"report: expected results, found no {results}; sweep=<folder> reports finished runs")
        tables = results.parent
        output = options.output or tables
        if output.resolve() != tables.resolve():
            load(tables, registration)  # refuse a broken study before anything is written
            copy(tables, output)
        study = load(output, registration)
    write(study, output)
    print(output / PAGE)


if __name__ == "__main__":
    command_line.run(main)
