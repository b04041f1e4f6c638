"""The defaults of a report's baselines are those that a run composes to."""

import pytest

from ncf.core.compose import compose
from ncf.core.config import flatten, plain
from ncf.report.defaults import default, place


@pytest.mark.parametrize(
    ("overrides", "component"),
    [([], None), (["optimizer=sgd"], "sgd"), (["model=mlp"], "mlp"), (["loss=focal"], "focal")],
    ids=str,
)
def test_they_are_what_hydra_composes(overrides: list[str], component: str | None) -> None:
    composed = flatten(plain(compose(overrides)))
    group = overrides[0].partition("=")[0] if overrides else "optimizer"
    own = {key: value for key, value in composed.items() if key.startswith(f"{group}.") and not key.endswith(".name")}
    found = {key: default(key.removeprefix("loss."), component) for key in own}
    assert own
    assert found == {key: str(value) if isinstance(value, list) else value for key, value in own.items()}


def test_names_and_top_level_settings_are_those_of_the_root() -> None:
    composed = flatten(plain(compose([])))
    names = {"loss": "loss.name", "model": "model.name", "optimizer.name": "optimizer.name", "neg_ratio": "neg_ratio"}
    assert {column: default(column) for column in names} == {c: composed[key] for c, key in names.items()}


def test_what_conf_does_not_know_has_none() -> None:
    assert default("model.size", "my_model") is None
    assert default("momentum", "focal") is None
    assert default("mine.name") is None


def test_columns_have_their_place_in_the_settings() -> None:
    known = {"loss": ("loss", "name"), "gamma": ("loss", "gamma"), "neg_ratio": ("", "neg_ratio"),
             "model": ("model", "name"), "optimizer.lr": ("optimizer", "lr")}  # fmt: skip
    assert {column: place(column) for column in known} == known
