"""`format=parquet`: parts by several processes, or the tasks of an array, hold to the bit what one process writes."""

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import several
from apart import Deed, environment, finish, no_file_beyond, start, status
from finished_runs import FinishedRuns
from several import torchrun

import ncf
from ncf import recommend
from ncf.core import shares
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.runs import loading
from ncf.runs.loaded_run import LoadedRun

ALL = ("user=all", "k=3", "format=parquet")


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is loaded once a test, however many parts there are."""
    kept: dict[str, LoadedRun] = {}

    def load(options: Any, mapped: bool = False) -> LoadedRun:
        return kept.setdefault(options.run, loading.load_asked(options, mapped))

    monkeypatch.setattr(recommend, "load_asked", load)


def by_parts(parts: int, folder: Path, *options: str) -> pd.DataFrame:
    """What all parts hold together."""
    for part in range(parts):
        recommend.main([*options, f"output={folder}", f"part={part}/{parts}"])
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"part-{part:05d}-of-{parts:05d}.parquet" for part in range(parts)]
    return pd.read_parquet(folder)


def whole(path: Path, *options: str) -> pd.DataFrame:
    """What one process writes, to a file and to a folder alike."""
    recommend.main([*options, f"output={path.with_suffix('.parquet')}"])
    recommend.main([*options, f"output={path}"])
    found = pd.read_parquet(path.with_suffix(".parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(path), found)
    return found


@pytest.mark.parametrize("users", [1, 2, 13])
@pytest.mark.usefixtures("loaded_once")
def test_parts_are_the_whole_for_any_number_of_users_and_parts(
    users: int, runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with more parts than users."""
    monkeypatch.setattr(recommend, "_USERS_AT_ONCE", 7)
    ids = ncf.load(runs["gmf"]).split.user_ids.tolist()[::-1][:users]
    options = (f"run={runs['gmf']}", f"user={','.join(map(str, ids))}", *ALL[1:])
    expected = whole(tmp_path / "whole", *options)
    assert list(dict.fromkeys(expected["user_id"])) == ids
    for parts in {1, 2, 3, users, users + 1}:
        pd.testing.assert_frame_equal(by_parts(parts, tmp_path / str(parts), *options), expected)


@pytest.mark.parametrize(
    "more", [(), ("temperature=0.5", "seed=3"), ("rerank=mmr", "lambda=0.5", "similarity=vectors")], ids=str
)
@pytest.mark.parametrize("name", ["neumf", "ials", "ease"])
@pytest.mark.usefixtures("loaded_once")
def test_parts_have_the_rows_of_csv_however_items_are_found(
    name: str, more: tuple[str, ...], runs: FinishedRuns, tmp_path: Path
) -> None:
    if name == "ease" and "rerank=mmr" in more:
        more = ("rerank=mmr", "similarity=co_occurrence")
    options = (f"run={runs[name]}", "user=all", "k=3", *more)
    found = by_parts(2, tmp_path / "parts", *options, "format=parquet")
    recommend.main([*options, "format=csv", f"output={tmp_path / 'all.csv'}"])
    expected = pd.read_csv(tmp_path / "all.csv")
    pd.testing.assert_frame_equal(found.astype({"score": "float64"}), expected, rtol=1e-7)
    pd.testing.assert_frame_equal(found, whole(tmp_path / "whole", *options, "format=parquet"))


