"""`make test` leaves nothing behind: no process, and no file in the repository."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = REPOSITORY / "outputs"  # where runs go by default
MARK = "NCF_TESTS"  # an environment variable that the processes which a test starts inherit, and hand on to theirs
_PATIENCE = 10.0  # seconds that processes which have been told to end have for it

_CACHES = {"__pycache__", "data"}  # beside folders such as .mypy_cache; data are fetched once
# What people write, perhaps while the tests run; no run leaves only such files.
_EDITED = {".j2", ".md", ".py", ".toml", ".yaml"}
_INFRASTRUCTURE = ("multiprocessing.forkserver", "multiprocessing.resource_tracker", "loky.backend.resource_tracker")
_last: list[set[Path]] = []  # the files at the end of the last module, with which the next one begins


@pytest.fixture(autouse=True, scope="session")
def _marked() -> None:
    os.environ[MARK] = str(os.getpid())


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind(_marked: None) -> Iterator[None]:
    """An error of the module whose tests leave a process running or a new file in the repository."""
    before = _last.pop() if _last else files()
    yield
    deadline = time.monotonic() + _PATIENCE
    while (running := processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in running:  # so that it is reported once
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _last.append(files())
    new = sorted(map(str, _last[0] - before))
    left = [*running.values(), *new]
    assert not left, f"a test has left processes running or files in the repository: {left}"


def files() -> set[Path]:
    """Every file of the repository that a run could have left, and every folder in `outputs/`."""
    found = set()
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in _CACHES and not name.startswith(".")]
        found |= {Path(folder, name) for name in names if Path(name).suffix not in _EDITED}
        if Path(folder).is_relative_to(OUTPUTS):  # a refused run may leave no more than an empty folder
            found |= {Path(folder, name) for name in folders}
    return found


def processes() -> dict[int, str]:
    """Process id -> command line of each that the tests of this process have started, orphans too.

    The server from which tests fork, and what tracks the resources of multiprocessing, end with this process.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"{MARK}={os.getpid()}".encode() in (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended, or is somebody else's
            continue
        if ours and line and not (parent == os.getpid() and any(name in line for name in _INFRASTRUCTURE)):
            found[int(folder.name)] = line
    return found
