"""Every ablation asks one question and is runnable as it stands: each choice it sweeps over passes the checks."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from toys import compose

from ncf.core.compose import CONF, configuration
from ncf.runs import checkpoint
from ncf.runs.artifacts import write_result
from ncf.runs.components import CHOICES
from ncf.runs.plan import plan_run
from ncf.training.trainer import Progress

ABLATIONS = sorted(path.stem for path in (CONF / "experiment").glob("ablation_*.yaml"))


def choices(key: str, value: str) -> list[str]:
    """The overrides that `key: value` of hydra.sweeper.params stands for."""
    override = OverridesParser.create().parse_override(f"{key}={value}")
    assert override.is_sweep_override()
    return [f"{key}={choice}" for choice in override.sweep_string_iterator()]


def crossed(params: dict[str, str]) -> Iterator[tuple[str, ...]]:
    return itertools.product(*(choices(*param) for param in params.items()))


@pytest.fixture
def towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished runs of towers where the ablation of pre-training looks for them."""
    monkeypatch.chdir(tmp_path)
    for name in ("gmf", "mlp"):
        folder = Path("outputs/sweeps/ablation_architecture") / f"{name}-s42"
        folder.mkdir(parents=True)
        config = {"model": {"name": name}, "seed": 42}
        checkpoint.save(folder, {"best": {}, "settings": config, "progress": vars(Progress())})
        metrics = {"valid": {"mrr": 0.0}, "test": {"mrr": 0.0}}
        write_result(folder, {**metrics, "config": config, "config_hash": "", "data_digest": ""})


@pytest.mark.usefixtures("towers")
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_run_of_an_ablation_passes_the_checks(name: str) -> None:
    """Settings that are no choice of a component are set on what is composed, which is ten times as fast."""
    sweep = OmegaConf.load(CONF / f"experiment/{name}.yaml").hydra
    assert sweep.mode == "MULTIRUN"
    params = {key: str(value) for key, value in sweep.sweeper.params.items()}
    assert len(choices("seed", params.pop("seed"))) >= 8  # fewer pairs cannot be significant at 0.0125
    components = {key: value for key, value in params.items() if key in CHOICES}
    numbers = {key: value for key, value in params.items() if key not in CHOICES}
    for chosen in crossed(components):
        cfg = compose(f"experiment={name}", *chosen)
        for settings in crossed(numbers):
            plan_run(OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(settings))))


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_header_is_one_question(name: str) -> None:
    package, question, *rest = (CONF / f"experiment/{name}.yaml").read_text().splitlines()
    assert package == "# @package _global_"
    assert question.startswith("# ")
    assert "?" in question
    assert not rest[0].startswith("#")


def test_pretraining_finds_the_towers_where_their_ablation_leaves_them() -> None:
    pretrained = compose("experiment=ablation_pretraining", "seed=47")
    for name in ("gmf", "mlp"):
        overrides = ["experiment=ablation_architecture", f"model={name}", "seed=47"]
        with configuration():
            sweep = hydra.compose("train", overrides, return_hydra_config=True).hydra.sweep
        assert pretrained.model[f"pretrained_{name}"] == f"{sweep.dir}/{sweep.subdir}"


@pytest.mark.parametrize("ratio", [4, 10, 50])
def test_batches_counted_in_positives_take_equal_steps(ratio: int) -> None:
    cfg = compose("experiment=ablation_batch")
    cfg.neg_ratio = ratio
    assert cfg.trainer.batch_size == 23 * (1 + ratio)
