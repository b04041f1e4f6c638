"""The script that times effects on large samples, on small ones: what it times is right."""

import pytest

from experiments.benchmarks import effects


def test_what_is_timed_finds_the_effect_of_one() -> None:
    for runs in (effects.aipw(4000, 3), effects.matched(500, 4000)):
        for run in runs.values():
            found = run()
            assert abs(found.value - 1) < 4 * found.standard_error


def test_each_subject_prints_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(effects, "SUBJECTS", {"aipw": lambda: effects.aipw(2000, 2)})
    monkeypatch.setattr("sys.argv", ["effects", "aipw", "--rounds", "1"])
    effects.main()
    assert "AIPW, cross-fitted, 2,000 x 2: " in capsys.readouterr().out
