"""What a setting means to a run, declared where the setting is: `threads: Annotated[int, Field(ge=1), MACHINE]`."""

from dataclasses import dataclass
from typing import Any, Literal

_ALWAYS = object()  # a setting without `since`: every run has it


@dataclass(frozen=True)
class Role:
    """How a setting takes part in a run's identity, in resuming it, and in comparing it with others.

    Attributes:
        kind: "result": the result depends on it; "machine": where or how fast the run computes; "display": what is
            shown or kept beside the result.
        identity: whether it counts in the run's id; None: only where the result depends on it.
        resumable: whether it may change when the run is resumed although the result depends on it.
        since: the value that runs made before the setting existed count as having. At this value it is left out of the
            identity, so that their ids stay.
    """

    kind: Literal["result", "machine", "display"] = "result"
    identity: bool | None = None
    resumable: bool = False
    since: Any = _ALWAYS

    def identifies(self, value: Any) -> bool:
        """Whether the setting, at this value, counts in the run's id."""
        counts = self.kind == "result" if self.identity is None else self.identity
        return counts and (self.since is _ALWAYS or value != self.since)

    @property
    def free_on_resume(self) -> bool:
        """Whether a run can be resumed with another value."""
        return self.kind != "result" or self.resumable

    @property
    def free_to_differ(self) -> bool:
        """Whether runs with different values may stand in one table."""
        return self.kind != "result"


RESULT = Role()
MACHINE = Role("machine")
DISPLAY = Role("display")
MACHINE_IN_ID = Role("machine", identity=True)
"""Of the machine, but part of every id since the first version."""
LENGTH = Role(resumable=True)
"""How long to train: a run can be resumed to go on for longer."""
