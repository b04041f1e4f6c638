"""`hydra/launcher=stacked`: adapts `ncf.launch.worker` to Hydra; for the late imports see `ncf_sweeper`."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class StackedLauncher(Launcher):
    """Trains jobs of the same shape together as stacks; a job that cannot be stacked is trained alone.

    Args:
        max_stack: maximum number of runs per stack, or "auto" for what suits the device.
        n_jobs: number of processes, each with its own stacks; -1 for one per core.
    """

    def __init__(self, max_stack: int | str, n_jobs: int) -> None:
        from ncf.errors import ConfigError

        if max_stack != "auto" and not (isinstance(max_stack, int) and max_stack >= 1):
            raise ConfigError(f'hydra.launcher.max_stack: expected "auto" or an integer >= 1, got {max_stack!r}')
        self.max_stack = max_stack if isinstance(max_stack, int) else None
        self.n_jobs = n_jobs
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes."""
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; the outcome of each is in its run folder."""
        from ncf.launch.worker import work_in_processes

        jobs = {self._folder(overrides): tuple(overrides) for overrides in job_overrides}
        work_in_processes(jobs, self.n_jobs, self.max_stack, self._config_dir())
        return [JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED) for overrides in job_overrides]

    def _config_dir(self) -> str | None:
        """Return the folder given as `--config-dir`, if any."""
        assert self.config is not None
        sources = self.config.hydra.runtime.config_sources
        return next((source.path for source in sources if source.provider == "command-line"), None)

    def _folder(self, overrides: Sequence[str]) -> Path:
        assert self.config is not None
        assert self.hydra_context is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        return Path(self.config.hydra.sweep.dir) / str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
