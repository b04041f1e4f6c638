"""Trials that fail do not end their study, and what no trial could run is refused before anything is read."""

from pathlib import Path

import pytest
from apart import mounted
from studies import failing, overrides, quick_disk, quick_settings, trials_of  # noqa: F401  fixtures

from ncf.errors import CheckpointError, ConfigError, DataError, FileError, TrainingError
from ncf.launch import tuning
from ncf.launch.study_database import DATABASE
from ncf.launch.tuning import Study, tune

pytest.importorskip("optuna")


@pytest.mark.usefixtures("quick_settings")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConfigError("model.factors: expected fewer than 30"), "model.factors: expected fewer than 30"),
        (TrainingError("loss: expected a finite value,\nfound NaN"), "loss: expected a finite value, found NaN"),
        (RuntimeError("singular matrix"), "RuntimeError: singular matrix"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_trial_that_fails_is_on_record_and_the_study_goes_on(
    error: Exception,
    reason: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Study, "_value", failing(0, 2, error=error))
    summary = tune(overrides(root, "ease"), 3, 60.0, tmp_path)
    assert (summary["trials"], summary["failed"], summary["value"]) == (3, 2, 0.04)
    assert [state for *_, state in trials_of(tmp_path)] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    _, *lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"trial 0: failed ({reason}), 0 of 3 done, ")
    assert lines[3].startswith("trial 3: 0.0300, best 0.0300 (trial 3), 2 of 3 done, ")


@pytest.mark.slow
def test_settings_that_the_data_do_not_allow_fail_their_trial_only(root: Path, tmp_path: Path) -> None:
    """PureSVD's space reaches up to 128 factors; the set has 60 users."""
    summary = tune(overrides(root, "puresvd", "seed=1"), 6, 60.0, tmp_path)
    assert summary["trials"] == 6
    assert summary["failed"] > 0
    assert list(tmp_path.rglob("failure.json"))


@pytest.mark.usefixtures("quick_settings")
def test_if_all_trials_fail_the_study_gives_up_and_says_why(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "_value", failing(*range(99), error=ConfigError("model.l2: no")))
    monkeypatch.setattr(tuning, "MOST_FAILURES", 4)
    for times in (1, 2):  # the next call may try as often again
        count = times * tuning.MOST_FAILURES
        with pytest.raises(TrainingError, match=f"none of {count} trials succeeded; the first failed by: model.l2: no"):
            tune(overrides(root, "ease"), 3, 60.0, tmp_path)
        assert len(trials_of(tmp_path)) == count
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.usefixtures("quick_settings")
def test_a_study_that_gives_up_later_keeps_what_it_has(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Study, "_value", failing(*range(2, 99), error=ConfigError("model.l2: no")))
    summary = tune(overrides(root, "ease"), 30, 60.0, tmp_path)
    assert (summary["trials"], summary["failed"], summary["ended"]) == (2, tuning.MOST_FAILURES, "failures")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: the last 10 trials failed, the first of them by: model.l2: no"


@pytest.mark.usefixtures("quick_settings")
@pytest.mark.parametrize("error", [DataError("ratings.csv line 3: bad"), FileError("x: cannot write")], ids=repr)
def test_what_is_not_the_trial_s_fault_ends_the_call_and_the_next_goes_on_with_the_trial(
    error: Exception, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patches:
        patches.setattr(Study, "_value", failing(1, error=error))
        with pytest.raises(type(error), match=str(error)):
            tune(overrides(root, "ease"), 3, 60.0, tmp_path)
    monkeypatch.setattr(Study, "_value", failing(error=error))
    assert tune(overrides(root, "ease"), 3, 60.0, tmp_path)["failed"] == 0
    assert len(trials_of(tmp_path)) == 3


def test_a_value_that_is_not_finite_is_none(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "open_job", lambda plan, folder, stopped: {"valid": {"ndcg@10": float("nan")}})
    monkeypatch.setattr(tuning, "MOST_FAILURES", 1)
    with pytest.raises(TrainingError, match="expected a finite value on validation, found nan"):
        tune(overrides(root, "ease"), 1, 60.0, tmp_path)


@pytest.mark.slow
def test_a_folder_that_holds_another_run_is_named(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    tune(settings, 2, 60.0, tmp_path)
    (zero,) = tmp_path.glob("ease-*/0")
    (tmp_path / DATABASE).unlink()
    (zero / "result.json").write_text((zero.with_name("1") / "result.json").read_text())
    (zero / "checkpoint.pt").unlink()
    with pytest.raises(CheckpointError, match=rf"cannot resume with other settings .*; move {zero} away, and this "):
        tune(settings, 2, 60.0, tmp_path)


# Before anything is read or created.


@pytest.fixture
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "open_job", None)


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize(
    ("trials", "minutes", "more", "expected"),
    [
        (0, 60.0, "", "--trials: expected at least 1, got 0"),
        (-3, 60.0, "", "--trials: expected at least 1, got -3"),
        (1, 0.0, "", "--minutes: expected more than 0, got 0"),
        (1, float("nan"), "", "--minutes: expected more than 0, got nan"),
        (1, 60.0, "trainer.patience=-1", "trainer.patience: "),
        (1, 60.0, "device=cuda:99", "device: 'cuda:99' is not available"),
        (1, 60.0, "model=popularity", "model: expected one with a search space in conf/tuning (als, "),
        (1, 60.0, "model=neumf_pretrained", "model.pretrained"),
    ],
)
def test_arguments_are_checked_first(
    trials: int, minutes: float, more: str, expected: str, root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    with pytest.raises(ConfigError) as error:
        tune([*overrides(root, "ease"), *filter(None, [more])], trials, minutes, folder)
    assert str(error.value).startswith(expected)
    assert not folder.exists()


@pytest.mark.slow
def test_a_setting_that_a_trial_draws_anew_may_be_impossible(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "gmf", "neg_ratio=10", "trainer.batch_size=5", "trainer.epochs=1")
    assert tune(settings, 1, 60.0, tmp_path)["trials"] == 1


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("place", ["a file", "a file/below", "a broken link", "x" * 300])
def test_a_folder_that_cannot_be_is_refused(place: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "a broken link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"^--folder: expected a writable folder, got "):
        tune(overrides(root, "ease"), 1, 60.0, tmp_path / place)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("nothing_read")
def test_a_read_only_folder_is_refused(root: Path, tmp_path: Path) -> None:
    try:
        with (
            mounted(tmp_path / "read only", "-t", "tmpfs", "-o", "ro,size=64k", "none"),
            pytest.raises(ConfigError, match=r"--folder: .* \(.*/read only is not writable\)"),
        ):
            tune(overrides(root, "ease"), 1, 60.0, tmp_path / "read only" / "new")
    except OSError as error:
        pytest.skip(f"this user may not mount: {error}")
