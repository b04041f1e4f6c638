"""`python -m ncf.report`: a study's page, tables, figures and README, from run folders or from an earlier report."""

from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.errors import ConfigError
from ncf.study import load as load_registration


def parser() -> command_line.Parser:
    """The options of the command."""
    options = command_line.Parser("ncf.report", __doc__)
    options.add_argument("--registration", type=Path, required=True, help="the YAML file that registers the study")
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--sweep", help="run folders: a sweep's folder, or several with commas between")
    source.add_argument(
        "--results", type=Path, help="or the results.csv of an earlier report, with what lies beside it"
    )
    options.add_argument("--output", type=Path, help="folder to write (<sweep>/report, or the folder of results)")
    return options


def main(arguments: Sequence[str]) -> None:
    """The command line. Raises NcfError for whatever the user can mend."""
    options = parser().parse(arguments)
    from ncf.report.collect import collect  # here: --help works without matplotlib and Jinja
    from ncf.report.kit.page import PAGE, write
    from ncf.report.sections import chosen
    from ncf.report.study import PRESENTATION, copy, load

    registration = load_registration(options.registration, options.registration.with_name(PRESENTATION))
    sections = chosen(registration.report.sections)
    if options.sweep:
        sweeps = [Path(folder) for folder in options.sweep.split(",")]
        output = options.output or sweeps[0] / "report"
        study = collect(sweeps, registration, output)
    else:
        if not options.results.exists():
            raise ConfigError(f"report: {options.results} does not exist; sweep=<folder> reports finished runs")
        tables = options.results.parent
        output = options.output or tables
        if output.resolve() != tables.resolve():
            load(tables, registration)  # refuse a broken study before anything is written
            copy(tables, output)
        study = load(output, registration)
    write(study, sections, output)
    print(output / PAGE)


if __name__ == "__main__":
    command_line.run(main)
