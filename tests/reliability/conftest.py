"""What the fault matrix shares: an uninterrupted run to compare with, and a disk that is soon full."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apart import finish, mounted, outcome
from toys import small

# Four epochs of 173 steps: a quarter of a second of processor time, beside the start.
LONGER = ("trainer.batch_size=88", "trainer.epochs=4", "trainer.checkpoint_every=1epoch")


@pytest.fixture(scope="session")
def arguments(root: Path) -> list[str]:
    """The overrides of a small run that is long enough to be interrupted."""
    return list(small(root, *LONGER))


@pytest.fixture(scope="session")
def uninterrupted(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The outcome of that run when nothing happens to it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], folder / "log") == 0, (folder / "log").read_text()
    return outcome(folder)


@pytest.fixture
def resize(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """resize(size) -> the folder of a disk of that size ("1m"), made first, then made larger."""
    disk = tmp_path / "disk"
    try:
        with mounted(disk, "-t", "tmpfs", "-o", "size=64k", "none"):

            def remount(size: str) -> Path:
                subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
                return disk

            yield remount
    except OSError as error:
        pytest.skip(f"this user may not mount: {error}")
