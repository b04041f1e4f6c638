"""`python -m experiments.content run|variety|report`: make the missing runs; re-rank their lists; write the page.

The page's numbers are those of results.csv, users.csv.gz and variety.csv.gz beside it; rows are written as each run
ends, and what is there is not made again. Run it from the root of the checkout.
"""

from collections.abc import Sequence

from experiments.content.arms import arms, blocks
from ncf.core.command_line import Parser, run
from ncf.errors import ConfigError

COMMANDS = ("run", "variety", "report")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = Parser("experiments.content", __doc__)
    parser.add_argument("command", help=f"one of {', '.join(COMMANDS)}")
    options = parser.parse(arguments)
    if options.command not in COMMANDS:
        raise ConfigError(f"expected one of {', '.join(COMMANDS)}, got {options.command!r}")
    if options.command == "run":
        from experiments.content import runs

        for arm in arms().values():
            for block in blocks(arm.split):
                runs.make(arm, block)
            print(f"{arm.name}: done", flush=True)
    if options.command == "variety":
        from experiments.content import variety

        variety.make()
    if options.command == "report":
        from experiments.content import page  # matplotlib

        page.write()
    return 0


if __name__ == "__main__":
    run(main)
