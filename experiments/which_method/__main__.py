"""`python -m experiments.which_method run|costs|report|status`: which method tells the truth about a new ranker?

run trains the registered rankers, asks every service that results.csv lacks, and adds the rows of each as it ends, so
that the same command goes on where it was stopped; costs measures seconds and memory; status says how far it is;
report writes README.md and figures from the committed tables alone. Run it from the root of the checkout.
"""

from collections.abc import Sequence

from ncf.core.command_line import Parser, run
from ncf.errors import ConfigError

COMMANDS = ("run", "costs", "report", "status")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = Parser("experiments.which_method", __doc__)
    parser.add_argument("command", help=f"one of {', '.join(COMMANDS)}")
    parser.add_argument("--jobs", type=int, default=2, help="services asked at a time")
    options = parser.parse(arguments)
    if options.command not in COMMANDS:
        raise ConfigError(f"expected one of {', '.join(COMMANDS)}, got {options.command!r}")
    if options.command == "report":
        from experiments.which_method import page

        page.write()
        return 0
    if options.command == "costs":
        from experiments.which_method import costs

        costs.measure()
        return 0
    from experiments.which_method import extras, runs

    if options.command == "run":
        runs.train()
        runs.make(options.jobs, extras.write)
    print(f"{len(runs.cells()) - len(list(runs.missing()))} of {len(runs.cells())} cells are in results.csv")
    return 0


if __name__ == "__main__":
    run(main)
