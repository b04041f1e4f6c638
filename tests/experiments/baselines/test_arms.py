"""The arms of the comparison are all models, and their tuned experiments run as the arms say."""

import pytest
from omegaconf import OmegaConf
from toys import compose

from experiments.baselines import published
from experiments.baselines.arms import ARMS, REFERENCES, RETUNED, TUNED, Arm
from ncf.models import MODELS
from ncf.runs.plan import plan_run

OTHERS = {"multitask", "content", "content_knn", "cease", "mf_features", "hybrid"}  # compared on pages of their own


def test_every_model_is_compared() -> None:
    assert {arm.choices[0].removeprefix("model=") for arm in ARMS.values()} == set(MODELS) - OTHERS
    assert set(REFERENCES) <= set(ARMS)
    assert all(len(arm.seeds) in (1, 10) for arm in ARMS.values())


def test_every_model_with_a_published_value_is_tuned_for_that_protocol() -> None:
    assert set(RETUNED) == set(published.reference()["models"]) - {"popularity"}


@pytest.mark.parametrize("arm", [*ARMS.values(), *RETUNED.values()], ids=lambda arm: arm.name)
def test_a_tuned_experiment_is_the_arm_it_is_named_after(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    name = arm.name
    monkeypatch.setattr("ncf.runs.pretraining.weights", lambda source, folder: {})
    cfg = compose(f"experiment={arm.experiment}", "seed=43")
    settings = plan_run(cfg).settings
    published_protocol = settings["evaluation"]["name"] == "sampled" and settings["data"]["threshold"] is None
    assert published_protocol == (name.removesuffix("_published") != name)
    sweep = OmegaConf.merge({"seed": 43}, OmegaConf.load(TUNED / f"{arm.experiment}.yaml")).hydra.sweep
    assert f"{sweep.dir}/{sweep.subdir}" == str(arm.folder(43))
    for line in arm.settings:
        key, _, value = line.partition("=")
        assert OmegaConf.select(cfg, key) == OmegaConf.from_dotlist([f"x={value}"]).x
    if name == "neumf_pretrained":
        assert settings["model"]["pretrained_gmf"] == str(ARMS["gmf"].folder(43))


def test_the_default_settings_are_those_that_nobody_chose() -> None:
    """But for what all models trained by gradient share."""
    shared = compose("model=neumf", "seed=43", *ARMS["neumf"].settings)
    assert plan_run(compose("experiment=neumf_default", "seed=43")).settings == plan_run(shared).settings
