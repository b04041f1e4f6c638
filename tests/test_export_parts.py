"""`python -m ncf.export` by parts: what all parts hold is the `users.parquet` of one process, to the bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_runs import FinishedRuns
from several import finish, torchrun

from ncf import export
from ncf.errors import ConfigError, DataError
from ncf.runs import user_rows
from ncf.runs.loaded_run import LoadedRun


def same(one: Path, other: Path) -> None:
    """Users and items alike, whether files or folders of parts."""
    for name in ("users.parquet", "items.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(one / name), pd.read_parquet(other / name))


def by_parts(parts: int, *options: str) -> None:
    for part in range(parts):
        export.main([*options, f"part={part}/{parts}"])


@pytest.mark.parametrize(
    ("name", "parts"), [("gmf", 1), ("gmf", 7), ("mf", 13), ("als", 2), ("ials", 2), ("puresvd", 2), ("content", 2)]
)
def test_parts_are_the_whole(
    name: str, parts: int, runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_rows, "_AT_ONCE", 4)
    run = f"run={runs[name]}"
    by_parts(parts, run, f"output={tmp_path / 'parts'}")
    export.main([run, f"output={tmp_path / 'whole'}", "forms=parquet"])
    same(tmp_path / "parts", tmp_path / "whole")
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"users.parquet", "items.parquet"}
    assert len(list((tmp_path / "parts/users.parquet").iterdir())) == parts


def test_what_is_there_is_not_made_again_and_what_is_missing_is(
    runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"run={runs['mf']}", f"output={tmp_path}")
    by_parts(2, *options)
    capsys.readouterr()
    by_parts(2, *options)
    assert capsys.readouterr().out.count(": complete; nothing to do\n") == 3
    (tmp_path / "items.parquet").unlink()
    before = pd.read_parquet(tmp_path / "users.parquet")
    by_parts(2, *options)
    assert (tmp_path / "items.parquet").exists()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "users.parquet"), before)


def test_parts_of_another_run_are_refused_and_items_of_another_replaced(runs: FinishedRuns, tmp_path: Path) -> None:
    export.main([f"run={runs['gmf']}", f"output={tmp_path}", "forms=parquet"])
    (tmp_path / "users.parquet").unlink()
    by_parts(2, f"run={runs['mf']}", f"output={tmp_path}")
    export.main([f"run={runs['mf']}", f"output={tmp_path / 'whole'}", "forms=parquet"])
    same(tmp_path, tmp_path / "whole")
    with pytest.raises(ConfigError, match=r"found part-00000-of-00002.parquet of another one \(run: expected "):
        by_parts(2, f"run={runs['gmf']}", f"output={tmp_path}")
    with pytest.raises(ConfigError, match=r"expected a table of 3 parts, found part-00000-of-00002.parquet"):
        by_parts(3, f"run={runs['mf']}", f"output={tmp_path}")


def test_files_and_parts_of_users_do_not_take_each_others_place(runs: FinishedRuns, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export.main([f"run={runs['mf']}", f"output={whole}", "forms=parquet"])
    with pytest.raises(ConfigError, match=r"^output: expected a folder, found a file at .*users\.parquet$"):
        by_parts(2, f"run={runs['mf']}", f"output={whole}")
    by_parts(2, f"run={runs['mf']}", f"output={parts}")
    items = (parts / "items.parquet").read_bytes()
    with pytest.raises(ConfigError, match=r"^output: expected no folder at .*users\.parquet, which has users by parts"):
        export.main([f"run={runs['gmf']}", f"output={parts}", "forms=parquet"])
    assert (parts / "items.parquet").read_bytes() == items


def test_what_cannot_be_written_by_parts_says_so(
    runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"output={tmp_path}", "part=1/2"]
    with pytest.raises(ConfigError, match=r"^forms: expected parquet, which is written by parts, got 'npy'$"):
        export.main([f"run={runs['mf']}", *options, "forms=npy"])
    for name in ("neumf", "ease"):
        with pytest.raises(
            DataError,
            match=r"^vectors: the score of \w+ is not an inner product of vectors, as that of gmf is; forms=model",
        ):
            export.main([f"run={runs[name]}", *options])
    with pytest.raises(ConfigError, match=r"^output: cannot write /proc/none/users.parquet \("):
        export.main([f"run={runs['mf']}", "output=/proc/none", "part=1/2"])
    made = export.load_asked

    def spoiled(*args: object, **keys: object) -> LoadedRun:
        run: LoadedRun = made(*args, **keys)  # type: ignore[arg-type]
        run.model.state_dict()["users.weight"][40] = np.nan
        return run

    monkeypatch.setattr(export, "load_asked", spoiled)
    with pytest.raises(DataError, match=r"^vectors: expected finite ones, found NaN or inf for user 40$"):
        export.main([f"run={runs['mf']}", *options])
    assert list((tmp_path / "users.parquet").iterdir()) == []


@pytest.mark.slow
def test_two_processes_of_torchrun_write_what_one_does_and_rank_0_alone_speaks(
    runs: FinishedRuns, tmp_path: Path
) -> None:
    done = finish(torchrun(2, [f"run={runs['gmf']}", f"output={tmp_path / 'two'}"], "ncf.export"))
    assert [Path(line).name for line in done.stdout.splitlines()] == ["items.parquet", "part-00000-of-00002.parquet"]
    export.main([f"run={runs['gmf']}", f"output={tmp_path / 'one'}", "forms=parquet"])
    same(tmp_path / "one", tmp_path / "two")
