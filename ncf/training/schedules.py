"""The learning rate over a run: a linear warm-up, then constant, or falling by a cosine or in steps.

The rate is a function of the step's number alone, so that a resumed run goes on with the rates of an undisturbed one.
Lengths are given in steps or epochs ("500steps", "20epochs"); either way the rate may change at every step.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from ncf.core.roles import Role

_LENGTH = r"([1-9][0-9]{0,8})(steps?|epochs?)"
_EXPECTED = "expected a number of steps or epochs, such as 500steps or 20epochs"


def _length(text: object) -> str | None:
    if text is None or (isinstance(text, str) and re.fullmatch(_LENGTH, text)):
        return text
    number = re.fullmatch(r"([1-9][0-9]{0,8}) *(s|e|ep)?", str(text))
    s = "" if number and number[1] == "1" else "s"
    meant = f" (did you mean {number[1]}step{s} or {number[1]}epoch{s}?)" if number else ""
    raise ValueError(f"{_EXPECTED}{meant}")


def _needed_length(text: object, info: ValidationInfo) -> str | None:
    if text is None and (shape := info.data.get("schedule", "constant")) != "constant":
        raise ValueError(
            f"expected the length of schedule={shape}, such as optimizer.period=2000steps or =20epochs; "
            "to last for the whole run: trainer.epochs less optimizer.warmup"
        )
    return _length(text)


# The keys that optimizers share. `schedule` must come before `period`, which is checked against it.
Shape = Annotated[Literal["constant", "cosine", "step"], Role(since="constant")]
Warmup = Annotated[str | None, BeforeValidator(_length), Role(since=None)]
Period = Annotated[str | None, BeforeValidator(_needed_length), Role(since=None)]
Decay = Annotated[float, Field(gt=0, lt=1), Role(since=0.1)]


@dataclass(frozen=True)
class Schedule:
    """The learning rate at every step.

    Attributes:
        lr: the rate after the warm-up.
        shape: "constant"; "cosine", which falls to 0 over `period` and stays there (Loshchilov and Hutter 2017, without
            restarts); or "step", which multiplies the rate by `decay` after every `period`.
        warmup: length over which the rate first rises linearly to `lr`; None: no warm-up.
        period: length, counted from the end of the warm-up; needed unless `shape` is "constant".
        decay: factor of "step".
    """

    lr: float
    shape: str = "constant"
    warmup: str | None = None
    period: str | None = None
    decay: float = 0.1

    @property
    def constant(self) -> bool:
        """Whether every step has the rate `lr`."""
        return self.shape == "constant" and self.warmup is None

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step number `step` of the run, counted from 0; an epoch has `steps` steps."""
        after = step - _steps(self.warmup, steps)
        if after < 0:
            return self.lr * (step + 1) / _steps(self.warmup, steps)
        if self.shape == "constant":
            return self.lr
        period = _steps(self.period, steps)
        if self.shape == "cosine":
            return self.lr * (1 + math.cos(math.pi * min(1.0, after / period))) / 2
        return self.lr * self.decay ** (after // period)


def _steps(length: str | None, steps: int) -> int:
    """Return `length` as a number of steps, `steps` an epoch; that of None is 0."""
    if length is None:
        return 0
    match = re.fullmatch(_LENGTH, length)
    assert match
    return int(match[1]) * (steps if match[2].startswith("epoch") else 1)
