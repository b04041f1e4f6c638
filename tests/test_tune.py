"""`python -m ncf.tune`: a study has its trials once, goes on where it was stopped, and looks at validation only."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from quickly import composed
from toys import small

from ncf import tune
from ncf.errors import ConfigError
from ncf.runs.plan import plan_run

optuna = pytest.importorskip("optuna")


def overrides(root: Path, model: str) -> list[str]:
    return [o for o in small(root, f"model={model}") if not o.startswith("model.")]


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.rglob("result.json")]


def test_a_study_has_its_trials_once_and_goes_on(root: Path, tmp_path: Path) -> None:
    arguments = [*overrides(root, "ease"), f"folder={tmp_path}"]
    tune.main([*arguments, "trials=2"])
    tune.main([*arguments, "trials=4"])
    (path,) = tmp_path.glob("ease-*.json")
    summary, trials = json.loads(path.read_text()), results(tmp_path)
    assert summary["trials"] == len(trials) == 4
    assert len({r["config"]["model"]["l2"] for r in trials}) == 4
    assert summary["value"] == max(r["valid"]["ndcg@10"] for r in trials)
    best = next(r for r in trials if r["config"]["model"]["l2"] == summary["best"]["model.l2"])
    assert best["valid"]["ndcg@10"] == summary["value"]
    tune.main([*arguments, "trials=4"])
    assert len(results(tmp_path)) == 4


def test_a_study_ends_when_its_time_is_over(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    summary = tune.tune(settings, trials=3, minutes=0.0, folder=tmp_path)
    assert summary["trials"] == 1
    assert summary["seconds"] > 0
    assert tune.tune(settings, trials=3, minutes=0.0, folder=tmp_path) == summary


def test_a_trial_that_was_killed_does_not_count(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    tune.tune(settings, trials=1, minutes=1.0, folder=tmp_path)
    (name,) = optuna.get_all_study_names(f"sqlite:///{tmp_path}/studies.db")
    optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path}/studies.db").ask()
    assert tune.tune(settings, trials=2, minutes=1.0, folder=tmp_path)["trials"] == 2


SPACES = sorted(path.stem for path in tune.SPACES.glob("*.yaml"))


@pytest.mark.parametrize("model", SPACES)
def test_every_space_suggests_what_the_checks_accept(model: str) -> None:
    trial = optuna.create_study().ask()
    chosen = {key: tune.suggest(trial, key, options) for key, options in tune.space_of(model, None).items()}
    towers = [f"model.pretrained_{key}=x" for key in ("gmf", "mlp", "digest")] if model == "neumf_pretrained" else []
    assert chosen
    plan_run(composed(f"model={model}", *towers, *(f"{key}={value}" for key, value in chosen.items())))


def test_a_model_without_a_space_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"model: expected one with a search space in conf/tuning \(als, .*\), got 'popularity'"
    ):
        tune.main(["model=popularity", f"folder={tmp_path}"])
    assert not list(tmp_path.iterdir())


def test_a_space_of_one_s_own_comes_before_the_one_of_the_package(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "conf"
    (own / "tuning").mkdir(parents=True)
    (own / "tuning" / "ease.yaml").write_text("model.l2: {choices: [3.0]}\n")
    (own / "model").mkdir()
    (own / "model" / "gentle.yaml").write_text("name: ease\nl2: 5.0\n")
    settings = [o for o in overrides(root, "ease") if not o.startswith("model=")]
    tune.main([*settings, "model=gentle", "trials=1", f"folder={tmp_path / 'studies'}", "--config-dir", str(own)])
    (result,) = results(tmp_path / "studies")
    assert result["config"]["model"] == {"name": "ease", "l2": 3.0}


def test_options_may_stand_anywhere() -> None:
    parsed = tune.parser().parse(["model=ease", "--trials", "3", "seed=2"])
    assert (parsed.overrides, parsed.trials) == (["model=ease", "seed=2"], 3)
    with pytest.raises(ConfigError, match="--trials: invalid int value: 'many'"):
        tune.parser().parse(["model=ease", "trials=many"])


def test_a_missing_library_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"^tune: optuna is not installed; pip install 'ncf\[tuning\]'$"):
        tune.main([*overrides(root, "ease"), f"folder={tmp_path}"])
