"""Runs of two tasks: what they leave behind, how they resume and stop, and what is refused before data is read."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from quickly import composed
from toys import same

import ncf
from ncf.errors import ConfigError, DataError
from ncf.runs import checkpoint
from ncf.runs.job import Job, open_job
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.plan import plan_run

SIZES = ("model.factors=6", "model.hidden=[8,4]", "neg_ratio=1", "trainer.batch_size=128", "trainer.progress=false")
BOTH = ("model=multitask", "loss=bpr_rating")
RUN = ("data.threshold=null", "split=random", *SIZES, "device=cpu", "evaluation.metrics=[ndcg,mrr_all]")


@pytest.fixture(scope="module")
def rated() -> pd.DataFrame:
    """Ratings 1 to 5 that factors explain."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.choice(40 * 30, 700, replace=False), 30)
    taste = (rng.normal(size=(40, 2))[users] * rng.normal(size=(30, 2))[items]).sum(1)
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(np.rint(3 + taste), 1, 5)})


@pytest.fixture(scope="module")
def fitted(rated: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    folder = tmp_path_factory.mktemp("multitask")
    return ncf.fit("multitask", rated, folder=folder / "run", epochs=3, overrides=RUN)


@pytest.fixture(scope="module")
def archive(rated: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rated.csv"
    rated.to_csv(path, index=False)
    return path


def job(folder: Path, archive: Path, *overrides: str, stop_after: int | None = None) -> Job:
    left = [stop_after]

    def stopped() -> bool:
        if left[0] is None:
            return False
        left[0] -= 1
        return left[0] <= 0

    folder.mkdir(exist_ok=True)
    data = "data=csv", f"data.archive='{archive}'", "data.user=user", "data.item=item", "data.timestamp=null"
    found = open_job(plan_run(composed(*BOTH, "trainer.epochs=3", *data, *RUN, *overrides)), folder, stopped)
    assert isinstance(found, Job)
    return found


def test_one_call_trains_both_tasks_and_the_result_has_the_metrics_of_both(fitted: LoadedRun) -> None:
    assert fitted.result["config"]["loss"]["name"] == "bpr_rating"
    for part in ("valid", "test"):
        assert {"ndcg@10", "mrr_all", "mse", "rmse", "mae"} <= fitted.result[part].keys()
        assert fitted.result[part]["rmse"] == pytest.approx(fitted.result[part]["mse"] ** 0.5)
    lines = [json.loads(line) for line in (fitted.folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert all({"ranking_loss", "rating_loss", "mse", "mrr_all"} <= line.keys() for line in lines)
    weights = fitted.result["config"]["loss"]
    for line in lines:
        joint = (weights["ranking"] * line["ranking_loss"] + weights["rating"] * line["rating_loss"]) / 2
        assert line["train_loss"] == pytest.approx(joint, rel=1e-5)  # the mean of a positive and its negative


def test_ratings_of_pairs_are_predicted_and_give_the_errors_of_the_result(fitted: LoadedRun) -> None:
    split = fitted.split
    found = fitted.rate(split.user_ids[split.test.users], split.item_ids[split.test.items])
    assert (found.shape, found.dtype) == ((len(split.test),), np.float32)
    errors = found.astype(float) - split.test.ratings
    assert np.mean(errors**2) == pytest.approx(fitted.result["test"]["mse"], rel=1e-6)
    assert np.abs(errors).mean() == pytest.approx(fitted.result["test"]["mae"], rel=1e-6)
    with pytest.raises(ConfigError, match=r"^rate: expected as many users as items, a pair each, got 2 and 1$"):
        fitted.rate([0, 1], [0])
    with pytest.raises(DataError, match="user"):
        fitted.rate([999], [0])


def test_a_loss_of_ones_own_choice_is_kept(rated: pd.DataFrame, tmp_path: Path) -> None:
    own = [*RUN, "loss=bpr_rating", "loss.ranking=0.5"]
    run = ncf.fit("multitask", rated, folder=tmp_path / "run", epochs=1, overrides=own)
    assert run.result["config"]["loss"]["ranking"] == 0.5
    with pytest.raises(ConfigError, match=r"^loss: expected one that learns ratings"):
        ncf.fit("multitask", rated, folder=tmp_path / "other", epochs=1, overrides=RUN, loss="bce")


def test_new_users_are_ranked_for_without_their_ratings(fitted: LoadedRun) -> None:
    assert len(fitted.recommend_for([0, 3, 7], 5)) == 5


def test_a_run_without_a_rating_head_says_so(rated: pd.DataFrame, tmp_path: Path) -> None:
    run = ncf.fit("popularity", rated, folder=tmp_path / "run", overrides=["evaluation.cutoffs=[10]"])
    with pytest.raises(DataError, match=r"^rate: model Popularity predicts no ratings; model=multitask loss=bpr_ra"):
        run.rate([0], [0])
    assert "mse" not in run.result["test"]


@pytest.mark.parametrize("steps", [2, 7])
def test_a_run_that_is_stopped_and_resumed_ends_in_the_same_bits(archive: Path, tmp_path: Path, steps: int) -> None:
    whole = job(tmp_path / "whole", archive).run()
    assert job(tmp_path / "parts", archive, stop_after=steps).run() is None
    saved = checkpoint.load(tmp_path / "parts")
    assert saved is not None
    assert saved.task_sums is not None
    assert saved.task_sums.keys() == {"ranking", "rating"}
    again = job(tmp_path / "parts", archive).run()
    assert whole is not None
    assert again is not None
    assert whole["weights_sha256"] == again["weights_sha256"]
    clocks = ("train_seconds", "valid_seconds", "rows_per_second")
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key not in clocks}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "parts")
    ]
    assert same(*lines)


@pytest.mark.parametrize(("monitor", "best"), [("mse", min), ("mae", min), ("mrr_all", max)])
def test_the_best_epoch_is_the_one_of_the_metric_named(
    archive: Path, tmp_path: Path, monitor: str, best: object
) -> None:
    run = job(tmp_path / "run", archive, f"trainer.monitor={monitor}", "trainer.epochs=6", "optimizer.lr=0.02")
    result = run.run()
    assert result is not None
    values = [line[monitor] for line in run.trainer.progress.history]
    assert result["best_epoch"] == 1 + values.index(best(values))
    assert result["valid"][monitor] == pytest.approx(best(values))


def test_tensorboard_shows_both_losses_and_both_metrics(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    job(folder, archive, "tracking=tensorboard").run()
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/ranking_loss", "train/rating_loss", "valid/mrr_all", "valid/mse", "test/mse"} <= tags


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=multitask"],
            "loss: expected one that learns ratings, such as bpr_rating, with model=multit",
        ),
        (["loss=bpr_rating"], "model: expected one that rates, such as multitask, with loss=bpr_rating, got neumf"),
        (["trainer.monitor=mse"], "trainer.monitor: expected one of hit@5"),
        (
            [*BOTH, "loss.rating=-1"],
            "loss.rating: expected a value greater than or equal",
        ),
        (
            [*BOTH, "loss.rating=0", "loss.ranking=0"],
            "loss.rating: expected loss.ranking or",
        ),
        (
            [*BOTH, "trainer.compile=true"],
            "trainer.compile: expected false with loss=bpr_r",
        ),
        (
            [*BOTH, "trainer.precision=bfloat16"],
            "trainer.precision: expected float32 with",
        ),
        (
            [*BOTH, "optimizer=row_adam"],
            "optimizer: expected adam, adamw or sgd with loss",
        ),
    ],
)
def test_half_of_two_tasks_is_refused_before_data_is_read(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_run(composed(*overrides))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_data_without_ratings_are_refused_in_one_line(rated: pd.DataFrame, tmp_path: Path) -> None:
    clicks = rated[["user", "item"]]
    with pytest.raises(DataError, match=r"expected ratings that differ, .*, found 1 in all") as caught:
        ncf.fit("multitask", clicks, folder=tmp_path / "run", overrides=[*RUN[1:], "data.threshold=null"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [
        (["model.shared=false"], True),
        (["model.shared=false", "optimizer=adamw"], True),
        ([], False),
        (["model.shared=false", "optimizer=sgd"], False),
        (["model.shared=false", "optimizer.weight_decay=0.01"], False),
        (["model.shared=false", "optimizer.clip_norm=1.0"], False),
    ],
)
def test_weights_that_do_nothing_are_warned_of(
    archive: Path, tmp_path: Path, overrides: list[str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        job(tmp_path / "run", archive, *overrides)
    assert any("loss.ranking and loss.rating do nothing here" in line for line in caplog.messages) == warned
