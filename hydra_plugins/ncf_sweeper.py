"""`hydra/sweeper=resumable`: adapts `ncf.launch.sweep` to Hydra.

Every Hydra application imports every installed plugin, so heavy imports are deferred until they are used.
"""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig


class ResumableSweeper(BasicSweeper):
    """Launches the runs that are not finished; exit status 0 if all are done, 1 if some failed, else 75.

    Args:
        params: key -> choices, as for Hydra's own sweeper.
        parts: parts of the `registration`, instead of choices; see `ncf.launch.sweep.Sweep`.
        conclusive: refuse a registration with a comparison that no data could decide.
        finished: a CSV file whose column `run` names runs that count as done.
    """

    def __init__(
        self, params: DictConfig | None, parts: ListConfig | None, conclusive: bool, finished: str | None = None
    ) -> None:
        super().__init__(max_batch_size=None, params=params)  # type: ignore[arg-type]
        self.parts, self.conclusive, self.finished = parts, conclusive, finished

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that `arguments` (overrides) define."""
        from ncf.launch.sweep import Sweep

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        given = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        Sweep(self.config, loader, self.launcher, self.parts, self.conclusive, self.finished).run(given)
