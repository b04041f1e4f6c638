"""The log of a simulation: one row a recommendation, cut off where a checkpoint ends."""

from pathlib import Path

import pandas as pd
import pytest
from toy_worlds import agent, world

from ncf.errors import CheckpointError
from ncf.runs.feedback_file import COLUMNS, FeedbackFile
from ncf.simulation import Simulation


def logged(folder: Path, periods: int, history: list | None = None) -> Simulation:
    """A simulation of an agent that knows its propensities, logged."""
    environment = world(requests=20)
    log = FeedbackFile(folder, "als_epsilon", history or [])
    learner = agent("als_epsilon", environment)
    simulation = Simulation(environment, learner, periods, record=lambda line, period: log.append(period))
    simulation.run()
    return simulation


def test_a_row_is_a_recommendation(tmp_path: Path) -> None:
    logged(tmp_path, 3)
    table = pd.read_csv(tmp_path / "feedback.csv")
    assert tuple(table) == COLUMNS
    assert len(table) == 60
    assert table.groupby("time").size().tolist() == [20, 20, 20]
    assert set(table["position"]) == {0}
    first = table[table["time"] == 0]
    assert (first["propensity"] == 1 / 80).all()
    later = table[table["time"] > 0]["propensity"].round(6)
    assert set(later) <= {0.000625, 0.950625}


def test_rows_of_later_periods_are_cut_off(tmp_path: Path) -> None:
    simulation = logged(tmp_path, 3)
    whole = (tmp_path / "feedback.csv").read_text()
    with (tmp_path / "feedback.csv").open("a") as file:
        file.write("3,1,0,0.5,1.0,3,als_epsilon\n7,2,0,")
    FeedbackFile(tmp_path, "als_epsilon", simulation.history)
    assert (tmp_path / "feedback.csv").read_text() == whole
    FeedbackFile(tmp_path, "als_epsilon", simulation.history[:1])
    assert len(pd.read_csv(tmp_path / "feedback.csv")) == 20


def test_a_log_that_was_not_kept_from_the_start_is_refused(tmp_path: Path) -> None:
    simulation = logged(tmp_path, 2)
    (tmp_path / "feedback.csv").unlink()
    with pytest.raises(CheckpointError, match="expected the feedback of 2 periods, found less; resume with log=false"):
        FeedbackFile(tmp_path, "als_epsilon", simulation.history)
