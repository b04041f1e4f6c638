"""The command's subjects."""

import sys

import pytest

from experiments.benchmarks.__main__ import SUBJECTS, main

ON_A_CPU = {"epochs", "ranking", "sweep", "sampler", "focal", "stacked", "roof", "threads", "chunks", "fits"}


def test_every_subject_is_there() -> None:
    assert set(SUBJECTS) == ON_A_CPU | {"gpu"}


def test_without_a_gpu_its_rows_are_not_measured_and_kept_figures_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--peers", sys.executable, "gpu"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    main()
    assert "gpu: not measured (no CUDA device)" in capsys.readouterr().out
