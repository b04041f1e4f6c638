"""What is said about a command line that Hydra refuses: one line that helps."""

from pathlib import Path

import pytest
from hydra import compose
from hydra.errors import HydraException

from ncf.core.advice import explained, refuse_missing_run, refuse_unknown_options
from ncf.core.compose import CONF, configuration
from ncf.core.compose import compose as composed
from ncf.errors import ConfigError

TOP = (
    "data, deterministic, device, dynamics, evaluation, loss, model, neg_ratio, optimizer, registration, resume, "
    "sampler, seed, split, tracking, trainer"
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["model=NeuMF"], ", puresvd, user_knn, got 'NeuMF' (did you mean neumf?)"),
        (["loss=focall"], ", weighted_bce, got 'focall' (did you mean focal?)"),
        (["loss="], ", weighted_bce, got ''"),
        (["loss=focal", "loss.gama=2"], "expected one of loss.alpha, loss.gamma (did you mean loss.gamma?)"),
        (["loss=bce", "loss.gama=2"], "expected none in loss=bce (loss=focal, focal_clamped have gamma)"),
        (["loss=alpha_bce", "loss.gama=2"], "loss.alpha (loss=focal, focal_clamped have gamma)"),
        (
            ["model=gmf", "model.dropout=0.2"],
            "expected one of model.factors (model=mlp, neumf, neumf_pretrained have dropout)",
        ),
        (["model=gmf", "model.k=2"], "expected one of model.factors (model=content_knn, item_knn, user_knn have k)"),
        (["mode.factors=8"], f"mode.factors: unknown key, expected one of {TOP} (did you mean model?)"),
        (["usr=3"], f"usr: unknown key, expected one of {TOP}"),
        (["sed=3"], f"sed: unknown key, expected one of {TOP} (did you mean seed?)"),
        (["lr=0.1"], f"lr: unknown key, expected one of {TOP} (did you mean optimizer.lr?)"),
        (["epochs=3"], f"epochs: unknown key, expected one of {TOP} (did you mean trainer.epochs?)"),
        (["trainer.epochs.x=3"], "trainer.epochs.x: unknown key, expected none in trainer.epochs"),
        (
            ["hydra.run.dri=x"],
            "hydra.run.dri: unknown key, expected one of hydra.run.dir (did you mean hydra.run.dir?)",
        ),
        (["hydra/launcher=core"], ", got 'core' (did you mean cores?)"),
        (["seed=["], "no viable alternative at input '[' See https"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_one_line_with_what_was_expected_and_what_is_meant(given: list[str], said: str) -> None:
    with configuration(), pytest.raises(HydraException) as caught:
        compose("train", given)
    line = explained(caught.value, CONF)
    assert said in line
    assert "\n" not in line
    assert "+" not in line  # Hydra's advice, to add the key, would be refused as well
    assert line.endswith(said) or "https" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "3"], r"^--epochs: unknown option; .* \(did you mean trainer\.epochs\?\), and --help shows"),
        (["-m", "seed=1,2", "--epochs=3"], r"^--epochs=3: unknown option; .*\(did you mean trainer\.epochs\?\)"),
        (["--zebra"], "^--zebra: unknown option; settings are written key=value, and --help shows them$"),
        (["--config-dir"], "^argument --config-dir/-cd: expected one argument "),
    ],
)
def test_an_option_that_hydra_lacks_is_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_unknown_options(arguments, lambda: composed([]))


def test_the_options_of_hydra_and_settings_are_no_unknown_options() -> None:
    for arguments in (["--help"], ["-m", "seed=1,2", "--config-dir", "x"], ["seed=-1"], ["--cfg", "job"], ["--multi"]):
        refuse_unknown_options(arguments, lambda: composed([]))


def test_resume_of_what_is_no_run_says_so(tmp_path: Path) -> None:
    for arguments in (["seed=1"], ["resume="], ["resume=null"]):
        refuse_missing_run(arguments)
    with pytest.raises(ConfigError, match=r"^resume: expected the folder of a run, found no folder 'outputs/gone'$"):
        refuse_missing_run(["resume=outputs/gone"])
    with pytest.raises(ConfigError, match=r"^resume: .* has no \.hydra/overrides\.yaml; .* had not begun"):
        refuse_missing_run([f"resume={tmp_path}"])
