"""Settings that contradict each other are refused before any data are read."""

import pytest

from ncf.causal.settings import Settings
from ncf.errors import NcfError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimators": ("ols",)}, "estimator: expected one of standardise, ipw, match, aipw, dml, got 'ols'"),
        ({"estimators": ()}, "estimator: expected some of"),
        ({"estimators": ("ipw", "ipw")}, "each once"),
        ({"estimand": "LATE"}, "estimand: expected one of ATE"),
        (
            {"estimand": "ATO", "estimators": ("ipw", "match")},
            "estimand=ATO: expected estimators ipw or dml, got match",
        ),
        ({"estimand": "ATO", "estimators": ("dml",), "form": "interactive"}, "expected form=partially_linear"),
        ({"estimand": "ATT", "estimators": ("dml",), "form": "partially_linear"}, "ATT: expected form=interactive"),
        ({"estimators": ("dml",), "folds": 1}, "folds: expected at least 2 for dml, got 1"),
        ({"folds": 0}, "folds: expected a whole number"),
        ({"level": 95}, "level: expected a number in"),
        ({"clip": 0.5}, "clip: expected a number in"),
        ({"overlap": "ignore"}, "overlap: expected one of refuse, warn"),
        ({"form": "wavy"}, "form: expected one of partially_linear, interactive"),
    ],
)
def test_contradictions(settings: dict, message: str) -> None:
    with pytest.raises(NcfError, match=message):
        Settings(**settings)


def test_the_form_follows_the_estimand() -> None:
    assert Settings().dml_form == Settings(estimators=("dml",), estimand="ATO").dml_form == "partially_linear"
    assert Settings(estimators=("dml",), estimand="ATT").dml_form == "interactive"
    assert Settings(folds=1).crossed is False
