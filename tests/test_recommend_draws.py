"""`python -m ncf.recommend temperature=0.1`: lists that are drawn, with what a log of them has to know."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf import recommend
from ncf.data.feedback import read
from ncf.errors import DataError, NcfError
from ncf.off_policy import __main__ as off_policy


def drawn(capsys: pytest.CaptureFixture[str], *arguments: str) -> pd.DataFrame:
    recommend.main([*arguments, "format=csv"])
    return pd.read_csv(StringIO(capsys.readouterr().out))


def test_a_seed_repeats_its_draw_for_each_user_whoever_else_is_asked_for(
    runs: FinishedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"run={runs['ease']}", "k=5", "temperature=0.5"]
    alone = drawn(capsys, *options, "user=7", "seed=3")
    among = drawn(capsys, *options, "user=2,7", "seed=3")
    pd.testing.assert_frame_equal(among[among["user_id"] == 7].reset_index(drop=True), alone)
    assert drawn(capsys, *options, "user=7", "seed=4")["item_id"].tolist() != alone["item_id"].tolist()
    assert alone["propensity"].between(0, 1, inclusive="neither").all()
    assert alone["item_id"].is_unique
    recommend.main([*options, "user=7"])
    assert "repeats this draw" in capsys.readouterr().err


def test_a_cold_draw_is_the_ranking(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    ranked = drawn(capsys, f"run={runs['ease']}", "k=3", "user=all")
    cold = drawn(capsys, f"run={runs['ease']}", "k=3", "user=all", "temperature=1e-9", "seed=0")
    assert cold["item_id"].tolist() == ranked["item_id"].tolist()
    np.testing.assert_allclose(cold["propensity"], 1)


def test_a_log_of_ones_own_from_the_draw_to_the_estimate(
    runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluated on its own log, the policy has all weights 1, and its value is the mean reward of a list."""
    log, run = tmp_path / "log.csv", f"run={runs['ease']}"
    for seed in (1, 2):
        recommend.main([run, "user=all", "k=3", "temperature=0.5", f"seed={seed}", f"log={log}", "format=json"])
    capsys.readouterr()
    with pytest.raises(DataError, match="found 360 of reward in 360 rows"):
        read(log)
    frame = pd.read_csv(log)
    assert frame["slate"].nunique() == 120
    frame.assign(reward=np.arange(360) % 2).to_csv(log, index=False)
    off_policy.main([f"log={log}", run, "temperature=0.5", "lists=true", "format=json"])
    found = json.loads(capsys.readouterr().out)
    assert found["largest_weight"] == pytest.approx(1, rel=1e-9)
    assert [one["value"] for one in found["estimates"][:2]] == pytest.approx([1.5, 1.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user=1", "seed=1"], "seed: expected temperature="),
        (["user=1", "log=x.csv"], "log: expected temperature="),
        (["items=1", "temperature=1"], "temperature: expected user="),
        (["user=1", "temperature=-1"], "temperature: expected a number above 0, got -1"),
        (["user=1", "temperature=nan"], "temperature: expected a number above 0, got nan"),
    ],
)
def test_options_that_do_not_belong_together(arguments: list[str], message: str) -> None:
    with pytest.raises(NcfError, match=message):
        recommend.main(["run=x", *arguments])
