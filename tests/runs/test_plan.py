"""From a configuration to a plan: what is wrong is refused by its key, before any data is read."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_settings import BAD, overrides
from quickly import composed
from toys import compose

from ncf.data import DATASETS
from ncf.errors import ConfigError
from ncf.runs.components import GROUPS, REGISTRIES
from ncf.runs.plan import RunPlan, pick_device, plan_run, refuse_without_cuda
from ncf.train import train


def unread(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load` with its keys, but it must not come to be called."""

    @functools.wraps(load)
    def refuse(**keys: object) -> None:
        raise AssertionError("data was read")

    return refuse


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading data fails the test."""
    for name in DATASETS:
        monkeypatch.setitem(DATASETS, name, unread(DATASETS[name]))


@pytest.mark.parametrize(("bad", "message"), BAD)
@pytest.mark.usefixtures("no_data")
def test_bad_values_are_refused_by_their_key_before_data_is_read(bad: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"(?i){message}") as caught:
        train(composed(*overrides(bad)), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_data")
def test_the_default_plan_has_a_part_for_each_group() -> None:
    plan = plan_run(compose())
    assert plan.settings["loss"] == {"name": "bce"}
    assert (plan.run.seed, plan.run.neg_ratio, plan.trainer.epochs) == (42, 10, 100)
    for group in GROUPS:
        assert getattr(plan, group) is not None
    assert set(GROUPS) == {*REGISTRIES, "trainer"} - {
        "agent",
        "environment",
        "world",
        "policy",
        "design",
    }  # of simulations and services


def test_a_group_that_nobody_knows_is_an_unknown_key() -> None:
    with pytest.raises(ConfigError, match=r"^metric: unknown key"):
        plan_run(composed("+metric.name=hit"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_a_device_is_an_error_not_a_silent_cpu_run(device: str, tmp_path: Path) -> None:
    found = rf"^device: '{device}' is not available; CUDA devices found: 0\. device=cpu or device=auto works"
    with pytest.raises(ConfigError, match=found):
        train(composed(f"device={device}"), tmp_path)


def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device("auto") == torch.device(device)


def test_a_device_beyond_the_last_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(name) for name in ("cuda", "cuda:1")] == [torch.device("cuda"), torch.device("cuda:1")]
    with pytest.raises(ConfigError, match=r"^device: 'cuda:2' is not available; CUDA devices found: 2\."):
        pick_device("cuda:2")


def planned(*overrides: str) -> RunPlan:
    return plan_run(composed(*overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.cuda_graph=true", r"trainer\.cuda_graph: expected auto or false on device=cpu, got True"),
        ("trainer.precision=tf32", r"trainer\.precision: expected float32 or bfloat16 on device=cpu, got 'tf32'"),
    ],
)
def test_what_only_cuda_has_is_refused_on_a_cpu(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        refuse_without_cuda(planned(override), torch.device("cpu"))
    refuse_without_cuda(planned(override), torch.device("cuda"))
    refuse_without_cuda(planned(), torch.device("cpu"))


def test_the_plain_step_goes_with_everything_that_it_can_do() -> None:
    assert planned("trainer.fast=false").trainer.fast is False
    assert planned("trainer.fast=false", "trainer.precision=tf32").trainer.precision == "tf32"
    assert planned("trainer.fast=false", "trainer.cuda_graph=false").trainer.cuda_graph is False
    assert planned("trainer.compile=true").trainer.compile is True


def test_a_compiled_step_has_no_bfloat16() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.compile: expected false with trainer\.precision=bfloat16"):
        planned("trainer.compile=true", "trainer.precision=bfloat16")


def test_yaml_of_ones_own_may_be_older_than_a_key() -> None:
    """A key that came later counts as what is assumed of the runs before it."""
    cfg = composed()
    for key in ("clip_norm", "schedule", "warmup", "period", "decay"):
        del cfg.optimizer[key]
    del cfg.model["dropout"]
    plan = plan_run(cfg)
    assert plan.settings == planned().settings
    assert plan.optimizer.keywords == planned().optimizer.keywords


def test_row_adam_goes_with_models_that_look_up_rows() -> None:
    for model in ("gmf", "mlp", "neumf", "ease"):
        assert planned(f"model={model}", "optimizer=row_adam").optimizer.keywords == {"lr": 0.001}


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("model", ["ease", "popularity", "item_knn", "user_knn", "puresvd", "als", "ials"])
def test_a_model_without_epochs_needs_no_metric_that_chooses_one(model: str) -> None:
    plan = plan_run(compose(f"model={model}", "evaluation.cutoffs=[3]"))
    assert plan.settings["trainer"]["monitor"] == "ndcg@10"
    assert plan.evaluation.names == ["hit@3", "ndcg@3", "mrr"]


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("model", ["mf", "gmf", "mlp", "neumf"])
def test_a_model_with_epochs_needs_the_metric_that_chooses_one(model: str) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.monitor: expected one of hit@3, ndcg@3, mrr, got 'ndcg@10'$"):
        plan_run(compose(f"model={model}", "evaluation.cutoffs=[3]"))
