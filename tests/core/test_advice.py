"""What is said about a command line that Hydra refuses: one line that helps."""

from pathlib import Path

import pytest
from hydra import compose
from hydra.errors import HydraException

from ncf.core.advice import explained, refuse_missing_run
from ncf.core.compose import configuration
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
        (["loss=bce", "loss.gama=2"], "loss.gama: unknown key, expected none in loss"),
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
    line = explained(caught.value)
    assert said in line
    assert "\n" not in line
    assert "+" not in line  # Hydra's advice, to add the key, would be refused as well
    assert line.endswith(said) or "https" in said


def test_resume_of_what_is_no_run_says_so(tmp_path: Path) -> None:
    for arguments in (["seed=1"], ["resume="], ["resume=null"]):
        refuse_missing_run(arguments)
    with pytest.raises(ConfigError, match=r"^resume: expected the folder of a run, found no folder 'outputs/gone'$"):
        refuse_missing_run(["resume=outputs/gone"])
    with pytest.raises(ConfigError, match=r"^resume: .* has no \.hydra/overrides\.yaml; .* had not begun"):
        refuse_missing_run([f"resume={tmp_path}"])
