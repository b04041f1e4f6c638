"""The command's subjects."""

from experiments.benchmarks.__main__ import SUBJECTS


def test_every_subject_is_there() -> None:
    assert set(SUBJECTS) == {"epochs", "ranking", "sweep", "sampler", "focal", "stacked", "roof", "threads", "chunks"}
