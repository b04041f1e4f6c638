"""Trackers tell every epoch once, also of a resumed run, and change nothing about the run."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from toys import compose, small

from ncf.errors import ConfigError
from ncf.runs import artifacts, tracking
from ncf.runs.identity import config_hash, resolved
from ncf.train import train


def scalars(folder):
    """Tag -> [(step, value)] of the event files, as TensorBoard reads them."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = events.EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_tensorboard_has_every_epoch_and_the_result(root, tmp_path):
    result = train(compose(*small(root, "tracking=tensorboard")), tmp_path)
    shown = scalars(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert shown["valid/ndcg@10"] == [(line["epoch"], pytest.approx(line["ndcg@10"])) for line in lines]
    assert shown["train/train_loss"] == [(line["epoch"], pytest.approx(line["train_loss"])) for line in lines]
    assert shown["test/hit@10"] == [(len(lines), pytest.approx(result["test"]["hit@10"]))]


def test_a_run_is_the_same_run_with_and_without(root):
    settings = [resolved(compose(*small(root, f"tracking={name}"))) for name in tracking.TRACKERS]
    assert len({config_hash(s) for s in settings}) == 1


def test_epochs_from_before_a_resume_are_not_told_again(tmp_path):
    told = []

    class Recorder(tracking.NoTracker, tracking.Tracker):
        following = tracking.Tracker.following

        def open(self, folder, settings):
            pass

        def log(self, values, epoch):
            told.append(epoch)

        def close(self, final, figures):
            told.append("end")

    log = tmp_path / "metrics.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    with Recorder().following(tmp_path, {}):
        log.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n{"epo')
    assert told == [3, "end"]


@pytest.mark.parametrize("when", ["log", "close"])
def test_a_record_that_fails_costs_no_run(when, root, tmp_path, monkeypatch, caplog):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracking.TensorBoard, when, fail)
    result = train(compose(*small(root, "tracking=tensorboard")), tmp_path)
    assert result["test"] == artifacts.read_result(tmp_path)["test"]
    assert "tracking: the record is incomplete (OSError: [Errno 28] No space left on device)" in caplog.messages


def test_a_broken_figure_costs_no_run(root, tmp_path, caplog):
    (tmp_path / "figure.png").write_text("no picture")
    assert train(compose(*small(root, "tracking=tensorboard")), tmp_path) is not None
    assert "tracking: the record is incomplete (" in caplog.text


def test_a_record_that_cannot_begin_is_one_error(root, tmp_path):
    (tmp_path / "tensorboard").write_text("a file in its place")
    with pytest.raises(ConfigError, match=r"tracking: cannot start recording .* \(File exists\)"):
        train(compose(*small(root, "tracking=tensorboard")), tmp_path)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_library_that_is_not_there_is_named(name, root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=f"tracking: {name} is not installed; pip install {name}$"):
        train(compose(*small(root, f"tracking={name}")), tmp_path)


class Store:
    """What MLflow's module does for a tracker, kept in lists."""

    def __init__(self) -> None:
        self.params: dict[str, object] = {}
        self.metrics: list[tuple[str, float, int | None]] = []
        self.artifacts: list[str] = []
        self.calls: list[tuple[str, object]] = []

    def set_tracking_uri(self, uri: str) -> None:
        self.calls.append(("store", uri))

    def set_experiment(self, name: str) -> None:
        self.calls.append(("experiment", name))

    def start_run(self, run_name: str) -> SimpleNamespace:
        self.calls.append(("run", run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="7"))

    def log_params(self, params: dict[str, object]) -> None:
        self.params |= params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None, run_id: str | None = None) -> None:
        assert all(re.fullmatch(r"[\w\-. /]+", name) for name in metrics)  # what MLflow allows
        assert run_id == ("7" if step else None)  # the thread that follows the epochs has no active run of its own
        self.metrics += [(name, value, step) for name, value in metrics.items()]

    def log_artifact(self, path: str) -> None:
        self.artifacts.append(Path(path).name)

    def end_run(self, status: str) -> None:
        self.calls.append(("end", status))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """MLflow's place is taken by what records how it is called."""
    store = Store()
    monkeypatch.setitem(sys.modules, "mlflow", store)
    return store


def test_mlflow_gets_parameters_metrics_and_figures(store, root, tmp_path):
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "figure.png").write_bytes(b"")
    result = train(compose(*small(root, "tracking=mlflow", f"tracking.store='{uri}'")), tmp_path / "run")
    assert store.calls == [("store", uri), ("experiment", "ncf"), ("run", "run"), ("end", "FINISHED")]
    assert (tmp_path / "store").is_dir()
    assert store.params["model.gmf_factors"] == 8
    assert ("test/hit_at_10", result["test"]["hit@10"], None) in store.metrics
    assert [step for name, _, step in store.metrics if name == "valid/ndcg_at_10"] == [1, 2, 3]
    assert store.artifacts == ["figure.png"]


def test_mlflow_is_told_that_a_run_was_interrupted(store, root, tmp_path):
    settings = small(root, "tracking=mlflow", f"tracking.store={tmp_path}/store")
    assert train(compose(*settings), tmp_path, lambda: True) is None
    assert store.calls[-1] == ("end", "KILLED")
