"""`python -m ncf.train`: one run, from its configuration to its result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from ncf.core.compose import CONF
from ncf.launch import hydra_app
from ncf.launch.hydra_app import hydra_job
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run


def train(cfg: DictConfig, folder: Path, stopped: Callable[[], bool] = lambda: False) -> dict[str, Any] | None:
    """Train, select, test, and write the run folder; the result, or None if `stopped` interrupted it.

    A run that `folder` holds already is not made again, and one that it holds half is gone on with.

    Args:
        cfg: as `ncf.core.compose.compose` gives it.
        folder: of the run; it has to exist.
        stopped: asked after every step; once it is true the run is saved and None comes back.

    Raises:
        ConfigError, DataError: settings or data that are wrong; CheckpointError: `folder` holds another run.
        TrainingError: a loss, gradient or score was not finite.
    """
    plan = plan_run(cfg)  # every setting is checked; no data has been read
    run = open_job(plan, folder, stopped)  # data, split, model, sampler, step: at the first batch, or the checkpoint's
    if not isinstance(run, Job):
        return run  # it was finished before
    whole = run.fit()  # epochs, validation, early stopping; at the end, the weights of the best epoch
    return run.finish() if whole else None  # ranks and metrics, those of test for the first time; the result


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
@hydra_job
def main(cfg: DictConfig, folder: Path, stopped: Callable[[], bool]) -> dict[str, Any] | None:
    """What Hydra runs, once or as each job of a sweep."""
    return train(cfg, folder, stopped)


if __name__ == "__main__":
    hydra_app.run(main)
