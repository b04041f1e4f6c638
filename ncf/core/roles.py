"""The role of a setting in a run, declared with the setting: `threads: Annotated[int, Field(ge=1), MACHINE]`."""

from dataclasses import dataclass
from typing import Any, Literal

_ALWAYS = object()  # no `since`: every run has the setting


@dataclass(frozen=True)
class Role:
    """How a setting affects the identity of a run, resuming it, and comparing it with others.

    Attributes:
        kind: "result": changes the result; "machine": where or how fast the run computes; "display": what is shown or
            kept in addition to the result.
        identity: whether it is part of the run's id; None: only if `kind` is "result".
        resumable: whether it may change on resume although it changes the result.
        since: the value assumed for runs made before the setting existed. At this value it is left out of the id, so
            that their ids do not change.
    """

    kind: Literal["result", "machine", "display"] = "result"
    identity: bool | None = None
    resumable: bool = False
    since: Any = _ALWAYS

    def identifies(self, value: Any) -> bool:
        """Return whether the setting, at this value, is part of the run's id."""
        counts = self.kind == "result" if self.identity is None else self.identity
        return counts and not (self.came_later and value == self.since)

    @property
    def came_later(self) -> bool:
        """Whether runs were made before the setting existed."""
        return self.since is not _ALWAYS

    @property
    def free_on_resume(self) -> bool:
        """Whether a run can be resumed with another value."""
        return self.kind != "result" or self.resumable

    @property
    def free_to_differ(self) -> bool:
        """Whether runs with different values may be compared in one table."""
        return self.kind != "result"


RESULT = Role()
MACHINE = Role("machine")
DISPLAY = Role("display")
MACHINE_IN_ID = Role("machine", identity=True)
"""A machine setting that has been part of every id since the first version."""
LENGTH = Role(resumable=True)
"""How long to train: a resumed run may train for longer."""
