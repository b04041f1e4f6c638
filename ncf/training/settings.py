"""The settings of training, the configuration group `trainer`."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ncf.core.roles import DISPLAY, LENGTH, MACHINE, MACHINE_IN_ID, Role


def _interval(text: object) -> str:
    if isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{0,8}(s|min|epochs?)", text):
        return text
    meant = f" (did you mean {text}s?)" if re.fullmatch(r"[1-9][0-9]{0,8}", str(text)) else ""
    raise ValueError(
        f'expected up to nine digits of seconds, minutes or epochs, such as "30s", "5min" or "1epoch"{meant}'
    )


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """The keys of `conf/trainer`; the comments there explain each."""

    epochs: Annotated[int, Field(ge=1), LENGTH]
    batch_size: Annotated[int, Field(ge=2)]
    patience: Annotated[int, Field(ge=1), LENGTH]
    monitor: str
    checkpoint_every: Annotated[str, BeforeValidator(_interval), MACHINE]
    threads: Annotated[int, Field(ge=1, le=1024), MACHINE_IN_ID]
    fast: Annotated[bool, Role(since=True)]
    compile: Annotated[bool, Role(since=False)]
    cuda_graph: Annotated[Literal["auto"] | bool, MACHINE]
    precision: Annotated[Literal["float32", "tf32", "bfloat16"], Role(since="float32")]
    sharding: Annotated[Literal["auto", "row", "table", "data"] | None, Role("machine", since=None)]
    progress: Annotated[bool, DISPLAY]
