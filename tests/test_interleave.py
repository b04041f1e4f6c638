"""The command on files of one's own."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf import interleave
from ncf.errors import ConfigError, DataError

SESSIONS = 300


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions in which B's items are clicked a little more often."""
    rng = np.random.default_rng(0)
    team = rng.permuted(np.tile(["A", "B"], (SESSIONS, 2)), axis=1)
    path = tmp_path_factory.mktemp("clicks") / "clicks.csv"
    pd.DataFrame({
        "session": np.repeat(np.arange(SESSIONS), 4), "team": team.ravel(),
        "user": np.repeat(np.arange(SESSIONS) // 3, 4),
        "clicked": rng.random(4 * SESSIONS) < np.where(team.ravel() == "B", 0.35, 0.2),
    }).to_csv(path, index=False)  # fmt: skip
    return path


def asked(clicks: Path, *more: str) -> list[str]:
    return [f"data={clicks}", "session=session", "ranker=team", "clicks=clicked", *more]


def test_every_form_says_the_same(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interleave.main(asked(clicks, "format=json", "region=0.05"))
    found = json.loads(capsys.readouterr().out)
    (pair,) = found["pairs"]
    assert (pair["ranker"], pair["against"], found["sessions"]) == ("B", "A", SESSIONS)
    assert pair["finding"] == "better"
    interleave.main(asked(clicks, "format=csv"))
    assert f"B,A,{pair['preference']}" in capsys.readouterr().out
    interleave.main(asked(clicks))
    text = capsys.readouterr().out
    assert f"{pair['preference']:.4f}" in text
    assert "300 sessions" in text
    assert "0.0000" not in text  # a small p has its digits


def test_the_baseline_and_the_user_turn_sign_and_error(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for more in ([], ["baseline=B"], ["user=user"]):
        interleave.main(asked(clicks, "format=json", *more))
        rows.append(json.loads(capsys.readouterr().out)["pairs"][0])
    assert rows[1]["preference"] == -rows[0]["preference"]
    assert rows[2]["preference"] == rows[0]["preference"]
    assert rows[2]["standard_error"] != rows[0]["standard_error"]


def test_balanced_lists_come_with_a_warning(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interleave.main(asked(clicks, "method=balanced"))
    assert "warning: balanced interleaving is biased" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["baseline=C"], ConfigError, "expected one of A, B"),
        (["ranker=tem"], DataError, "did you mean 'team'"),
        (["clicks=team"], DataError, "expected team as a number"),
        (["region=-1"], ConfigError, "region"),
        (["method=fair"], ConfigError, "method"),
        (["user=clicked"], DataError, "several"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(clicks: Path, more: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        interleave.main(asked(clicks, *more))
