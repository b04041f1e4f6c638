"""Tuning goes on where it was stopped, and looks at validation only."""

import json

import pytest
from toys import small

from ncf import tune
from ncf.errors import ConfigError

optuna = pytest.importorskip("optuna")


def overrides(root, model):
    return [o for o in small(root, f"model={model}") if not o.startswith("model.")]


def test_a_study_has_its_trials_once_and_goes_on(root, tmp_path):
    arguments = [*overrides(root, "ease"), f"folder={tmp_path}"]
    tune.main([*arguments, "trials=2"])
    tune.main([*arguments, "trials=4"])
    (path,) = tmp_path.glob("ease-*.json")
    summary = json.loads(path.read_text())
    results = [json.loads(p.read_text()) for p in tmp_path.rglob("result.json")]
    assert summary["trials"] == len(results) == 4
    assert len({r["config"]["model"]["l2"] for r in results}) == 4
    assert summary["value"] == max(r["valid"]["ndcg@10"] for r in results)
    best = next(r for r in results if r["config"]["model"]["l2"] == summary["best"]["model.l2"])
    assert best["valid"]["ndcg@10"] == summary["value"]
    tune.main([*arguments, "trials=4"])
    assert len(list(tmp_path.rglob("result.json"))) == 4


def test_every_space_suggests_what_the_checks_accept(root):
    from omegaconf import OmegaConf

    from ncf.train import check

    for model, space in OmegaConf.to_container(OmegaConf.load(tune.SPACES)).items():
        trial = optuna.create_study().ask()
        chosen = {key: tune.suggest(trial, key, one) for key, one in space.items()}
        runs = ["model.pretrained_gmf=a", "model.pretrained_mlp=b", "model.pretrained_digest=c"]
        more = runs if model == "neumf_pretrained" else []
        check(tune.composed([f"model={model}", *more, *(f"{key}={value}" for key, value in chosen.items())]))


def test_a_study_ends_when_its_time_is_over(root, tmp_path):
    settings = overrides(root, "ease")
    summary = tune.tune(settings, trials=3, minutes=0.0, folder=tmp_path)
    assert summary["trials"] == 1
    assert summary["seconds"] > 0
    assert tune.tune(settings, trials=3, minutes=0.0, folder=tmp_path) == summary


def test_a_trial_that_was_killed_does_not_count(root, tmp_path):
    settings = overrides(root, "ease")
    tune.tune(settings, trials=1, minutes=1.0, folder=tmp_path)
    (name,) = optuna.get_all_study_names(f"sqlite:///{tmp_path}/studies.db")
    optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path}/studies.db").ask()
    assert tune.tune(settings, trials=2, minutes=1.0, folder=tmp_path)["trials"] == 2


def test_a_model_without_a_space_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model: expected one with a space in spaces.yaml .* got 'popularity'"):
        tune.main(["model=popularity", f"folder={tmp_path}"])
