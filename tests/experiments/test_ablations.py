"""Every ablation asks one question and is runnable as it stands: each choice it sweeps over passes the checks."""

import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from ncf.runs import checkpoint, results
from ncf.train import CONF, check

ABLATIONS = sorted(path.stem for path in (CONF / "experiment").glob("ablation_*.yaml"))


def choices(key: str, value: str) -> list[str]:
    """The overrides that `key: value` of hydra.sweeper.params stands for."""
    override = OverridesParser.create().parse_override(f"{key}={value}")
    assert override.is_sweep_override()
    return [f"{key}={choice}" for choice in override.sweep_string_iterator()]


@pytest.fixture
def towers(tmp_path, monkeypatch):
    """Finished runs of towers where the ablation of pre-training looks for them."""
    monkeypatch.chdir(tmp_path)
    for name in ("gmf", "mlp"):
        folder = Path("outputs/sweeps/ablation_architecture") / f"{name}-s42"
        folder.mkdir(parents=True)
        config = {"model": {"name": name}, "seed": 42}
        checkpoint.save(folder, {"best": {}, "settings": config})
        metrics = {"valid": {"mrr": 0.0}, "test": {"mrr": 0.0}}
        results.write_result(folder, {**metrics, "config": config, "config_hash": "", "data_digest": ""})


@pytest.mark.usefixtures("towers")
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_run_of_an_ablation_passes_the_checks(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"experiment={name}"], return_hydra_config=True)
        assert cfg.hydra.mode.name == "MULTIRUN"
        params = {key: str(value) for key, value in cfg.hydra.sweeper.params.items()}
        assert len(choices("seed", params.pop("seed"))) >= 8  # fewer pairs cannot be significant at 0.0125
        for overrides in itertools.product(*(choices(*param) for param in params.items())):
            check(compose("train", [f"experiment={name}", *overrides]))


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_header_is_one_question(name):
    package, question, *rest = (CONF / f"experiment/{name}.yaml").read_text().splitlines()
    assert package == "# @package _global_"
    assert question.startswith("# ")
    assert "?" in question
    assert not rest[0].startswith("#")


def test_pretraining_finds_the_towers_where_their_ablation_leaves_them():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["experiment=ablation_pretraining", "seed=47"])
        for name in ("gmf", "mlp"):
            overrides = ["experiment=ablation_architecture", f"model={name}", "seed=47"]
            tower = compose("train", overrides, return_hydra_config=True)
            assert cfg.model[f"pretrained_{name}"] == f"{tower.hydra.sweep.dir}/{tower.hydra.sweep.subdir}"


def test_batches_counted_in_positives_take_equal_steps():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for ratio in (4, 10, 50):
            cfg = compose("train", ["experiment=ablation_batch", f"neg_ratio={ratio}"])
            assert cfg.trainer.batch_size == 23 * (1 + ratio)
