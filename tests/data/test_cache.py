"""The processed cache: one build for many processes, no half-written file, no trust in damaged ones."""

import multiprocessing
import os
import signal
import time
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Prepare, full_disk, interactions_of, members, write_zip

from ncf.data import cache
from ncf.data.cache import cached
from ncf.data.interactions import Interactions
from ncf.errors import DataError

KEY = "ab" * 32
TOY = interactions_of([(0, 0, 1), (0, 1, 2), (1, 1, 3)])
FORK = multiprocessing.get_context("fork")


def files(root: Path) -> list[Path]:
    return sorted(p for p in (root / "processed").iterdir() if p.suffix != ".lock")


def equal(first: Interactions, second: Interactions) -> bool:
    same = [first.name == second.name, first.digest == second.digest, first.before == second.before]
    for name in ("users", "items", "ratings", "timestamps", "user_ids", "item_ids", "titles", "genres"):
        same.append(np.array_equal(getattr(first, name), getattr(second, name)))
    return all(same)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    cached(tmp_path, "toy", KEY, lambda: TOY)
    again = cached(tmp_path, "toy", KEY, lambda: pytest.fail("built again"))
    assert equal(again, TOY)
    assert again.titles is None
    assert again.users.dtype == np.int64


def ask(root: Path, log: Path, answers: Queue, seconds: float) -> None:
    """What a process does that needs the set, which takes it `seconds` to build and leaves a line in `log`."""

    def build() -> Interactions:
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return TOY

    answers.put(equal(cached(root, "toy", KEY, build), TOY))


def test_eight_processes_on_a_cold_cache_build_once(tmp_path: Path) -> None:
    log, answers = tmp_path / "builds", FORK.Queue()
    workers = [FORK.Process(target=ask, args=(tmp_path, log, answers, 0.5)) for _ in range(8)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=60) for _ in workers] == [True] * 8
    for worker in workers:
        worker.join()
    assert len(log.read_text().split()) == 1
    assert len(files(tmp_path)) == 1


def test_the_bytes_do_not_depend_on_who_builds_when(tmp_path: Path) -> None:
    for name in ("a", "b"):
        cached(tmp_path / name, "toy", KEY, lambda: TOY)
        time.sleep(0.01)
    (first,), (second,) = files(tmp_path / "a"), files(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_a_builder_killed_with_the_lock_in_hand_holds_up_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "builds"
    victim = FORK.Process(target=ask, args=(tmp_path, log, FORK.Queue(), 60.0))
    victim.start()
    while not log.exists():
        assert victim.is_alive()
        time.sleep(0.02)
    stray = tmp_path / "processed" / f".tmp-toy-{KEY[:16]}.npz-half"
    stray.write_bytes(b"half a file")
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)
    assert [path.name for path in files(tmp_path)] == [f"toy-{KEY[:16]}.npz"]


@pytest.mark.parametrize("position", [0, 40, 200, 400, -300, -30])
def test_a_flipped_bit_is_noticed(tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture) -> None:
    cached(tmp_path, "toy", KEY, lambda: TOY)
    (path,) = files(tmp_path)
    good = path.read_bytes()
    data = bytearray(good)
    data[position] ^= 0x04
    path.write_bytes(data)
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)
    if "damaged" in caplog.text:  # else the bit was one that no reader looks at
        assert path.read_bytes() == good


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_another_file_in_its_place_is_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cached(tmp_path, "toy", KEY, lambda: TOY)
    (path,) = files(tmp_path)
    path.write_bytes(content)
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)
    assert "damaged or belongs to other settings; rebuilding it" in caplog.text


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_what_is_no_regular_file_in_the_place_of_a_cache_is_refused_before_anything_is_built(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "processed" / f"toy-{KEY[:16]}.npz"
    path.parent.mkdir()
    {"fifo": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    with pytest.raises(DataError, match=rf"{path.name}: expected a regular file or none, found something else"):
        cached(tmp_path, "toy", KEY, lambda: pytest.fail("built"))


def forged(path: Path, **changes: np.ndarray) -> None:
    """Change arrays of a cache and make its checksum fit."""
    with np.load(path) as arrays:
        contents = {name: arrays[name] for name in arrays.files if name != "checksum"} | changes
    np.savez_compressed(path, **contents, checksum=np.array(cache._checksum(contents)))


@pytest.mark.parametrize(
    "changes",
    [
        {"users": np.array([0, 0, 7])},
        {"users": np.array([0, 0, -1])},
        {"users": np.array([0.0, 0.0, 1.0])},
        {"items": np.array([0, 1])},
        {"item_ids": np.arange(20)},
        {"titles": np.array(["a"])},
        {"ratings": np.zeros((3, 1), np.float32)},
    ],
)
def test_a_forged_cache_whose_arrays_do_not_fit_is_built_again(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    cached(tmp_path, "toy", KEY, lambda: TOY)
    (path,) = files(tmp_path)
    forged(path)
    assert equal(cached(tmp_path, "toy", KEY, lambda: pytest.fail("built again")), TOY)
    forged(path, **changes)
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)


def test_changed_values_under_a_valid_zip_are_noticed(tmp_path: Path) -> None:
    cached(tmp_path, "toy", KEY, lambda: TOY)
    (path,) = files(tmp_path)
    with np.load(path) as arrays:
        contents = dict(arrays)
    np.savez(path, **(contents | {"users": contents["users"][::-1]}))
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)


def test_nothing_in_the_cache_is_executed(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "executed"),)

    cached(tmp_path, "toy", KEY, lambda: TOY)
    (path,) = files(tmp_path)
    np.savez(path, users=np.array([Payload()], object), checksum=np.array("x"), allow_pickle=True)
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)
    assert not (tmp_path / "executed").exists()


def test_a_root_that_cannot_be_written(tmp_path: Path, prepare: Prepare) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"file/processed: cannot write \(.*\); data\.root sets the folder"):
        prepare("ml-1m", archive=str(archive), root=str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"/proc/ncf/processed: cannot write"):
        prepare("ml-1m", archive=str(archive), root="/proc/ncf")


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    large = interactions_of([(0, item, item) for item in range(999)])
    complaint = r"cannot write \(File too large\); data\.root sets the folder$"
    with full_disk(1000), pytest.raises(DataError, match=complaint):
        cached(tmp_path, "toy", KEY, lambda: large)
    assert files(tmp_path) == []


def test_a_failed_build_frees_the_lock(tmp_path: Path) -> None:
    def fail() -> Interactions:
        raise DataError("bad line")

    for _ in range(2):
        with pytest.raises(DataError, match="bad line"):
            cached(tmp_path, "toy", KEY, fail)
    assert equal(cached(tmp_path, "toy", KEY, lambda: TOY), TOY)
