"""`python -m ncf.service run=A against=B world.run=C`: ask every method what a new ranker does; the truth is known."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from ncf.core.compose import CONF
from ncf.launch.hydra_app import hydra_job, run
from ncf.runs.service import ServiceJob, open_service, plan_service


def service(
    cfg: DictConfig,
    folder: Path,
    stopped: Callable[[], bool] = lambda: False,
    accepted: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """Ask a service and write `folder`; return the result, None if stopped.

    If `folder` already holds the finished run, its result is returned.

    Args:
        cfg: configuration as returned by `ncf.core.compose.compose(..., root="service")`.
        folder: folder of the run; must exist.
        stopped: called between replications; once it returns true, None is returned.
        accepted: called before the first replication, once nothing can be refused any more.

    Raises:
        ConfigError: a setting is invalid, or settings do not go together.
        DataError: a run cannot be read, or the runs have other data.
        CheckpointError: `folder` holds another run.
    """
    plan = plan_service(cfg)
    job = open_service(plan, folder, stopped)
    if not isinstance(job, ServiceJob):
        return job
    accepted()
    return job.run()


def listed(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `design=ab,interleave` spelt as the list that it is: [ab,interleave]."""
    return [re.sub(r"^design=([^\[{'\"].*)$", r"design=[\1]", argument) for argument in arguments]


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="service")
@hydra_job
def _main(
    cfg: DictConfig, folder: Path, stopped: Callable[[], bool], accepted: Callable[[], None]
) -> dict[str, Any] | None:
    return service(cfg, folder, stopped, accepted)


def main() -> None:
    """The entry point for Hydra, called once, or for each job of a sweep."""
    sys.argv[1:] = listed(sys.argv[1:])
    _main()


if __name__ == "__main__":
    run(main, "service")
