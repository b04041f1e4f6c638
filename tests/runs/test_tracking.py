"""Trackers tell every epoch once, also of a resumed run, and change nothing about the run."""

import json
import sys

import pytest
from toys import compose, small

from ncf import train
from ncf.errors import ConfigError
from ncf.runs import artifacts, tracking
from ncf.runs.identity import config_hash, resolved


def scalars(folder):
    """Tag -> [(step, value)] of the event files, as TensorBoard reads them."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = events.EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_tensorboard_has_every_epoch_and_the_result(root, tmp_path):
    result = train.train(compose(*small(root, "tracking=tensorboard")), tmp_path, lambda: False)
    shown = scalars(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert shown["valid/ndcg@10"] == [(line["epoch"], pytest.approx(line["ndcg@10"])) for line in lines]
    assert shown["train/train_loss"] == [(line["epoch"], pytest.approx(line["train_loss"])) for line in lines]
    assert shown["test/hit@10"] == [(len(lines), pytest.approx(result["test"]["hit@10"]))]


def test_a_run_is_the_same_run_with_and_without(root):
    settings = [resolved(compose(*small(root, f"tracking={name}"))) for name in ("none", "tensorboard", "mlflow")]
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
    result = train.train(compose(*small(root, "tracking=tensorboard")), tmp_path, lambda: False)
    assert result["test"] == artifacts.read_result(tmp_path)["test"]
    assert "tracking: the record is incomplete (OSError: [Errno 28] No space left on device)" in caplog.messages


def test_a_broken_figure_costs_no_run(root, tmp_path, caplog):
    (tmp_path / "figure.png").write_text("no picture")
    assert train.train(compose(*small(root, "tracking=tensorboard")), tmp_path, lambda: False) is not None
    assert "tracking: the record is incomplete (" in caplog.text


def test_a_record_that_cannot_begin_is_one_error(root, tmp_path):
    (tmp_path / "tensorboard").write_text("a file in its place")
    with pytest.raises(ConfigError, match=r"tracking: cannot begin the record of .* \(File exists\)"):
        train.train(compose(*small(root, "tracking=tensorboard")), tmp_path, lambda: False)


def test_a_library_that_is_not_there_is_named(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="tracking: expected mlflow, found none; pip install mlflow"):
        train.train(compose(*small(root, "tracking=mlflow")), tmp_path, lambda: False)


def test_mlflow_gets_parameters_and_metrics(root, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path}/store/mlflow.db"
    result = train.train(compose(*small(root, "tracking=mlflow", f"tracking.store='{store}'")), tmp_path, lambda: False)
    client = mlflow.MlflowClient(store)
    run = client.get_run(client.search_runs(["1"])[0].info.run_id)
    assert run.data.params["model.gmf_factors"] == "8"
    assert run.data.metrics["test/hit_at_10"] == result["test"]["hit@10"]
    assert len(client.get_metric_history(run.info.run_id, "valid/ndcg_at_10")) == 3
