"""Hybrids of finished runs: found, checked, weighted by validation, and whole without their parts."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from finished_runs import FinishedRuns
from quickly import composed
from torch import Tensor
from toys import compose, random_split, small

import ncf
from ncf.errors import ConfigError
from ncf.models.hybrid import scaled
from ncf.runs import hybrids
from ncf.runs.artifacts import read_result
from ncf.runs.identity import config_hash, resolved
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.plan import plan_run
from ncf.train import train

SPLIT = random_split(6, 12)


def world(root: Path, *overrides: str) -> list[str]:
    return [o for o in small(root, *overrides) if not o.startswith(("model.gmf", "model.mlp", "model.hidden"))]


def of(root: Path, first: Path, second: Path, *more: str) -> list[str]:
    return world(root, "model=hybrid", f"model.parts=['{first}','{second}']", *more)


@pytest.mark.slow
def test_alpha_is_the_best_on_validation_and_the_result_says_it(root: Path, runs: FinishedRuns, tmp_path: Path) -> None:
    result = train(compose(*of(root, runs["ease"], runs["popularity"])), tmp_path)
    assert result is not None
    by_hand = {}
    for alpha in hybrids.ALPHAS:
        folder = tmp_path / f"a{alpha}"
        folder.mkdir()
        own = train(compose(*of(root, runs["ease"], runs["popularity"], f"model.alpha={alpha}")), folder)
        assert own is not None
        by_hand[alpha] = own["valid"]["ndcg@10"]
    assert result["valid"]["ndcg@10"] == max(by_hand.values()) == by_hand[result["chosen"]["alpha"]]
    assert by_hand[1.0] == pytest.approx(read_result(runs["ease"])["valid"]["ndcg@10"])  # type: ignore[index]


@pytest.mark.parametrize(
    ("good", "chosen"), [((0.45, 0.55), 0.55), ((0.2, 0.8), 0.8), ((0.0, 0.3, 1.0), 0.3), (hybrids.ALPHAS, 0.5)]
)
def test_of_equally_good_alphas_the_one_nearest_to_a_half_is_taken_and_of_two_the_larger(
    good: tuple[float, ...], chosen: float
) -> None:
    model = SimpleNamespace(weight_of_first=torch.zeros(1), score=None)
    evaluation = SimpleNamespace(
        names=["ndcg@10"],
        evaluate=lambda score, targets: float(model.weight_of_first),
        metrics=lambda alpha: {"ndcg@10": float(any(abs(alpha - one) < 1e-6 for one in good))},
    )
    hybrids._choose(model, SPLIT, evaluation, "ndcg@10")  # type: ignore[arg-type]
    assert float(model.weight_of_first) == pytest.approx(chosen)


def test_a_finished_hybrid_does_not_need_its_parts(root: Path, runs: FinishedRuns, tmp_path: Path) -> None:
    parts = [Path(shutil.copytree(runs[name], tmp_path / name)) for name in ("ease", "neumf")]
    alone = [ncf.load(part) for part in parts]
    users = alone[0].split.user_ids[:7].tolist()
    first, second = (scaled(ncf_scores, "zscore") for ncf_scores in (_scores(run, users) for run in alone))
    folder = tmp_path / "hybrid"
    folder.mkdir()
    train(compose(*of(root, *parts, "model.alpha=0.25")), folder)
    for part in parts:
        shutil.rmtree(part)
    np.testing.assert_allclose(ncf.load(folder).score(users), 0.25 * first + 0.75 * second, atol=1e-4)


def _scores(run: LoadedRun, users: list[int]) -> Tensor:

    return torch.from_numpy(run.score(users))


def test_a_hybrid_is_what_its_parts_are_and_not_where(root: Path, runs: FinishedRuns, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs["ease"], tmp_path / "ease"))
    one, two, other = (
        config_hash(resolved(compose(*of(root, first, runs["popularity"]))))
        for first in (runs["ease"], copy, runs["puresvd"])
    )
    assert one == two != other


def test_runs_on_other_data_or_splits_are_refused_in_one_line(root: Path, runs: FinishedRuns, tmp_path: Path) -> None:
    for name in ("other data", "several"):
        with pytest.raises(ConfigError) as caught:
            train(compose(*of(root, runs["ease"], runs[name])), tmp_path)
        assert str(caught.value).startswith("model.parts: expected runs on this data and split, with digest ")
        assert str(caught.value).endswith(
            f" in {runs[name]}; train its parts with the data=, split= and split.* of the hybrid"
        )


def test_what_is_no_finished_run_is_refused(root: Path, runs: FinishedRuns, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"found no result\.json in {tmp_path}$"):
        hybrids.sources([str(runs["ease"]), str(tmp_path)])
    for parts in (["a"], "ab", ["a", "b", "c"]):
        with pytest.raises(
            ConfigError, match=r"^model\.parts: expected the folders of two finished runs, \[a, b\], got"
        ):
            hybrids.sources(parts)


@pytest.mark.parametrize("model", ["ease", "popularity", "neumf", "item_knn", "mf", "ials"])
def test_cold_items_are_refused_by_the_name_of_the_model_before_any_data(model: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_run(composed(f"model={model}", "split=cold_items", "data.root=/nonexistent"))
    assert str(caught.value).startswith(f"split: model={model} learns nothing of an item without training positives")
    assert "model=content, content_knn, hybrid, cease" in str(caught.value)


def test_a_weight_of_0_with_cold_items_is_named_as_what_to_change() -> None:
    with pytest.raises(ConfigError, match=r"expected a model\.weight above 0$"):
        plan_run(composed("model=cease", "model.weight=0", "split=cold_items", "data.root=/nonexistent"))


def test_models_of_content_take_cold_items_and_cease_only_with_a_weight() -> None:
    for model in ("content", "content_knn", "cease"):
        plan_run(composed(f"model={model}", "split=cold_items"))
    with pytest.raises(ConfigError, match=r"^split: model=cease"):
        plan_run(composed("model=cease", "split=cold_items", "model.weight=0.0"))