@pytest.mark.usefixtures("loaded_once")
def test_users_are_scored_beside_the_same_others_whatever_the_part(
    runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a product depend on the sizes of its factors; here much more than these depends on the block."""
    monkeypatch.setattr(recommend, "_USERS_AT_ONCE", 7)
    score = LoadedRun._scores
    monkeypatch.setattr(LoadedRun, "_scores", lambda self, users: score(self, users) + float(users.sum()))
    options = (f"run={runs['mf']}", *ALL)
    pd.testing.assert_frame_equal(by_parts(4, tmp_path / "4", *options), whole(tmp_path / "1", *options))


def test_a_complete_part_is_skipped_without_loading_the_run(
    runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"run={runs['mf']}", *ALL, f"output={tmp_path}", "part=1/2"]
    recommend.main(options)
    monkeypatch.setattr(recommend, "load_asked", lambda *a, **k: pytest.fail("loaded"))
    capsys.readouterr()
    recommend.main(options)
    assert capsys.readouterr().err == f"{tmp_path / 'part-00001-of-00002.parquet'}: complete; nothing to do\n"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mf", ("user=all", "k=4"), r"\(k: expected 4, found 3\)"),
        ("mf", ("user=1,2", "k=3"), r"\(user: expected '1,2', found 'all'\)"),
        ("gmf", ("user=all", "k=3"), r"\(run: expected '\w+\.\.\., found '\w+\.\.\.\)"),
        ("mf", ("user=all", "k=3", "temperature=1", "seed=3"), r"\(temperature: expected 1.0, found None\)"),
        ("mf", ("user=all", "k=3", "rerank=mmr", "similarity=vectors"), r"\(rerank: expected \{.*, found None\)"),
    ],
)
def test_parts_of_other_options_or_another_run_are_refused(
    name: str, options: tuple[str, ...], message: str, runs: FinishedRuns, tmp_path: Path
) -> None:
    recommend.main([f"run={runs['mf']}", *ALL, f"output={tmp_path}", "part=1/2"])
    with pytest.raises(ConfigError, match=rf"part-00001-of-00002.parquet of another one {message}"):
        recommend.main([f"run={runs[name]}", *options, "format=parquet", f"output={tmp_path}", "part=0/2"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("user=1", "part=0/2"), "^format: expected parquet, which is written by parts, got table with part=$"),
        (("user=1", "format=parquet"), "^output: expected output=, which format=parquet needs, found none$"),
        (
            ("items_like=1", "format=parquet", "output=x"),
            "^user: expected user=, which format=parquet needs, found none$",
        ),
        (("user=1", "format=parquet", "output=x", "part=2/2"), "^part: expected a number and how many there are"),
        (
            ("user=1", "format=parquet", "output=x", "part=0/2", "retrieval=faiss_ivf"),
            "^retrieval: expected exact for 2 parts, got faiss_ivf$",
        ),
        (
            ("user=1", "format=parquet", "output=x", "part=0/2", "temperature=1"),
            "^seed: expected seed=, so that 2 parts are of the same draw, found none$",
        ),
        (
            ("user=1", "format=parquet", "output=x", "temperature=1", "log=y"),
            "^log: not allowed with format=parquet, whose column propensity has what a log would$",
        ),
    ],
)
def test_options_that_do_not_belong_together_are_named(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend.main(["run=x", *options])


def test_a_missing_run_or_user_leaves_no_part(runs: FinishedRuns, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^run: expected a run folder, but nowhere does not exist"):
        recommend.main(["run=nowhere", *ALL, f"output={tmp_path / 'x'}"])
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match=r"^user: expected an id among the 60 users"):
        recommend.main([f"run={runs['mf']}", "user=999", *ALL[1:], f"output={tmp_path / 'x'}"])
    assert list((tmp_path / "x").iterdir()) == []


def test_scores_that_are_not_finite_leave_no_part_and_name_the_user(
    runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncf.models.mf.MF.score", lambda self, users: self.item_bias.weight.T + users[:, None] / 0)
    with pytest.raises(CheckpointError, match=r"expected finite scores, got "):
        recommend.main([f"run={runs['mf']}", *ALL, f"output={tmp_path}", "part=1/2"])
    assert list(tmp_path.iterdir()) == []


def slow_blocks() -> None:
    """A deed: blocks of one user, a second each."""
    recommend._USERS_AT_ONCE = 1
    best = LoadedRun.recommend
    LoadedRun.recommend = lambda *a: time.sleep(1) or best(*a)  # type: ignore[method-assign]


def written(path: Path) -> tuple[int, int]:
    """Which file it is, and when it was written."""
    return path.stat().st_ino, path.stat().st_mtime_ns


@pytest.mark.slow
def test_a_killed_part_is_made_again_and_the_others_are_not(runs: FinishedRuns, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    options = [f"run={runs['mf']}", *ALL, f"output={out}"]
    recommend.main([*options, "part=0/2"])
    first = written(out / "part-00000-of-00002.parquet")
    for signum, left in ((signal.SIGKILL, 2), (signal.SIGTERM, 1)):
        before = set(out.glob(".tmp-*"))
        process = start([*options, "part=1/2"], log, slow_blocks, module="ncf.recommend")
        while not (new := set(out.glob(".tmp-*")) - before):
            assert process.is_alive(), log.read_text()
            time.sleep(0.02)
        assert len(new) == 1
        assert process.pid is not None
        os.kill(process.pid, signum)
        assert status(process) == (-signal.SIGKILL if signum == signal.SIGKILL else 128 + signal.SIGTERM)
        assert len(list(out.iterdir())) == left, "what the first left is cleared, what the second began is not left"
        assert len(pd.read_parquet(out)) == 30 * 3
    for part in (0, 1):
        recommend.main([*options, f"part={part}/2"])
    assert written(out / "part-00000-of-00002.parquet") == first
    assert len(list(out.iterdir())) == 2
    pd.testing.assert_frame_equal(pd.read_parquet(out), whole(tmp_path / "whole", *options[:-1]))


@pytest.mark.parametrize(
    ("deeds", "place", "message"),
    [
        ((partial(no_file_beyond(600)),), "", "(File too large)"),
        ((), "/proc/none", "(No such file or directory)"),
        ((environment(RANK="1", WORLD_SIZE="2", MASTER_ADDR="x"),), "/proc/none", "(No such file or directory)"),
    ],
    ids=["full", "unwritable", "of several"],
)
def test_a_fault_is_one_line_and_status_2(
    deeds: tuple[Deed, ...], place: str, message: str, runs: FinishedRuns, tmp_path: Path
) -> None:
    """Another process than rank 0, which nobody ends, tells as well."""
    log = tmp_path / "log"
    options = [f"run={runs['mf']}", *ALL, f"output={place or tmp_path / 'out'}"]
    assert finish(options, log, *deeds, impatient, module="ncf.recommend") == 2
    lines = [line for line in log.read_text().splitlines() if line and "users/s" not in line]
    assert len(lines) == 1, log.read_text()
    assert lines[0].startswith("error: output: cannot write ")
    assert lines[0].endswith(message)
    assert list(tmp_path.rglob(".tmp-*")) == []


def impatient() -> None:
    """A deed: leave rank 0 hardly any time."""
    shares._PATIENCE = 0.01


@pytest.mark.slow
def test_two_processes_of_torchrun_write_what_one_does_and_rank_0_alone_speaks(
    runs: FinishedRuns, tmp_path: Path
) -> None:
    options = (f"run={runs['neumf']}", *ALL)
    done = several.finish(torchrun(2, [*options, f"output={tmp_path / 'two'}"], "ncf.recommend"))
    assert done.stdout == ""
    assert done.stderr.count("  0%") == 1  # one bar; how often it is drawn at its end is a matter of time
    assert len(list((tmp_path / "two").iterdir())) == 2
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "two"), whole(tmp_path / "one", *options))


@pytest.mark.slow
def test_an_error_of_two_processes_is_one_line_and_a_status_that_is_not_0(tmp_path: Path) -> None:
    done = several.finish(torchrun(2, ["run=nowhere", *ALL, f"output={tmp_path / 'two'}"], "ncf.recommend"), status=1)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: run: expected a run folder, but nowhere does not exist"]
    assert list(tmp_path.iterdir()) == []
