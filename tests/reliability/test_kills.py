"""Fault 1: a run killed at random moments, resumed each time, ends in the bits of an uninterrupted one."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from apart import die_after, differences, finish, onward, outcome, save_often
from toys import command

from ncf.runs.artifacts import RESULT


def test_five_kills_change_no_bit(arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path) -> None:
    log, moments, kills, seconds, runs = tmp_path / "log", random.Random(7), 0, 0.9, [tmp_path / "run-0"]
    while kills < 5:
        ended = finish(onward(arguments, runs[-1]), log, save_often, die_after(moments.uniform(0.2, 1) * seconds))
        assert ended in (0, -27), log.read_text()
        kills += ended != 0
        if ended == 0:  # the machine is faster than that: begin another run, and kill earlier
            runs.append(tmp_path / f"run-{len(runs)}")
            seconds *= 0.7
    assert finish(onward(arguments, runs[-1]), log) == 0, log.read_text()
    for folder in runs:
        assert differences(outcome(folder), uninterrupted) == []
        assert not list(folder.glob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_of_a_run_on_movielens_change_no_bit(tmp_path: Path) -> None:
    """`kill -9` from outside, at any moment of `python -m ncf.train`: starting, training, saving, ranking, writing."""
    root = Path(__file__).parents[2] / "data"
    arguments = [
        "trainer.epochs=3", "neg_ratio=4", "trainer.checkpoint_every=1s", "trainer.progress=false", "device=cpu",
        f"data.root='{root}'",
    ]  # fmt: skip
    begun = time.perf_counter()
    subprocess.run(command(*arguments, f"hydra.run.dir='{tmp_path / 'whole'}'"), check=True)
    seconds, moments, kills, runs = time.perf_counter() - begun, random.Random(0), 0, []
    while kills < 20:
        runs.append(tmp_path / f"killed-{len(runs)}")
        while not (runs[-1] / RESULT).exists():
            process = subprocess.Popen(command(*onward(arguments, runs[-1])))
            try:
                process.wait(moments.uniform(0, seconds) if kills < 20 else None)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            assert process.wait() in (0, -9)
    whole = outcome(tmp_path / "whole")
    assert [differences(outcome(folder), whole) for folder in runs] == [[]] * len(runs)
    print(f"{kills} kills in {len(runs)} runs")
