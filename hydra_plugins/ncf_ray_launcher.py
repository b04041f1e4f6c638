"""`hydra/launcher=ray`: adapts `ncf.launch.ray_jobs` to Hydra; for the late imports see `ncf_sweeper`."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class RayLauncher(Launcher):
    """Runs each job as a task of Ray.

    Args:
        address: "local" for a Ray that ends with the sweep, "auto" for the cluster that runs here, or an address.
        n_jobs: number of jobs at a time; -1 for as many as Ray has room for.
        cpus: cores that Ray sets aside for a job; None for as many as its run has threads.
        gpus: GPUs for a job, or the share of one.
    """

    def __init__(self, address: str, n_jobs: int, cpus: float | None, gpus: float) -> None:
        self.address, self.n_jobs, self.cpus, self.gpus = address, n_jobs, cpus, gpus
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes, and check the settings: an error of the constructor would reach the user wrapped.

        Raises:
            ConfigError: a setting is invalid, or ray is not installed.
        """
        from ncf.launch.ray_jobs import Room

        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function
        self.room = Room(self.address, self.n_jobs, self._threads() if self.cpus is None else self.cpus, self.gpus)
        self.room.check()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs.

        Raises:
            ConfigError: this machine has too few GPUs for one.
            BrokenProcessPool: a job's process died; the others have ended.
        """
        from ncf.launch.ray_jobs import launch

        assert self.config is not None
        work = (self.hydra_context, self.config, self.task_function)
        return launch(work, [list(overrides) for overrides in job_overrides], initial_job_idx, self.room)

    def _threads(self) -> int:
        """Return the threads of a run, which simulations have elsewhere than training."""
        found = (OmegaConf.select(self.config, key) for key in ("trainer.threads", "threads"))
        return next((threads for threads in found if threads), 1)
