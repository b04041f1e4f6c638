"""`python -m ncf.train`: train and evaluate one run, from its configuration to its result."""

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


def train(
    cfg: DictConfig,
    folder: Path,
    stopped: Callable[[], bool] = lambda: False,
    accepted: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """Train a run, evaluate its best epoch on the test items, and write `folder`; return the result, None if stopped.

    If `folder` already holds the finished run, its result is returned; an unfinished one is resumed.

    Args:
        cfg: configuration as returned by `ncf.core.compose.compose`.
        folder: folder of the run; must exist.
        stopped: called after every step; once it returns true, the run is saved and None is returned.
        accepted: called before the first step, once nothing can be refused any more: `folder` belongs to this run.

    Raises:
        ConfigError: a setting is invalid.
        DataError: the data is invalid.
        CheckpointError: `folder` holds another run, or only damaged checkpoints.
        TrainingError: a loss, gradient or score was not finite.
    """
    plan = plan_run(cfg)  # check every setting, before any data is read
    job = open_job(plan, folder, stopped)  # build data, split, model, sampler and step; restore the checkpoint, if any
    if not isinstance(job, Job):
        return job  # the result of a run that was already finished
    accepted()  # a refused run has changed nothing in the folder
    with job.tracked():  # report to the tracker, if any
        complete = job.fit()  # epochs, validation, early stopping; then restore the weights of the best epoch
        return job.finish() if complete else None  # rank the held-out positives; write ranks, metrics and result


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
@hydra_job
def main(
    cfg: DictConfig, folder: Path, stopped: Callable[[], bool], accepted: Callable[[], None]
) -> dict[str, Any] | None:
    """The entry point for Hydra, called once, or for each job of a sweep."""
    return train(cfg, folder, stopped, accepted)


if __name__ == "__main__":
    hydra_app.run(main)
