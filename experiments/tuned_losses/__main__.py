"""`python -m experiments.tuned_losses run|status|report|plan|pilot`: the study of losses that are tuned alike.

run makes the registered runs that runs/ lacks, in as many processes as are started, and appends them to it; status says
how far it is; report writes README.md from the rows alone; plan says what the design can show, simulated with the
pilot's spread; pilot makes the runs of pilot/. Each goes on where it was stopped or killed. Run it from the root of the
checkout.
"""

from collections.abc import Sequence

from experiments.tuned_losses import design, page, planning, runner
from ncf.core.command_line import Parser, run
from ncf.core.signals import STOPPED
from ncf.errors import ConfigError

COMMANDS = ("run", "status", "report", "plan", "pilot")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = Parser("experiments.tuned_losses", __doc__)
    parser.add_argument("command", help=f"one of {', '.join(COMMANDS)}")
    command = parser.parse(arguments).command
    if command not in COMMANDS:
        raise ConfigError(f"expected one of {', '.join(COMMANDS)}, got {command!r}")
    registered = design.load()
    if command in ("run", "pilot"):
        todo = runner.study(registered) if command == "run" else runner.pilot(registered)
        if command == "run":
            runner.registered(registered)
        return 0 if runner.work(todo) else STOPPED
    if command == "status":
        print(runner.line(runner.study(registered), runner.registered(registered)))
    if command == "report":
        page.write()
    if command == "plan":
        print("\n".join(planning.plan(registered)))
    return 0


if __name__ == "__main__":
    run(main)
