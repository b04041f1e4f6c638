"""Which runs a sweep makes: those that the experiments of the study, as parts of its registration, ask for."""

import functools
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from quickly import composed
from sweeps import STUDY

from ncf.core.compose import configuration
from ncf.errors import ConfigError
from ncf.study.registered_runs import Part, admits, overrides, parts, registered_runs
from ncf.study.registration import Registration, in_arm, load

EXPERIMENTS = ("focal_loss", "h1", "h2", "h3", "grid", "clamped")


@pytest.fixture(scope="module")
def study() -> Registration:
    return load(STUDY)


@functools.cache
def experiment(name: str) -> DictConfig:
    """The configuration of an experiment, with Hydra's own."""
    with configuration():
        return hydra.compose("train", [f"experiment={name}"], return_hydra_config=True)


def runs_of(name: str, study: Registration) -> list[dict[str, Any]]:
    return registered_runs(study, parts(OmegaConf.to_container(experiment(name).hydra.sweeper.parts)))


def keys(runs: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {tuple(sorted(run.items())) for run in runs}


def test_the_experiments_are_the_registered_study() -> None:
    """In one folder, so that no run of it is made twice."""
    for name in EXPERIMENTS:
        cfg = experiment(name)
        assert cfg.registration == "experiments/focal_loss/preregistration.yaml"
        assert cfg.hydra.sweep.dir == "outputs/sweeps/focal_loss"


def test_the_whole_study_is_every_registered_run_once(study: Registration) -> None:
    runs = runs_of("focal_loss", study)
    assert keys(runs) == keys([run for grid in study.grids for run in study.runs(grid)])
    assert len(keys(runs)) == len(runs)


def test_the_parts_of_the_study_are_what_their_hypotheses_compare(study: Registration) -> None:
    for name, arms in {"h1": ["focal", "bce"], "h2": ["focal", "bce"]}.items():
        ratios = [10, 50] if name == "h1" else [4, 10, 50]
        expected = [
            run for run in study.runs("main") for arm in arms
            if run["neg_ratio"] in ratios and in_arm(run, study.arms[arm], run["neg_ratio"])
        ]  # fmt: skip
        assert keys(runs_of(name, study)) == keys(expected)
    without_bce = [run for run in study.runs("main") if run["loss"] != "bce"]
    assert keys(runs_of("h3", study)) == keys(without_bce + study.runs("constant_weight"))
    for name in ("grid", "clamped"):
        assert keys(runs_of(name, study)) == keys(study.runs(name))


def test_what_decides_comes_first(study: Registration) -> None:
    """The main runs at 1:10 and 1:4 before all others, seed by seed, so that a stopped sweep leaves whole pairs."""
    runs = runs_of("focal_loss", study)
    cheap = [run for run in study.runs("main") if run["neg_ratio"] in (4, 10)]
    assert keys(runs[: len(cheap)]) == keys(cheap)
    assert [run["loss"] for run in runs[:6]] == ["bce", "alpha_bce", "focal"] * 2
    assert [run["seed"] for run in runs[:6]] == [42] * 3 + [43] * 3


def test_a_registered_run_is_the_run_that_is_made(study: Registration) -> None:
    """Column -> override -> configuration -> column gives back what was registered."""
    for run in {run["loss"]: run for run in runs_of("focal_loss", study)}.values():
        cfg = composed(*(f"{key}={value}" for key, value in overrides(run).items()))
        loss = dict(cfg.loss)
        names = {"model": cfg.model.name, "neg_ratio": cfg.neg_ratio, "seed": cfg.seed, "loss": loss.pop("name")}
        assert names | loss == run


def test_parts_name_what_is_registered(study: Registration) -> None:
    with pytest.raises(ConfigError, match=r"expected names of H1, .*clamped, got 'H9'"):
        registered_runs(study, [Part(of=["H9"], ratios=[4])])
    for bad in ([{"of": ["H1"]}], [{"of": [], "ratios": [4]}], [{"of": ["H1"], "ratios": [0]}], ["H1"], {"of": "H1"}):
        with pytest.raises(ConfigError, match=r"^hydra\.sweeper\.parts"):
            parts(bad)


def test_the_command_line_narrows_down() -> None:
    run = {"model": "neumf", "loss": "focal", "loss.gamma": 2.0, "loss.alpha": 0.8, "neg_ratio": 4, "seed": 42}
    assert admits({}, run)
    assert admits({"seed": [41, 42], "loss": ["bce", "focal"]}, run)
    assert admits({"loss.alpha": ["balanced"], "loss.gamma": [2]}, run)
    assert not admits({"seed": [43]}, run)
    assert not admits({"loss.alpha": [0.25]}, run)
    assert not admits({"loss.alpha": [0.25]}, {"loss": "bce", "neg_ratio": 4, "seed": 42})
