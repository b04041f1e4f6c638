"""`tracking=tensorboard|mlflow`: report a run's epochs elsewhere while it trains, read from its folder alone.

The trainer does not know about it, and a run's identity and results are the same with and without it.
"""

import contextlib
import importlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from omegaconf import OmegaConf

from ncf.core.config import flatten
from ncf.core.outside import read_json_lines
from ncf.core.registry import Registry
from ncf.core.roles import DISPLAY
from ncf.errors import ConfigError, DataError
from ncf.runs import artifacts

log = logging.getLogger(__name__)

_SECONDS = 2.0  # between two reads of the run folder


class Tracker(ABC):
    """Follows `metrics.jsonl` of one run, from the epoch at which it was started or resumed."""

    @contextlib.contextmanager
    def following(self, folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
        """Record the epochs of the run in `folder` during the context, and its test metrics and figures at the end.

        Raises:
            ConfigError: the tracking library is not installed, or the record cannot be created.
        """
        self._folder, self._reported, self._ended = folder, len(epochs(folder)), threading.Event()
        try:
            self.open(folder, settings)
        except OSError as error:
            raise ConfigError(f"tracking: cannot start recording {folder} ({error.strerror or error})") from None
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            with harmless():
                result = artifacts.read_result(folder)
                final = {} if result is None else {f"test/{name}": value for name, value in result["test"].items()}
                self.close(final, sorted(folder.glob("**/*.png")))

    def _follow(self) -> None:
        with harmless():
            while not self._ended.wait(_SECONDS):
                self._report_new()
            self._report_new()

    def _report_new(self) -> None:
        lines = epochs(self._folder)
        for line in lines[self._reported :]:
            self.log({_tag(key): value for key, value in line.items() if key != "epoch"}, int(line["epoch"]))
        self._reported = max(self._reported, len(lines))

    @abstractmethod
    def open(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start the record of the run in `folder`, with its configuration."""

    @abstractmethod
    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Record the metrics of one epoch."""

    @abstractmethod
    def close(self, final: Mapping[str, float], figures: list[Path]) -> None:
        """Record the test metrics (empty if the run did not finish) and the figures, and close the record."""


class TensorBoard(Tracker):
    """Event files in `<run folder>/tensorboard`."""

    def open(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open the event file and write the configuration as text."""
        writer = _library("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._writer = writer(str(folder / "tensorboard"))
        self._writer.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(dict(settings)))}```")

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Write a scalar per metric, and flush."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, epoch)
        self._writer.flush()

    def close(self, final: Mapping[str, float], figures: list[Path]) -> None:
        """Write the test metrics at the last epoch, and the figures as images."""
        for tag, value in final.items():
            self._writer.add_scalar(tag, value, self._reported)
        for path in figures:
            pixels = importlib.import_module("matplotlib.image").imread(path)
            self._writer.add_image(path.stem, pixels[..., :3], dataformats="HWC")
        self._writer.close()


class MLflow(Tracker):
    """A run in a local MLflow store."""

    def __init__(self, *, store: Annotated[str, DISPLAY], experiment: Annotated[str, DISPLAY]) -> None:
        self._store, self._experiment = store, experiment

    def open(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start an MLflow run with the configuration as parameters."""
        self._mlflow = _library("mlflow", "mlflow")
        if self._store.startswith("sqlite:///"):
            Path(self._store.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._mlflow.set_tracking_uri(self._store)
        self._mlflow.set_experiment(self._experiment)
        self._run = self._mlflow.start_run(run_name=folder.name).info.run_id  # the active run is thread-local
        self._mlflow.log_params(flatten(settings))

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log the metrics at their epoch."""
        self._mlflow.log_metrics(
            {_mlflow_name(tag): value for tag, value in values.items()}, step=epoch, run_id=self._run
        )

    def close(self, final: Mapping[str, float], figures: list[Path]) -> None:
        """Log the test metrics, and the figures as artifacts."""
        self._mlflow.log_metrics({_mlflow_name(tag): value for tag, value in final.items()})
        for path in figures:
            self._mlflow.log_artifact(str(path))
        self._mlflow.end_run("FINISHED" if final else "KILLED")


@contextlib.contextmanager
def harmless() -> Iterator[None]:
    """Log any exception of the context instead of raising it: a tracking library must not cost a finished run."""
    try:
        yield
    except Exception as error:
        log.warning("tracking: the record is incomplete (%s: %s)", type(error).__name__, error)


def epochs(folder: Path) -> list[dict[str, Any]]:
    """Return the finished epochs of the run in `folder`, without a line still being written.

    Raises:
        DataError: the file cannot be read as epochs.
    """
    try:
        return read_json_lines(folder / artifacts.EPOCHS, DataError)
    except FileNotFoundError:
        return []


def _tag(key: str) -> str:
    return f"valid/{key}" if "@" in key or key == "mrr" else f"train/{key}"


def _mlflow_name(tag: str) -> str:
    return tag.replace("@", "_at_")  # MLflow's names must not contain "@"


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"tracking: {name} is not installed; pip install {name}") from None


class NoTracker:
    """No tracking: the run folder is the only record."""

    def following(self, folder: Path, settings: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()


TRACKERS = Registry("tracking", {"none": NoTracker, "tensorboard": TensorBoard, "mlflow": MLflow}, role=DISPLAY)
