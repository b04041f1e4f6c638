"""What identifies a run: each setting's declared role, and ids that stay what they were when runs were first made."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from quickly import composed
from toys import compose

from ncf.core.compose import CONF
from ncf.core.config import flatten
from ncf.errors import CheckpointError, ConfigError
from ncf.runs.components import GROUPS
from ncf.runs.identity import (
    changes,
    completed,
    config_hash,
    identity,
    refuse_foreign,
    registered,
    resolved,
    role_of,
    run_id,
)

DEFAULT = resolved(compose())
CSV = "user_id,item_id,rating,timestamp\n1,1,5,1\n"

# The digests in the ids of runs, as the code before roles were declared gave them: a change here would make every
# finished run of these settings another run. `logq_softmax` came with the roles.
FROZEN = {
    "data=ml-100k": "b5a5264eca68",
    "data=ml-1m": "3a6df662d452",
    "data=ml-10m": "a1ed2f8db9cd",
    "data=ml-20m": "a494b07f4525",
    "data=ml-25m": "0e934e1490e3",
    "data=ml-32m": "13a0f90f6aa2",
    "data=synthetic": "8e072e0a5695",
    "data=csv data.archive=FILE": "abad9dc6ce86",
    "split=leave_one_out": "b5a5264eca68",
    "split=ratio": "c73944aa9236",
    "split=random": "b78b1dc1b32a",
    "split=temporal": "61771914499a",
    "split=cold_items": "789668b6e1ae",
    "sampler=uniform": "b5a5264eca68",
    "sampler=popularity": "0223cc9fbfcc",
    "model=neumf": "b5a5264eca68",
    "model=gmf": "80f1264d523a",
    "model=mlp": "d8efe2704e96",
    "model=mf": "9e1d3414a42e",
    "model=multitask": "6203b1225e4d",
    "model=popularity": "9a8c96e2f7c5",
    "model=user_knn": "d196682d5c21",
    "model=item_knn": "608d1dda12cd",
    "model=puresvd": "1fb27c9d27ea",
    "model=als": "306993dac8e9",
    "model=ials": "c1b096cb5ad6",
    "model=ease": "6c8df67ccc7c",
    "model=neumf_pretrained model.pretrained_gmf=a model.pretrained_mlp=b model.pretrained_digest=c": "b7cea715bc43",
    "model=content": "063e3032a418",
    "model=content_knn": "bbaa4bd89738",
    "model=cease": "41d922d60e69",
    "model=mf_features": "99a1a3c62558",
    "model=hybrid model.parts=[a,b] model.sources=[{model:{name:ease}},{model:{name:gmf}}]": "664174dd0caf",
    "loss=bce": "b5a5264eca68",
    "loss=alpha_bce": "c602310a37e9",
    "loss=focal": "2b448a93d5ba",
    "loss=focal_clamped": "7e9069f26d31",
    "loss=weighted_bce": "72ed41443602",
    "loss=item_weighted_bce": "c7be14c35c38",
    "loss=bpr_rating": "f1d81294162a",
    "loss=gbce loss.candidates=1446": "01d842d985b0",
    "loss=bpr": "123368659efc",
    "loss=sampled_softmax": "e6d9a9a86c9e",
    "loss=logq_softmax": "b919eba23718",
    "optimizer=adam": "b5a5264eca68",
    "optimizer=row_adam": "3d02732198b2",
    "optimizer=adamw": "3a314b523562",
    "optimizer=sgd": "9154d35f5ffe",
    "trainer=default": "b5a5264eca68",
    "trainer=distributed": "b5a5264eca68",
    "evaluation=full": "b5a5264eca68",
    "evaluation=sampled": "0fe408983478",
    "tracking=none": "b5a5264eca68",
    "tracking=tensorboard": "b5a5264eca68",
    "tracking=mlflow": "b5a5264eca68",
    "tracking=wandb": "b5a5264eca68",
    "evaluation=sampled evaluation.file=negatives.npz": "aacc9c185eed",
    "model=gmf loss=focal loss.gamma=1.5 loss.alpha=0.25 neg_ratio=50 seed=44": "3db3d63eeb99",
    "evaluation.ties=optimistic": "9600fdcbafbe",
    "evaluation.cutoffs=[10]": "e1dc2856c980",
    "evaluation.memory_mb=32": "5c6025892520",
    "split.ties=item_id": "cfe2f2179988",
    "optimizer.lr=3e-4": "e645960755f1",
    "trainer.threads=2": "9e32ec2a33f2",
    "trainer.epochs=3": "f8945b1147b1",
    "trainer.patience=3": "e81202002526",
    "trainer.batch_size=512": "f2c098421f35",
    "trainer.monitor=mrr": "41d477015a00",
    "trainer.compile=true": "cc583be7130c",
    "trainer.precision=bfloat16": "747838df8b92",
    "seed=7": "23d034df3821",
    "neg_ratio=4": "2e93a1629389",
    "device=cpu": "b3bed51d15d9",
    "deterministic=true": "28b696e1b82d",
}

# Where files lie, how the machine computes, and what is shown or kept beside the result.
IN_NO_ID = {
    "trainer.sharding": "row",
    "data.root": "/elsewhere",
    "data.archive": "ml.zip",
    "data.item_features": "items.csv",
    "data.user_features": "users.csv",
    "trainer.checkpoint_every": "5s",
    "trainer.cuda_graph": False,
    "trainer.progress": False,
    "tracking.name": "tensorboard",
    "dynamics": True,
    "registration": "study.yaml",
    "resume": "outputs/run",
}

# The settings that came after runs were made, with the value that those count as having.
CAME_LATER = {
    "data.min_user_positives": 0,
    "data.min_item_positives": 0,
    "data.item_features_sha256": None,
    "data.user_features_sha256": None,
    "trainer.fast": True,
    "trainer.compile": False,
    "trainer.precision": "float32",
    "evaluation.metrics": ["hit", "ndcg", "mrr"],
    "model.dropout": 0.0,
    "optimizer.clip_norm": None,
    "optimizer.schedule": "constant",
    "optimizer.warmup": None,
    "optimizer.period": None,
    "optimizer.decay": 0.1,
}


def settings(*overrides: str) -> dict[str, Any]:
    """The resolved settings of a run with these overrides."""
    return resolved(composed(*overrides))


def changed(key: str, value: Any) -> dict[str, Any]:
    """The default settings but for one."""
    cfg = OmegaConf.create(DEFAULT)
    OmegaConf.update(cfg, key, value, merge=False)
    assert isinstance(cfg, DictConfig)
    return resolved(cfg)


@pytest.mark.parametrize("choices", FROZEN)
def test_ids_of_runs_are_what_they_were_before(choices: str, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(CSV)
    own = settings(*choices.replace("FILE", str(tmp_path / "ratings.csv")).split())
    names = f"{own['model']['name']}-{own['loss']['name']}-r{own['neg_ratio']}-s{own['seed']}"
    assert run_id(own) == f"{names}-{FROZEN[choices]}"


def test_every_choice_in_conf_has_a_frozen_id() -> None:
    found = {f"{path.parent.name}={path.stem}" for group in GROUPS for path in (CONF / group).glob("*.yaml")}
    assert found - {choices.split()[0] for choices in FROZEN} == set()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=tuned_neumf", "trainer.epochs=40", "trainer.patience=5"], "neumf-bce-r4-s42-9c023d1f97af"),
        (["experiment=bpr_mf"], "mf-bpr-r10-s42-8ada37a85d3a"),
        (["experiment=h1", "loss=focal"], "neumf-focal-r10-s42-2b448a93d5ba"),
    ],
)
def test_experiments_make_the_runs_that_they_made_before(overrides: list[str], expected: str) -> None:
    assert run_id(resolved(compose(*overrides))) == expected


def test_these_tests_see_the_settings_that_hydra_composes() -> None:
    overrides = ["loss=focal", "loss.gamma=1.5", "model.hidden=[8,4]", "evaluation=sampled", "data=synthetic", "seed=7"]
    assert settings(*overrides) == resolved(compose(*overrides))


@pytest.mark.parametrize("key", flatten(DEFAULT))
def test_the_hash_sees_every_setting_that_can_change_a_result(key: str) -> None:
    assert (config_hash(changed(key, "something else")) == config_hash(DEFAULT)) == (key in IN_NO_ID)


@pytest.mark.parametrize("key", IN_NO_ID)
def test_settings_of_machine_and_display_are_in_no_id(key: str) -> None:
    other = changed(key, IN_NO_ID[key])
    assert flatten(other) != flatten(DEFAULT)
    assert run_id(other) == run_id(DEFAULT)


@pytest.mark.parametrize("key", CAME_LATER)
def test_a_setting_that_came_later_is_left_out_at_its_old_value_only(key: str) -> None:
    assert flatten(DEFAULT)[key] == CAME_LATER[key]
    assert key not in identity(DEFAULT)
    before = {group: dict(node) if isinstance(node, Mapping) else node for group, node in DEFAULT.items()}
    group, name = key.split(".")
    del before[group][name]
    assert config_hash(before) == config_hash(DEFAULT)
    assert changes(before, DEFAULT) == {}
    assert key in identity(changed(key, "something else"))


@pytest.mark.parametrize("name", ["full", "sampled"])
def test_both_evaluations_have_got_their_metrics_later(name: str) -> None:
    own = settings(f"evaluation={name}")
    assert own["evaluation"]["metrics"] == CAME_LATER["evaluation.metrics"]
    assert "evaluation.metrics" not in identity(own)


def test_the_towers_of_a_pretrained_model_count_by_their_digest_and_not_by_their_place() -> None:
    towers = ["model=neumf_pretrained", "model.pretrained_gmf=a", "model.pretrained_mlp=b", "model.pretrained_digest=c"]
    first = settings(*towers)
    assert config_hash(settings(*towers, "model.pretrained_gmf=d", "model.pretrained_mlp=e")) == config_hash(first)
    assert config_hash(settings(*towers, "model.pretrained_digest=d")) != config_hash(first)


@pytest.mark.parametrize(
    ("whole", "point"),
    [
        ("loss=focal loss.gamma=2", "loss=focal loss.gamma=2.0"),
        ("loss=focal loss.gamma=0", "loss=focal loss.gamma=0.0"),
        ("optimizer.lr=1", "optimizer.lr=1.0"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay=0.0"),
        ("model=ease model.l2=224", "model=ease model.l2=224.0"),
        ("data.threshold=4", "data.threshold=4.0"),
        ("data.scale=[1,5,1]", "data.scale=[1.0,5.0,1.0]"),
        ("evaluation=sampled evaluation.correction=1", "evaluation=sampled evaluation.correction=1.0"),
    ],
)
def test_a_number_identifies_a_run_however_it_is_spelled(whole: str, point: str) -> None:
    assert run_id(settings(*whole.split())) == run_id(settings(*point.split()))
    assert changes(settings(*whole.split()), settings(*point.split())) == {}


def test_whole_numbers_true_and_words_stay_what_they_are() -> None:
    own = identity(settings("loss=focal", "loss.alpha=balanced", "seed=7", "data.threshold=null"))
    assert (own["loss.alpha"], own["seed"], own["data.threshold"]) == ("balanced", 7, None)
    assert isinstance(own["seed"], int)
    assert identity(changed("optimizer.lr", True))["optimizer.lr"] is True
    assert run_id(settings("data.threshold=3.5")) != run_id(settings("data.threshold=3"))


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    backwards = {group: DEFAULT[group] for group in reversed(DEFAULT)}
    assert config_hash(backwards) == config_hash(DEFAULT)


def test_hydra_s_own_settings_identify_nothing() -> None:
    assert config_hash({**DEFAULT, "hydra": {"run": {"dir": "x"}}}) == config_hash(DEFAULT)


def test_a_run_id_is_readable_and_tells_runs_apart() -> None:
    others = (settings(*choice) for choice in ([], ["seed=1"], ["optimizer.lr=1"], ["loss=focal"]))
    assert len({run_id(own) for own in others}) == 4
    assert run_id(settings("neg_ratio=4", "seed=7")).startswith("neumf-bce-r4-s7-")


def test_a_run_id_names_the_fold_of_several_and_no_other() -> None:
    folds = [run_id(settings("split=random", "split.folds=3", f"split.fold={fold}", "seed=7")) for fold in (0, 2)]
    assert [own.rpartition("-")[0] for own in folds] == ["neumf-bce-r10-s7-f0", "neumf-bce-r10-s7-f2"]
    assert run_id(settings("split=random", "seed=7")).rpartition("-")[0] == "neumf-bce-r10-s7"


def test_what_nothing_declares_counts() -> None:
    """A key of another version, or of a component that this process does not know, may change the result."""
    for key, own in {
        "model.nosuch": DEFAULT,
        "nosuch": DEFAULT,
        "nosuch.root": DEFAULT,
        "data.root": {**DEFAULT, "data": {"name": "nosuch", "root": "x"}},
        "loss.gamma": {**DEFAULT, "loss": {}},
    }.items():
        assert role_of(key, own).identifies("x"), key


def test_changes_are_told_by_key_with_both_values() -> None:
    assert changes(DEFAULT, settings("loss=focal", "seed=7", "data.root=/other")) == {
        "loss.alpha": "None -> 0.25",
        "loss.gamma": "None -> 2.0",
        "loss.name": "'bce' -> 'focal'",
        "seed": "42 -> 7",
    }


def test_the_checkpoint_of_another_run_is_refused_by_what_differs() -> None:
    refuse_foreign(Path("run"), "result.json", DEFAULT, settings("data.root=/other", "trainer.progress=false"))
    found = r"^run: expected a checkpoint that matches result\.json, found another run's \(seed: 42 -> 7\)$"
    with pytest.raises(CheckpointError, match=found):
        refuse_foreign(Path("run"), "result.json", DEFAULT, settings("seed=7"))


def test_a_registration_is_known_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(b"alpha: 0.05\r\n")
    assert registered(None) is None
    assert registered(str(file)) == {"path": str(file), "sha256": hashlib.sha256(b"alpha: 0.05\r\n").hexdigest()}
    with pytest.raises(ConfigError, match=r"^registration: expected a file, got '.*gone' \(No such file"):
        registered(str(tmp_path / "gone"))


def test_settings_of_an_older_run_are_completed_with_what_was_assumed_of_it() -> None:
    older = {key: dict(node) if isinstance(node, Mapping) else node for key, node in DEFAULT.items()}
    del older["trainer"]["fast"], older["trainer"]["precision"], older["evaluation"]["metrics"]
    assert completed(older) == DEFAULT
    newer = {**older, "trainer": older["trainer"] | {"fast": False}}
    assert completed(newer)["trainer"]["fast"] is False
    assert completed({"data": {"name": "nosuch"}, "seed": 1}) == {"data": {"name": "nosuch"}, "seed": 1}


def test_a_registration_that_is_no_file_does_not_stall(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path / "pipe", "FIFO"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with pytest.raises(ConfigError, match=f"expected a regular file, found a {found}$"):
            registered(str(path))
