"""`python -m ncf.tune model=ease trials=30`: tune a model's settings on validation; a stopped study can be resumed.

Optuna's TPE searches the space in conf/tuning/<model>.yaml; its trials are kept in a database on disk. The objective is
the monitored validation metric: no test metric is read.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.errors import FileError
from ncf.launch.tuning import tune


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.tune", __doc__)
    options.add_overrides("as for training: model=ease data=ml-1m trainer.epochs=20")
    options.add_argument("--trials", type=int, default=30, help="number of finished trials to reach (30)")
    options.add_argument(
        "--minutes", type=float, default=math.inf, help="total duration of trials after which none starts (no limit)"
    )
    options.add_argument(
        "--folder", type=Path, default=Path("outputs/tuning"), help="folder of the studies (outputs/tuning)"
    )
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if the disk is full, or trial after trial failed.

    Raises:
        NcfError: an error that the user can fix.
        SystemExit: 75 after a stop signal.
    """
    options = parser().parse(arguments)
    try:
        summary = tune(options.overrides, options.trials, options.minutes, options.folder, options.config_dir)
    except FileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text_table(["setting", "best"], [(k, str(v)) for k, v in summary["best"].items()]))
    print(f"{summary['monitor']} (validation) {summary['value']:.4f} of {summary['trials']} trials")
    return 1 if summary["ended"] == "failures" else 0


if __name__ == "__main__":
    command_line.run(main)
