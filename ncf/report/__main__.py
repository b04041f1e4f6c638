"""`python -m ncf.report sweep=<folder>`: write a sweep's or a registered study's page, tables and figures."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.errors import ConfigError

FORMATS = ("svg", "png", "pdf")
_UNREGISTERED = "note: none of the {} runs is registered; without registration= the report compares them"


def parser() -> command_line.Parser:
    """The options of the command."""
    options = command_line.Parser("ncf.report", __doc__)
    options.add_argument(
        "--registration", type=Path, help="the YAML file that registers the study; without one, arms are compared"
    )
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--sweep", help="run folders: a sweep's folder, or several with commas between")
    source.add_argument(
        "--results", type=Path, help="or the results.csv of an earlier report, with what lies beside it"
    )
    options.add_argument("--output", type=Path, help="folder to write (<sweep>/report, or the folder of results)")
    options.add_argument(
        "--baseline",
        help="without registration: what arms are compared with, as in loss=bce; of several factors, those it names "
        "are compared, within each level of the others; of simulations, an agent",
    )
    options.add_argument(
        "--margin", type=float, default=0.05, help="without registration: smallest relative change of interest (0.05)"
    )
    options.add_argument("--formats", default="svg,png", help="of the figures: some of svg, png, pdf (svg,png)")
    return options


def main(arguments: Sequence[str]) -> None:
    """The command line. Raises NcfError for whatever the user can mend."""
    options = parser().parse(arguments)
    formats = _formats(options.formats)
    if not 0 < options.margin < 1:
        raise ConfigError(f"--margin: expected a relative change between 0 and 1, got {options.margin}")
    if options.registration and options.baseline:
        raise ConfigError("--baseline: expected none beside --registration, which says what is compared")
    sweeps = [Path(folder) for folder in (options.sweep or "").split(",") if folder]
    output = _output(options, sweeps)
    from ncf.report.kit.page import PAGE  # here: --help and a mistyped option need no torch, matplotlib or Jinja

    report = _report_study if options.registration else _report_sweep
    if sweeps and not options.registration and _are_simulations(sweeps):
        report = _report_simulations
    report(options, sweeps, output, formats)
    print(command_line.visible(output / PAGE))


def _report_sweep(options: Namespace, sweeps: Sequence[Path], output: Path, formats: Sequence[str]) -> None:
    """Compare the arms of a sweep without registration."""
    from ncf.report import study as tables
    from ncf.report import sweep, sweep_page
    from ncf.report.staging import staged
    from ncf.report.sweep_collect import collect

    in_place = bool(options.results) and output.resolve() == options.results.parent.resolve()
    if in_place and sweep.load(output, options.margin, options.baseline).runs["registration"].notna().any():
        raise ConfigError(f"--registration: the runs in {options.results} are registered; name it, or another --output")
    with staged(output, keeps=tables.own_tables(output) if in_place else ()) as folder:
        if sweeps:
            collect(sweeps, folder)
        elif not in_place:
            tables.copy(options.results.parent, folder)
        source = output if in_place else folder
        loaded = sweep.load(source, options.margin, options.baseline)
        sweep_page.build(loaded, folder, formats)
    _say(loaded.notes)


def _are_simulations(sweeps: Sequence[Path]) -> bool:
    from ncf.runs.simulation_tables import is_simulation_sweep

    return is_simulation_sweep(sweeps)


def _report_simulations(options: Namespace, sweeps: Sequence[Path], output: Path, formats: Sequence[str]) -> None:
    """Compare the agents of a sweep of simulations; `baseline` is then the name of one."""
    from ncf.report import simulation_page
    from ncf.report.staging import staged
    from ncf.runs.simulation_tables import read_simulations

    table = read_simulations(sweeps)
    with staged(output) as folder:
        simulation_page.build(table, folder, formats, options.margin, options.baseline)


def _report_study(options: Namespace, sweeps: Sequence[Path], output: Path, formats: Sequence[str]) -> None:
    """Judge a registered study."""
    from ncf.report import study as tables
    from ncf.report.collect import collect
    from ncf.report.kit.page import build, refuse_doubles
    from ncf.report.sections import chosen
    from ncf.report.staging import staged
    from ncf.report.unfinished import notes, unfinished
    from ncf.study import load as load_registration

    registration = load_registration(options.registration, options.registration.with_name(tables.PRESENTATION))
    sections = chosen(registration.report.sections)
    refuse_doubles(sections)
    if options.results and output.resolve() == options.results.parent.resolve():
        with staged(output, keeps=tables.own_tables(output)) as folder:
            build(tables.load(output, registration), sections, folder, output, formats)
    else:
        if options.results:
            tables.load(options.results.parent, registration)  # refuse a broken study before anything is written
        with staged(output) as folder:
            if sweeps:
                study = collect(sweeps, registration, folder)
            else:
                tables.copy(options.results.parent, folder)
                study = tables.load(folder, registration)
            if not study.finished[0]:
                print(_UNREGISTERED.format(len(study.runs)), file=sys.stderr)
            build(study, sections, folder, output, formats)
        _say(notes(unfinished(sweeps), len(study.runs)))


def _say(found: Sequence[str]) -> None:
    """Say on stderr what the page, or its missing runs, rest on."""
    for note in found:
        print(f"note: {note}", file=sys.stderr)


def _output(options: Namespace, sweeps: Sequence[Path]) -> Path:
    """The folder to write. Raises ConfigError if what to report is not there, or something else is in its place."""
    if options.results and not options.results.exists():
        raise ConfigError(f"report: {options.results} does not exist; sweep=<folder> reports finished runs")
    if options.results and options.results.name != "results.csv":
        raise ConfigError(f"--results: expected the results.csv of an earlier report, got {options.results}")
    if options.sweep is not None and not sweeps:
        raise ConfigError("--sweep: expected a sweep's folder, got none")
    for folder in sweeps:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: expected a finished run, or a sweep with one, found no such folder")
    output: Path = options.output or (sweeps[0] / "report" if sweeps else options.results.parent)
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output: expected a folder, got {output}")
    nearest = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--output: expected a folder that can be written to, but {nearest} cannot")
    return output


def _formats(text: str) -> list[str]:
    """The kinds of files, each once. Raises ConfigError for an unknown one, or none."""
    kinds = list(dict.fromkeys(kind.strip() for kind in text.split(",")))
    if not set(kinds) <= set(FORMATS):
        raise ConfigError(f"--formats: expected some of {', '.join(FORMATS)}, got {text!r}")
    return kinds


if __name__ == "__main__":
    command_line.run(main)
