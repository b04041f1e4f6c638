"""The log of a simulation, `feedback.csv`: what was recommended to whom, with what propensity, and the reward."""

from pathlib import Path

import pandas as pd

from ncf.core.files import append_text, write_text
from ncf.core.outside import open_regular
from ncf.errors import CheckpointError
from ncf.runs.artifacts import FEEDBACK
from ncf.simulation import Period
from ncf.simulation.loop import Line

COLUMNS = ("user", "item", "position", "propensity", "reward", "time", "policy")
_LARGEST = 2**40


class FeedbackFile:
    """Appends a row for each recommendation; a propensity that the agent cannot say is left empty.

    Args:
        folder: of the run.
        policy: name of the agent.
        history: the periods that are done; what the file has of later ones is cut off.

    Raises:
        CheckpointError: the file lacks rows of those periods: it was not kept from the start.
    """

    def __init__(self, folder: Path, policy: str, history: list[Line]) -> None:
        self._path, self._policy = folder / FEEDBACK, policy
        if history:
            self._cut(len(history))
        else:
            write_text(self._path, ",".join(COLUMNS) + "\n")

    def _cut(self, periods: int) -> None:
        """Keep the rows of the first `periods` periods."""
        kept, last = 0, -1
        try:
            with open_regular(self._path, _LARGEST, CheckpointError) as file:
                for number, line in enumerate(file):
                    if number and (not line.endswith(b"\n") or (last := int(line.split(b",")[5])) >= periods):
                        break
                    kept += len(line)
        except (FileNotFoundError, IndexError, ValueError):
            last = -1
        if last < periods - 1:
            raise CheckpointError(
                f"{self._path}: expected the feedback of {periods} periods, found less; resume with log=false"
            )
        with self._path.open("rb+") as file:
            file.truncate(kept)

    def append(self, period: Period) -> None:
        """Append what happened in a period."""
        found = period.recommendations
        columns = {
            "user": period.users, "item": found.items, "position": 0, "propensity": found.propensity,
            "reward": period.rewards, "time": period.number, "policy": self._policy,
        }  # fmt: skip
        table = pd.DataFrame({name: getattr(value, "cpu", lambda v=value: v)() for name, value in columns.items()})
        append_text(self._path, table.to_csv(index=False, header=False, lineterminator="\n"))
