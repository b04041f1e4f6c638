"""A run whose model is fitted without gradient leaves the same folder as any other."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_models import SPLIT, WITHOUT_GRADIENT, drawn, ready
from toys import compose, same, small

from ncf.data.split import Split
from ncf.errors import ConfigError, TrainingError
from ncf.models import MODELS, NonGradientRecommender
from ncf.models.als import ALS, IALS
from ncf.models.ease import EASE
from ncf.runs import checkpoint
from ncf.runs.artifacts import read_result
from ncf.runs.plan import plan_run
from ncf.train import train
from ncf.training.fitting import OneFit


def overrides(root: Path, *more: str) -> list[str]:
    return [o for o in small(root, *more) if not o.startswith("model.")]


FITTED = [name for name in WITHOUT_GRADIENT if name != "hybrid"]  # whose parts are trained before


@pytest.mark.parametrize("name", FITTED)
def test_fitting_is_one_step_after_which_the_model_is_ready_and_saved_whole(name: str) -> None:
    model, saved = drawn(name), []
    assert isinstance(model, NonGradientRecommender)
    fitting = OneFit(model, SPLIT, torch.device("cpu"), saved.append)
    assert fitting.fit()
    users = torch.arange(12)
    assert torch.equal(model.score(users), ready(name).score(users))
    ((line,), best) = fitting.progress.history, fitting.progress.best_epoch
    assert best == line["epoch"] == 1
    assert line["train_seconds"] > 0
    assert line["valid_seconds"] == 0
    (state,) = saved
    assert same(state["best"], dict(model.state_dict()))
    assert state["progress"]["history"] == [line]


def test_a_run_that_did_not_finish_is_fitted_anew() -> None:
    model = drawn("popularity")
    assert isinstance(model, NonGradientRecommender)
    saved: list[dict[str, Any]] = []
    fitting = OneFit(model, SPLIT, torch.device("cpu"), saved.append)
    fitting.load({"progress": {"epoch": 7}, "best": {}})
    assert fitting.fit()
    assert fitting.progress.best_epoch == 1


def test_the_run_folder_is_whole(root: Path, tmp_path: Path) -> None:
    result = train(compose(*overrides(root, "model=item_knn")), tmp_path)
    assert result is not None
    stored = read_result(tmp_path)
    assert stored is not None
    assert result == {key: value for key, value in stored.items() if key != "format"}
    assert 0 < result["valid"]["ndcg@10"] < 1
    assert result["timings"]["train_seconds"] > 0
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert len((tmp_path / "ranks.csv").read_text().splitlines()) == 1 + 2 * 60
    arrays = checkpoint.read(tmp_path / "checkpoint.pt").best
    assert set(arrays) == {"neighbours", "similarities", "starts", "history_items"}
    model = MODELS["item_knn"](60, 80, k=1, similarity="cosine", shrinkage=0.0, decay="positions", half_life=None)
    model.restore(arrays)
    assert model.score(torch.arange(3)).shape == (3, 80)


def test_a_finished_run_is_kept_and_a_half_written_one_is_fitted_again(root: Path, tmp_path: Path) -> None:
    cfg = compose(*overrides(root, "model=ease"))
    first = train(cfg, tmp_path)
    assert first is not None
    assert train(cfg, tmp_path)["timings"] == first["timings"]  # type: ignore[index]
    (tmp_path / "result.json").unlink()
    assert train(cfg, tmp_path)["test"] == first["test"]  # type: ignore[index]


def test_a_bad_setting_is_refused_by_its_key(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.l2: expected a value greater than 0, got 0\.0$"):
        plan_run(compose(*overrides(root, "model=ease"), "model.l2=0.0"))


STOPPABLE = [name for name in FITTED if name != "popularity"]  # which counts once


@pytest.mark.parametrize("name", STOPPABLE)
def test_a_fit_that_is_stopped_learns_nothing_and_starts_over_to_the_same_bits(name: str) -> None:
    """However far it has come: the first time it is asked, the second, and so on."""
    for asked in range(4):
        model, saved, left = drawn(name), [], iter([False] * asked)
        assert isinstance(model, NonGradientRecommender)
        stopped = partial(next, left, True)
        whole = OneFit(model, SPLIT, torch.device("cpu"), saved.append, stopped).fit()
        assert whole == bool(saved)
        if asked == 0:
            assert not whole
        again = drawn(name)
        assert isinstance(again, NonGradientRecommender)
        assert OneFit(again, SPLIT, torch.device("cpu"), saved.append).fit()
        assert torch.equal(again.score(torch.arange(12)), ready(name).score(torch.arange(12)))


@pytest.mark.parametrize("name", ["als", "ials"])
def test_alternating_least_squares_can_be_stopped_in_every_batch_of_every_half_sweep(name: str) -> None:
    asked = []
    model = drawn(name)
    assert isinstance(model, ALS | IALS)
    OneFit(model, SPLIT, torch.device("cpu"), lambda state: None, lambda: bool(asked.append(1))).fit()
    assert len(asked) == 2 * model.sweeps


def test_without_memory_a_fit_says_what_would_need_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: EASE, split: Split) -> None:
        raise MemoryError("16 GiB")

    monkeypatch.setattr(EASE, "fit", fit)
    model = drawn("ease")
    assert isinstance(model, NonGradientRecommender)
    expected = r"^out of memory while EASE was fitted to 12 users and 15 items: .* fewer of them, or a smaller model"
    with pytest.raises(TrainingError, match=expected):
        OneFit(model, SPLIT, torch.device("cpu"), lambda state: None).fit()
