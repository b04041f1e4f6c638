"""What a study chose becomes an experiment that says what choosing it took."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.baselines import tuning
from experiments.baselines.arms import ARMS, TUNED
from ncf.models import MODELS


def test_every_model_but_popularity_has_a_space() -> None:
    assert {path.stem for path in tuning.SPACES.glob("*.yaml")} == set(MODELS) - {"popularity"}


def test_the_yaml_of_a_study_says_what_it_took() -> None:
    summary = {"value": 0.0812, "trials": 15, "seconds": 90.0}
    text = tuning.experiment(ARMS["bpr_mf"], ["neg_ratio=4"], {"optimizer.lr": 0.003, "model.factors": 8}, summary)
    assert "# BPR-MF, tuned: validation NDCG@10 0.0812, the best of 15 configurations in 1.5 min.\n" in text
    body = OmegaConf.create(text)
    assert body.defaults == [{"override /model": "mf"}, {"override /loss": "bpr"}]
    assert (body.neg_ratio, body.optimizer.lr, body.model.factors) == (4, 0.003, 8)


def test_chosen_numbers_are_rounded_and_nothing_else_is() -> None:
    assert [tuning.rounded(value) for value in (0.0012345, 223.739, 17, "cosine")] == [0.00123, 224.0, 17, "cosine"]


def test_a_model_without_a_space_gets_its_experiment_without_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TUNED", tmp_path)
    monkeypatch.setattr(tuning, "tune", None)
    assert tuning.tune_one(ARMS["popularity"], 15.0)["trials"] == 0
    assert (tmp_path / "tuned_popularity.yaml").read_text() == (TUNED / "tuned_popularity.yaml").read_text()
    assert tuning.tune_one(ARMS["neumf_default"], 15.0)["trials"] == 0
    assert (tmp_path / "neumf_default.yaml").read_text() == (TUNED / "neumf_default.yaml").read_text()


def test_a_model_is_tuned_within_its_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def tune(overrides: list[str], trials: int, minutes: float, folder: Path) -> dict[str, object]:
        asked.append((overrides, trials, minutes))
        return {"best": {"model.l2": 223.739}, "trials": 15, "seconds": 60.0, "value": 0.08}

    monkeypatch.setattr(tuning, "TUNED", tmp_path)
    monkeypatch.setattr(tuning, "tune", tune)
    row = tuning.tune_one(ARMS["ease"], 20.0)
    assert asked == [(["model=ease"], 95, 20.0)]  # as many as models trained by gradient have
    assert row == {"arm": "ease", "trials": 15, "seconds": 60.0, "value": 0.08}
    assert OmegaConf.load(tmp_path / "tuned_ease.yaml").model.l2 == 224.0


def test_pretrained_towers_bring_their_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TUNED", tmp_path)
    (tmp_path / "tuned_gmf.yaml").write_text("model: {factors: 16}\n")
    (tmp_path / "tuned_mlp.yaml").write_text("model: {factors: 8, hidden: [64, 32, 16], dropout: 0.2}\n")
    asked = []

    def halved(arm: object, fixed: list[str]) -> dict[str, object]:
        asked.extend(fixed)
        return {"best": {"optimizer.lr": 0.001}, "trials": 80, "seconds": 60.0, "value": 0.08}

    monkeypatch.setattr(tuning.halving, "tune", halved)
    tuning.tune_one(ARMS["neumf_pretrained"], 15.0)
    assert {"model.gmf_factors=16", "model.mlp_factors=8", "model.hidden=[64,32,16]"} <= set(asked)
    model = OmegaConf.load(tmp_path / "tuned_neumf_pretrained.yaml").model
    assert (model.gmf_factors, model.mlp_factors, list(model.hidden)) == (16, 8, [64, 32, 16])
