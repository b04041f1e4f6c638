"""`tracking=tensorboard|mlflow|wandb`: report a run's epochs elsewhere while it trains, read from its folder alone.

The trainer does not know about it, and a run's identity and results are the same with and without it.
"""

import contextlib
import importlib
import logging
import re
import secrets
import shlex
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf

from ncf.core.config import flatten
from ncf.core.files import write_text
from ncf.core.outside import read_json_lines, read_text
from ncf.core.registry import Registry
from ncf.core.roles import DISPLAY
from ncf.errors import ConfigError, DataError, NcfError
from ncf.evaluation.metrics import METRICS
from ncf.evaluation.ratings import ERRORS
from ncf.runs import artifacts

log = logging.getLogger(__name__)

_SECONDS = 2.0  # between two reads of the run folder
WANDB_ID = "wandb_id.txt"  # in the run folder
WANDB_SECONDS = 60.0  # that wandb's process may take to finish; what it has by then can be synced later


class Tracker(ABC):
    """Follows `metrics.jsonl` of one run, from the epoch at which it was started or resumed.

    Attributes:
        from_first_epoch: whether a resumed run's earlier epochs are recorded again; a killed one missed some.
    """

    from_first_epoch = False

    @contextlib.contextmanager
    def following(self, folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
        """Record the epochs of the run in `folder` during the context, and its test metrics and figures at the end.

        Raises:
            ConfigError: the tracking library is not installed, or the record cannot be created.
        """
        self._folder, self._ended = folder, threading.Event()
        self._reported = 0 if self.from_first_epoch else len(epochs(folder))
        try:
            self.open(folder, settings)
        except NcfError:
            raise
        except Exception as error:  # each library has its own
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ConfigError(f"tracking: cannot start recording {folder} ({reason.splitlines()[0]})") from None
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


def _within(seconds: float, call: Callable[[], object]) -> bool:
    """Start `call` in a thread that no exit waits for, and return whether it ended within `seconds`."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


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
    return f"valid/{key}" if key.partition("@")[0] in METRICS or key in ERRORS else f"train/{key}"


def _mlflow_name(tag: str) -> str:
    return tag.replace("@", "_at_")  # MLflow's names must not contain "@"


def _wandb_id(folder: Path) -> str:
    """Return the id of the run in `folder` in Weights & Biases: a new one, kept there, when it is first asked for.

    Raises:
        ConfigError: what is kept is no id.
    """
    path = folder / WANDB_ID
    try:
        kept = read_text(path, ConfigError).strip()
    except FileNotFoundError:
        kept = secrets.token_hex(4)
        write_text(path, f"{kept}\n")
    if not re.fullmatch(r"[0-9a-f]{8}", kept):
        raise ConfigError(f"{path}: expected the id of a run of wandb, 8 hexadecimal digits, found {kept[:40]!r}")
    return kept


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"tracking: {name} is not installed; pip install {name}") from None


class WandB(Tracker):
    """A run of Weights & Biases, by default offline: `wandb sync` uploads it later.

    Its files lie outside the run folder, as they link to the user's cache. The run folder keeps the id, so that a
    resumed run goes on in the same run there. wandb ignores the epochs that it already has.
    """

    from_first_epoch = True

    def __init__(
        self,
        *,
        mode: Annotated[Literal["offline", "online"], DISPLAY],
        store: Annotated[str, DISPLAY],
        project: Annotated[str, DISPLAY],
    ) -> None:
        self._mode, self._store, self._project = mode, store, project

    def open(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start the run with the configuration, or go on with it."""
        self._wandb = _library("wandb", "wandb")
        Path(self._store).mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(
            project=self._project,
            id=_wandb_id(folder),
            name=folder.name,
            dir=self._store,
            mode=self._mode,
            resume="allow",
            config=dict(settings),
            settings=self._wandb.Settings(silent=True, console="off"),  # the terminal is the run's own
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log the metrics at their epoch."""
        self._run.log(dict(values), step=epoch)

    def close(self, final: Mapping[str, float], figures: list[Path]) -> None:
        """Write the test metrics to the summary, log the figures, and finish the run."""
        in_time = _within(WANDB_SECONDS, lambda: self._end(final, figures))
        with harmless():
            self._say_where()
        if in_time:
            return
        _within(0.0, self._wandb.teardown)  # else Python would wait for wandb's process when it exits
        raise TimeoutError(f"wandb did not finish within {WANDB_SECONDS:.0f} s")

    def _say_where(self) -> None:
        """Log where the record lies, and how an offline one is uploaded."""
        if self._mode == "online":
            log.info("tracking: the run is at %s", self._run.url)
        else:
            place = Path(self._run.dir).parent
            log.info("tracking: wandb's log is %s; to upload it: wandb sync %s", place, shlex.quote(str(place)))

    def _end(self, final: Mapping[str, float], figures: list[Path]) -> None:
        with harmless():
            self._run.summary.update(dict(final))
            if figures:
                self._run.log({path.stem: self._wandb.Image(str(path)) for path in figures})
            self._run.finish(exit_code=0 if final else 1)


class NoTracker:
    """No tracking: the run folder is the only record."""

    def following(self, folder: Path, settings: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()


TRACKERS = Registry(
    "tracking", {"none": NoTracker, "tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}, role=DISPLAY
)
