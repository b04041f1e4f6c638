"""`hydra/launcher=ray`: adapts `ncf.launch.ray_jobs` to Hydra; for the late imports see `ncf_sweeper`."""

import importlib.util
from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class RayLauncher(Launcher):
    """Runs each job as a task of Ray.

    Args:
        address: "local" for a Ray that ends with the sweep, "auto" for the cluster that runs here, or a cluster's address.
        n_jobs: number of jobs at a time; -1 for as many as Ray has room for.
        cpus: cores that Ray sets aside for a job; None for as many as its run has threads.
        gpus: GPUs for a job, or the share of one.
    """

    def __init__(self, address: str, n_jobs: int, cpus: float | None, gpus: float) -> None:
        from ncf.errors import ConfigError

        if importlib.util.find_spec("ray") is None:
            raise ConfigError("hydra/launcher=ray: ray is not installed; pip install 'ncf[ray]' brings it")
        if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or (n_jobs < 1 and n_jobs != -1):
            raise ConfigError(f"hydra.launcher.n_jobs: expected -1 or an integer >= 1, got {n_jobs!r}")
        for key, value, least in (("cpus", cpus, "> 0"), ("gpus", gpus, ">= 0")):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (value is None and key == "cpus") and not (number and (value > 0 or (value == 0 and key == "gpus"))):
                raise ConfigError(f"hydra.launcher.{key}: expected a number {least}, got {value!r}")
        self.address, self.n_jobs, self.cpus, self.gpus = address, n_jobs, cpus, gpus
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes."""
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs.

        Raises:
            ConfigError: this machine has too few GPUs for one.
            BrokenProcessPool: a job's process died; the others have ended.
        """
        from ncf.launch.ray_jobs import Room, launch

        assert self.config is not None
        room = Room(self.address, self.n_jobs, self.cpus or self._threads(), self.gpus)
        work = (self.hydra_context, self.config, self.task_function)
        return launch(work, [list(overrides) for overrides in job_overrides], initial_job_idx, room)

    def _threads(self) -> int:
        """Return the threads of a run, which simulations have elsewhere than training."""
        found = (OmegaConf.select(self.config, key) for key in ("trainer.threads", "threads"))
        return next((threads for threads in found if threads), 1)
