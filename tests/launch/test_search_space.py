"""A search space is refused by the line and key that are wrong, and draws what a run accepts."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from quickly import composed

from ncf.errors import ConfigError
from ncf.launch.search_space import SPACES, override, read_space, space_path, suggest
from ncf.runs.plan import plan_run

optuna = pytest.importorskip("optuna")

MODELS = sorted(path.stem for path in SPACES.glob("*.yaml"))


@pytest.mark.parametrize("model", MODELS)
def test_every_space_suggests_what_the_checks_accept(model: str) -> None:
    towers = {
        "neumf_pretrained": [f"model.pretrained_{key}=x" for key in ("gmf", "mlp", "digest")],
        "hybrid": ["model.parts=[a,b]", "model.sources=[{model: {name: ease}}, {model: {name: gmf}}]"],
        "multitask": ["loss=bpr_rating"],
    }.get(model, [])
    trial, space = optuna.create_study().ask(), read_space(space_path(model, None), composed(f"model={model}", *towers))
    chosen = {key: suggest(trial, key, options) for key, options in space.items()}
    assert chosen
    plan_run(composed(f"model={model}", *towers, *(override(key, value) for key, value in chosen.items())))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ease.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "options",
    [
        "[10.0, 1.0]", "[0.0, 1.0, log]", "[-1, 1, log]", "[1, 2, linear]", "[1]", "[1, 2, log, log]", "[a, b]", "5",
        "[.nan, 1.0]", "[0.0, .inf]", "[true, 2]", "{choices: []}", "{choices: 3}", "{choices: [1], low: 2}", "{}",
        "{choices: [{a: 1}]}", "{choices: [[[1]]]}", "{choices: [.nan]}", "null", "[null, 2]",
    ],
)  # fmt: skip
def test_an_invalid_range_is_named_by_line_and_key(options: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"# a space\noptimizer.lr: [0.1, 1.0]\nmodel.l2: {options}\n")
    with pytest.raises(ConfigError) as error:
        read_space(path, composed("model=ease"))
    assert str(error.value).startswith(f"{path} line 3: model.l2: expected [low, high] with low <= high, ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["model.factors", "l2", "model", "hydra.run.dir", "3", "model.name.x"])
def test_a_key_that_is_no_setting_is_named_by_its_line(key: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"model.l2: [1.0, 2.0]\n{key}: [1.0, 2.0]\n")
    settings = composed("model=ease")
    if key == "model":  # the name of a group is a setting: another choice of it
        assert key in read_space(path, settings)
        return
    with pytest.raises(ConfigError, match=f"^{path} line 2: {key}: expected a setting of this run, such as "):
        read_space(path, settings)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- model.l2\n",
        "model.l2: [1, 2\n",
        "model.l2: [1, 2]\nmodel.l2: [3, 4]\n",
        "a: &a [1]\nb: *c\n",
        "just text",
    ],
)
def test_what_is_no_space_is_one_line(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_space(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="expected at most"):
        read_space(written(tmp_path, "\n".join(lines)))


def test_a_space_of_one_s_own_comes_first_and_a_model_without_one_is_refused(tmp_path: Path) -> None:
    assert space_path("ease", str(tmp_path)) == SPACES / "ease.yaml"
    (tmp_path / "tuning").mkdir()
    own = written(tmp_path / "tuning", "model.l2: [1.0, 2.0]\n")
    assert space_path("ease", str(tmp_path)) == own
    with pytest.raises(ConfigError, match=r"model: expected one with a search space in conf/tuning \(als, .*\), got"):
        space_path("popularity", None)


@pytest.mark.parametrize(
    "value", [None, True, 3, 1e-7, "cosine", "a b, 'c'", "x=$y\\", "", [8, 16], ["a b", "c"], [True]]
)
def test_each_choice_arrives_as_it_was_written(value: object) -> None:
    cfg = composed("model=ease", "+own=0", override("+own", value).replace("+own", "own"))
    assert OmegaConf.to_container(cfg)["own"] == value  # type: ignore[index,call-overload]
