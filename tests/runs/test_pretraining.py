"""Pre-trained runs: which weights they start from belongs to what they are, and where those lie does not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from apart import typed
from toys import compose, small

import ncf
from ncf import train
from ncf.errors import CheckpointError, ConfigError
from ncf.runs import artifacts, pretraining
from ncf.runs.identity import config_hash, identity, resolved
from ncf.runs.job import open_job
from ncf.runs.plan import plan_run

SIZES = {"gmf": ["model.factors=8"], "mlp": ["model.factors=8", "model.hidden=[16,8]"]}


def world(root: Path, *overrides: str) -> list[str]:
    return [o for o in small(root, *overrides) if not o.startswith("model.")]


def make(root: Path, folder: Path, name: str, *more: str) -> Path:
    """A finished run of a tower."""
    folder.mkdir(parents=True)
    train.train(compose(*world(root), f"model={name}", *SIZES[name], *more), folder, lambda: False)
    return folder


@pytest.fixture(scope="module")
def towers(root, tmp_path_factory):
    base = tmp_path_factory.mktemp("towers")
    return {name: make(root, base / name, name) for name in SIZES}


def settings(root: Path, towers: dict[str, Path], *more: str) -> list[str]:
    runs = [f"model.pretrained_{name}='{folder}'" for name, folder in towers.items()]
    sizes = ["model.gmf_factors=8", "model.mlp_factors=8", "model.hidden=[16,8]"]
    return [*world(root), "model=neumf_pretrained", *sizes, *runs, *more]


@pytest.fixture(scope="module")
def finished(root, towers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("neumf")
    train.train(compose(*settings(root, towers)), folder, lambda: False)
    return folder


def test_a_run_begins_with_the_towers_logits(root, towers, tmp_path):
    cfg = compose(*settings(root, towers))
    job = open_job(plan_run(cfg), tmp_path, lambda: False)
    users = job.split.user_ids[:5]
    halves = [ncf.load(folder).score(users) for folder in towers.values()]
    indices = pretraining.PretrainedNeuMF.score(job.trainer.model, torch.arange(5)).numpy()
    np.testing.assert_allclose(indices, sum(halves) / 2, rtol=1e-4, atol=1e-5)


def test_the_digest_is_in_the_identity_and_the_folder_is_not(root, towers, tmp_path):
    moved = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in towers.items()}
    first, second = (resolved(compose(*settings(root, where))) for where in (towers, moved))
    assert config_hash(first) == config_hash(second)
    assert identity(first)["model.pretrained_digest"] == pretraining.digest(*map(str, towers.values()))
    other = moved | {"gmf": make(root, tmp_path / "other", "gmf", "seed=7")}
    assert config_hash(resolved(compose(*settings(root, other)))) != config_hash(first)


def test_a_finished_run_is_loaded_without_its_towers(root, towers, finished, tmp_path):
    result = artifacts.read_result(finished)
    assert result is not None
    users = ncf.load(finished).split.user_ids[:5].tolist()
    before = ncf.load(finished).score(users)
    copy = Path(shutil.copytree(finished, tmp_path / "run"))
    text = (copy / artifacts.RESULT).read_text()
    for folder in towers.values():
        text = text.replace(str(folder), "gone")
    (copy / artifacts.RESULT).write_text(text)
    np.testing.assert_array_equal(ncf.load(copy).score(users), before)


def test_it_is_not_resumed_from_other_weights(root, towers, tmp_path):
    own = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in towers.items()}
    folder = tmp_path / "run"
    folder.mkdir()
    job = open_job(plan_run(compose(*settings(root, own))), folder, lambda: False)
    job.trainer.checkpoint()
    shutil.rmtree(own["gmf"])
    make(root, own["gmf"], "gmf", "seed=7")
    with pytest.raises(CheckpointError, match=r"other settings .*model.pretrained_digest"):
        open_job(plan_run(compose(*settings(root, own))), folder, lambda: False)


def test_other_data_is_refused(root, towers, tmp_path):
    cfg = compose(*settings(root, towers, "data.seed=5"))
    with pytest.raises(ConfigError, match=r"model.pretrained_gmf: expected a run on data with digest"):
        open_job(plan_run(cfg), tmp_path, lambda: False)


def test_another_model_an_unfinished_run_and_a_digest_by_hand_are_refused(root, towers, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a run of model=gmf, found model=mlp"):
        pretraining.weights("gmf", towers["mlp"])
    with pytest.raises(ConfigError, match=r"finished run of model=gmf, found no result.json"):
        pretraining.weights("gmf", tmp_path)
    cfg = compose(*settings(root, towers, f"model.pretrained_digest={'0' * 64}"))
    with pytest.raises(ConfigError, match=r"it is computed, not set"):
        open_job(plan_run(cfg), tmp_path, lambda: False)


def test_a_damaged_checkpoint_is_refused(towers, tmp_path):
    copy = Path(shutil.copytree(towers["gmf"], tmp_path / "gmf"))
    path = copy / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"damaged"):
        pretraining.weights("gmf", copy)


def test_the_command_line_says_what_is_missing_in_one_line(root, tmp_path):
    nowhere = dict.fromkeys(SIZES, tmp_path / "no")
    status, said = typed(settings(root, nowhere), tmp_path / "run")
    assert status == 2
    assert "model.pretrained_gmf: expected the folder of a finished run of model=gmf" in said
    assert said.count("\n") == 1
