"""Settings and plans: what fits together, what is refused, and the digest of the file."""

import hashlib

import pytest

from ncf.errors import ConfigError
from ncf.online.plan import load_plan, settings

BASE = {"unit": "user", "arm": "arm", "metric": ["clicks"]}


def test_defaults_and_lone_values() -> None:
    found = settings(unit="user", arm="arm", metric="clicks/sessions", alpha="0.1", signed="true", looks=[1, "2"])
    assert found.metric == ("clicks/sessions",)
    assert (found.alpha, found.signed, found.looks, found.level) == (0.1, True, (1, 2), 0.9)
    assert found.columns == ["clicks", "sessions"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metrics": "clicks"}, "metrics: unknown key"),
        ({"alpha": 2}, "alpha: input should be less than 1, got 2"),
        ({"alpha": "often"}, "alpha: input should be a valid number"),
        ({"margin": 0.1, "region": (0, 1)}, "margin or region, got both"),
        ({"region": (1, 0)}, "lower end first"),
        ({"lower": ["bounces"]}, "some of the metrics, got 'bounces'"),
        ({"metric": ["a/b/c"]}, "got 'a/b/c'"),
        ({"metric": ["a", "a"]}, "each once"),
        ({"metric": []}, "metric"),
        ({"covariate": "pre", "cluster": "city"}, "one of covariate, cluster and strata, got covariate and cluster"),
        ({"metric": "a/b", "cluster": "city"}, "no ratio with cluster"),
        ({"metric": "user"}, "user: expected another column than unit= and arm="),
        ({"experiments": ["arm"]}, "arm: expected another column"),
        ({"looks": [7, 7]}, "increasing ones, got 7, 7"),
        ({"looks": [0]}, "looks"),
        ({"bounds": "haybittle"}, "bounds"),
        ({"rows": "median"}, "rows"),
        ({"shares": {"A": -1}}, "shares.A"),
        ({"correction": "bonferroni"}, "correction"),
        ({"margin": float("nan")}, "margin"),
    ],
)
def test_refusals(given, says) -> None:
    with pytest.raises(ConfigError) as error:
        settings(**{**BASE, **given})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plan_is_hashed_as_it_is(tmp_path) -> None:
    path = tmp_path / "plan.yaml"
    text = "question: Does B help?\nunit: user\narm: arm\nmetric: clicks\nlooks: [7, 14]\nbounds: pocock\n"
    path.write_text(text)
    found = load_plan(path)
    assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (found.question, found.settings.looks, found.settings.bounds) == ("Does B help?", (7, 14), "pocock")
    path.write_text(text + "# a remark\n")
    assert load_plan(path).sha256 != found.sha256


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "expected a mapping"),
        ("unit: user\n", "expected arm, metric in a plan"),
        ("unit: user\narm: arm\nmetric: clicks\nmetrics: x\n", "metrics: unknown key"),
        ("unit: user\narm: arm\nmetric: clicks\nquestion: [1]\n", "question: expected a sentence"),
        ("unit: [\n", "cannot be read"),
        ("unit: user\narm: arm\nmetric: clicks\nsha256: abc\n", "sha256: unknown key"),
    ],
)
def test_plans_that_are_none(tmp_path, text, says) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_plan(path)
    assert says in str(error.value)
    assert "plan.yaml" in str(error.value)


def test_no_plan_and_a_folder(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_plan(tmp_path / "plan.yaml")
    with pytest.raises(ConfigError, match="regular file"):
        load_plan(tmp_path)
