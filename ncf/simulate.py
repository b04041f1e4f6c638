"""`python -m ncf.simulate`: simulate an agent that recommends, sees rewards and learns, period by period."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from ncf.core.compose import CONF
from ncf.launch import hydra_app
from ncf.launch.hydra_app import hydra_job
from ncf.runs.simulation import SimulationJob, open_simulation, plan_simulation


def simulate(
    cfg: DictConfig,
    folder: Path,
    stopped: Callable[[], bool] = lambda: False,
    accepted: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """Run a simulation and write `folder`; return the result, None if stopped.

    If `folder` already holds the finished simulation, its result is returned; an unfinished one is resumed.

    Args:
        cfg: configuration as returned by `ncf.core.compose.compose(..., root="simulate")`.
        folder: folder of the run; must exist.
        stopped: called after every period; once it returns true, the run is saved and None is returned.
        accepted: called before the first period, once nothing can be refused any more.

    Raises:
        ConfigError: a setting is invalid, or settings do not go together.
        DataError: the run that a world is made from cannot be read, or a reward is not finite.
        CheckpointError: `folder` holds another simulation, or only damaged checkpoints.
    """
    plan = plan_simulation(cfg)  # check every setting
    job = open_simulation(plan, folder, stopped)  # make world and agent; restore the checkpoint, if any
    if not isinstance(job, SimulationJob):
        return job  # the result of a simulation that was already finished
    accepted()  # a refused run has changed nothing in the folder
    return job.run()  # periods; then the result


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="simulate")
@hydra_job
def main(
    cfg: DictConfig, folder: Path, stopped: Callable[[], bool], accepted: Callable[[], None]
) -> dict[str, Any] | None:
    """The entry point for Hydra, called once, or for each job of a sweep."""
    return simulate(cfg, folder, stopped, accepted)


if __name__ == "__main__":
    hydra_app.run(main, "simulate")
