"""A report's folder: only what reports wrote is replaced or removed, and a kill leaves one that can be completed."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ncf.errors import DataError, FileError
from ncf.report import staging
from ncf.report.staging import MANIFEST, refuse_unfinished, staged, written


def report(output: Path, files: dict[str, str]) -> None:
    """A report of these files."""
    with staged(output) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    """Everything in a folder but the manifest."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


OLD = {"report.html": "old", "figures/a.svg": "old", "figures/b.svg": "old", "users.csv": "old"}
NEW = {"report.html": "new", "figures/a.svg": "new", "tables/c.md": "new"}


def test_what_an_earlier_report_wrote_is_replaced_and_what_it_did_not_write_stays(tmp_path: Path) -> None:
    mine = {"figures/mine.png": "photo", "tables/mine.csv": "1", "notes.txt": "n"}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    report(tmp_path, OLD)
    report(tmp_path, NEW)
    assert content(tmp_path) == NEW | mine
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST, "figures", "notes.txt", "report.html", "tables",
    ]  # fmt: skip


def test_without_a_manifest_nothing_is_removed(tmp_path: Path) -> None:
    report(tmp_path, OLD)
    (tmp_path / MANIFEST).unlink()
    report(tmp_path, NEW)
    assert content(tmp_path) == OLD | NEW


def test_a_file_that_its_owner_has_changed_since_stays(tmp_path: Path) -> None:
    report(tmp_path, OLD)
    (tmp_path / "figures/b.svg").write_text("mended by hand")
    (tmp_path / "users.csv").unlink()
    (tmp_path / "users.csv").symlink_to("figures/a.svg")
    report(tmp_path, NEW)
    assert content(tmp_path)["figures/b.svg"] == "mended by hand"
    assert (tmp_path / "users.csv").is_symlink()


def test_a_manifest_that_names_files_elsewhere_removes_none(tmp_path: Path) -> None:
    output = tmp_path / "report"
    report(output, OLD)
    digest = hashlib.sha256(b"own").hexdigest()
    places = ["../own", "figures/../../own", str(tmp_path / "own"), "figures/deep/own", ".own", "other/own"]
    for place in places:
        (output / place).parent.mkdir(parents=True, exist_ok=True)
        (output / place).write_text("own")
    with (output / MANIFEST).open("a") as file:
        file.writelines(f"{digest}  {place}\n" for place in places)
    report(output, NEW)
    assert all((output / place).read_text() == "own" for place in places)


def test_the_manifest_is_what_sha256sum_checks(tmp_path: Path) -> None:
    report(tmp_path, NEW)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", MANIFEST], cwd=tmp_path, check=True)
    assert set(written(tmp_path)) == set(NEW)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_or_a_signal_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    def failing(output: Path) -> None:
        with staged(output) as folder:
            (folder / "report.html").write_text("half")
            raise error

    report(tmp_path, OLD)
    with pytest.raises(error):
        failing(tmp_path)
    assert content(tmp_path) == OLD
    with pytest.raises(error):
        failing(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_staging import NEW, report
from ncf.report import staging
left = int(sys.argv[2])
def counted(function):
    def call(*arguments, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), int(sys.argv[3]))
        left -= 1
        return function(*arguments, **options)
    return call
for name in ("_put", "write_text", "_unchanged"):
    setattr(staging, name, counted(getattr(staging, name)))
try:
    report(Path(sys.argv[1]), NEW)
finally:
    print(left)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_signal_at_any_step_of_the_swap_the_report_is_whole_or_the_next_one_completes_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent))
    for step in range(7):  # the manifest, three files, two that are no more, and the manifest again
        output = tmp_path / str(step)
        report(output, OLD)
        command = [sys.executable, "-c", code, str(output), str(step), str(int(number))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if number == signal.SIGTERM:  # waits for the end of the swap
            assert (done.returncode, content(output)) == (0, NEW)
        else:
            assert done.returncode == -number
            left = {name: text for name, text in content(output).items() if ".tmp" not in name}
            assert all(text in (OLD.get(name), NEW.get(name)) for name, text in left.items())
        report(output, NEW)
        assert content(output) == NEW
        assert not [path for path in output.rglob("*") if ".tmp" in path.name]


def test_tables_that_a_kill_left_half_replaced_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise MemoryError

    report(tmp_path, OLD)
    refuse_unfinished(tmp_path)
    monkeypatch.setattr(staging, "_put", killed)
    with pytest.raises(MemoryError):
        report(tmp_path, {"results.csv": "run,seed\n"})
    with pytest.raises(DataError, match="one was killed while it replaced them"):
        refuse_unfinished(tmp_path)
    monkeypatch.undo()
    report(tmp_path, {"results.csv": "run,seed\n"})
    refuse_unfinished(tmp_path)


def test_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    output = tmp_path / "report"
    report(output, OLD)
    (output / "report.html").rename(tmp_path / "page.html")
    (output / "report.html").symlink_to(tmp_path / "page.html")
    (tmp_path / "page.html").chmod(0o600)
    report(output, NEW)
    assert (output / "report.html").is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "text"), [("README.md", "# My project\n"), ("results.csv", "user,score\n")])
def test_a_file_of_the_users_own_is_not_overwritten(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: expected what a report wrote, found another file"):
        report(tmp_path, NEW | {name: "new"})
    assert content(tmp_path) == {name: text}


def test_a_folder_where_a_file_has_to_go_is_refused_before_anything_is_moved(tmp_path: Path) -> None:
    report(tmp_path, OLD)
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(FileError, match="tables: expected a folder, found a file; nothing was written"):
        report(tmp_path, NEW)
    assert content(tmp_path) == OLD | {"tables": "a file"}
    (tmp_path / "tables").unlink()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "c.md").mkdir()
    with pytest.raises(FileError, match=r"c\.md: expected a file, found something else"):
        report(tmp_path, NEW)


def test_a_second_report_to_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        staged(tmp_path),
        pytest.raises(DataError, match="another process is writing a report there"),
        staged(tmp_path),
    ):
        pass
