"""The settings of training, the configuration group `trainer`."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ncf.core.roles import DISPLAY, LENGTH, MACHINE, MACHINE_IN_ID, Role


def _interval(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}(s|min|epochs?)", text):
        raise ValueError('expected up to nine digits of seconds, minutes or epochs, such as "30s", "5min" or "1epoch"')
    return text


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """The keys of `conf/trainer`; the comments there explain each."""

    epochs: Annotated[int, Field(ge=1), LENGTH]
    batch_size: Annotated[int, Field(ge=2)]
    patience: Annotated[int, Field(ge=1), LENGTH]
    monitor: str
    checkpoint_every: Annotated[str, AfterValidator(_interval), MACHINE]
    threads: Annotated[int, Field(ge=1, le=1024), MACHINE_IN_ID]
    fast: Annotated[bool, Role(since=True)]
    compile: Annotated[bool, Role(since=False)]
    cuda_graph: Annotated[Literal["auto"] | bool, MACHINE]
    precision: Annotated[Literal["float32", "tf32", "bfloat16"], Role(since="float32")]
    progress: Annotated[bool, DISPLAY]
