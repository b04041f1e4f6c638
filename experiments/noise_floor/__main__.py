"""`python -m experiments.noise_floor run|collect|status|report|diagnose`: the A/A study.

run makes the registered runs that results.csv lacks, and adds them to it; collect adds those that a sweep in hand has
finished; status says how far it is; diagnose finds the operation in which the two runs of a pair first differ, and how
the difference grows (diagnosis.csv, diagnosis.json); report writes README.md from these files alone. Run it from the
root of the checkout.
"""

from collections.abc import Sequence

from experiments.noise_floor import diagnosis, page, runs
from ncf.core.command_line import Parser, run
from ncf.errors import ConfigError

COMMANDS = ("run", "collect", "status", "report", "diagnose")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = Parser("experiments.noise_floor", __doc__)
    parser.add_argument("command", help=f"one of {', '.join(COMMANDS)}")
    parser.add_argument("--jobs", type=int, default=-1, help="processes that train; -1 for one a core")
    options = parser.parse(arguments)
    if options.command not in COMMANDS:
        raise ConfigError(f"expected one of {', '.join(COMMANDS)}, got {options.command!r}")
    if options.jobs < 1 and options.jobs != -1:
        raise ConfigError(f"jobs: expected -1 or at least 1, got {options.jobs}")
    if options.command == "run":
        return runs.make(options.jobs)
    if options.command == "diagnose":
        diagnosis.diagnose()
    if options.command == "report":
        page.write()
    if options.command in ("collect", "status"):
        rows = runs.collect() if options.command == "collect" else runs.table()
        print(f"{len(rows)} of {runs.registered()} runs are in results.csv")
    return 0


if __name__ == "__main__":
    run(main)
