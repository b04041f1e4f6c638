"""Shards on disk: every row once, memory-mapped, one's own alone; damage, interruption and other settings."""

import json
import multiprocessing
import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import full_disk, members, ratings_text, write_zip
from shared_out import SPLIT, assert_around, assert_parts, rows

from ncf.core.compose import compose
from ncf.core.config import component, plain
from ncf.data import DATASETS, SPLITS, shards
from ncf.data.__main__ import in_shards, main
from ncf.data.shards import Address, Shards, prepare
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError

FORK = multiprocessing.get_context("fork")


def made(tmp_path: Path, count: int, split: Split = SPLIT) -> Shards:
    return prepare(Address(tmp_path / "toy.shards", None), count, lambda: split)


def again(tmp_path: Path) -> Shards:
    """The shards, found on disk."""
    found = shards.find(Address(tmp_path / "toy.shards", None))
    assert found is not None
    return found


def never() -> Split:
    raise AssertionError("the data was read")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_every_row_is_in_one_shard_with_all_of_its_user(count: int, tmp_path: Path) -> None:
    found = made(tmp_path, count)
    pieces = [
        list(zip(np.load(f / "train.users.npy").tolist(), np.load(f / "train.items.npy").tolist(), strict=True))
        for f in sorted(found.folder.glob("shard-*"))
    ]
    assert len(pieces) == count
    assert [row for piece in pieces for row in piece] == rows(SPLIT.train)
    owners = [{user for user, _ in piece} for piece in pieces]
    assert sum(map(len, owners)) == len(set.union(*owners))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_what_is_read_from_shards_is_what_a_whole_split_gives(count: int, tmp_path: Path) -> None:
    found = made(tmp_path, count)
    for processes in (1, 2, 3, 12):
        assert_parts(found, processes)
    assert_around(found)
    for name in ("num_users", "num_items", "name", "digest"):
        assert getattr(found.outline, name) == getattr(SPLIT, name)
    for name in ("valid", "test"):
        assert rows(getattr(found, name)) == rows(getattr(SPLIT, name))


def test_arrays_are_memory_mapped_and_changes_to_them_are_not_kept(tmp_path: Path) -> None:
    made(tmp_path, 2)
    found = again(tmp_path)
    (piece,) = found.train(0, found.part(0, 2).end_user)
    o = found.outline
    for array in (piece.users, piece.items, found.valid.items, found.test.users, found.item_counts, o.user_ids):
        assert isinstance(array, np.memmap)
    assert o.user_ids.flags.writeable  # torch warns of arrays that are not
    piece.users[:] = 7
    assert again(tmp_path).train(0, 1)[0].users[0] == SPLIT.train.users[0]


def test_ratings_and_candidates_are_kept(tmp_path: Path) -> None:
    stars = np.arange(len(SPLIT.train), dtype=np.float32)
    train = Pairs(SPLIT.train.users, SPLIT.train.items, ratings=stars)
    among = np.array([3, 5])
    whole = Split(
        train, SPLIT.valid, SPLIT.test, 13, 30, np.array([f"u{n}é" for n in range(13)]), SPLIT.item_ids, None, None,
        "toy", "1" * 64, valid_among=among,
    )  # fmt: skip
    found = made(tmp_path, 3, whole)
    pieces = found.train(0, 13)
    assert len(pieces) == 3
    assert np.concatenate([p.ratings for p in pieces]).tolist() == stars.tolist()
    assert found.outline.user_ids.tolist() == whole.user_ids.tolist()
    assert found.outline.valid_among.tolist() == [3, 5]
    assert found.outline.test_among is None


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", ["garbage", "missing", "unreadable"])
def test_a_process_opens_no_shard_of_another(rank: int, how: str, tmp_path: Path) -> None:
    """Four shards for two processes: each works without the two of the other, and cannot do without its own."""
    made(tmp_path, 4)
    folder = tmp_path / "toy.shards"
    expected = [rows(again(tmp_path).own(again(tmp_path).part(r, 2)).train) for r in (0, 1)]
    for shard in (0, 1) if rank == 1 else (2, 3):
        for file in folder.glob(f"shard-{shard:04}/*"):
            file.unlink()
            if how == "garbage":
                file.write_bytes(b"garbage")
            elif how == "unreadable":
                os.mkfifo(file)  # opening it as a file would wait for ever; permissions do not stop root
    found = again(tmp_path)
    assert rows(found.own(found.part(rank, 2)).train) == expected[rank]
    end = found.part(0, 2).end_user
    held = np.flatnonzero((found.valid.users < end) == (rank == 0))
    assert len(found.around("valid", slice(held[0], held[-1] + 1)).train) == len(expected[rank])
    with pytest.raises(DataError) as caught:
        found.own(found.part(1 - rank, 2))
    assert "python -m ncf.data shards=4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_flipped_bit_and_no_cut_file_is_read(tmp_path: Path) -> None:
    made(tmp_path, 2)
    folder = tmp_path / "toy.shards"
    rng = np.random.default_rng(1)
    for path in sorted(folder.rglob("*.*")):
        sound = path.read_bytes()
        for damage in range(4):
            content = bytearray(sound)
            place = int(rng.integers(len(content)))
            content[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(content) if damage else sound[:place])
            with pytest.raises(DataError) as caught:
                again(tmp_path).check()
            assert "\n" not in str(caught.value)
            assert "make them anew by python -m ncf.data shards=" in str(caught.value)
        path.write_bytes(sound)
    again(tmp_path).check()


def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path) -> None:
    made(tmp_path, 2)
    path = tmp_path / "toy.shards" / shards.MANIFEST
    path.write_text(path.read_text().replace('"name": "toy"', '"name": "tow"'))
    with pytest.raises(
        DataError, match=r"manifest\.json: damaged .its content does not match its SHA-256.; make them anew"
    ):
        again(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("first_rows", [0, 10**6]), ("first_users", [0]), ("items", 31), ("rows", 5), ("format", 2), ("more", 1)],
)
def test_a_forged_manifest_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    made(tmp_path, 2)
    path = tmp_path / "toy.shards" / shards.MANIFEST
    content = json.loads(path.read_text()) | {key: value}
    del content["sha256"]
    path.write_text(json.dumps({**content, "sha256": shards._digest(content)}))
    with pytest.raises(DataError, match="damaged"):
        again(tmp_path)


def test_shards_that_are_there_are_not_made_again_and_damaged_or_other_ones_are(tmp_path: Path) -> None:
    place = Address(tmp_path / "toy.shards", None)
    made(tmp_path, 2)
    prepare(place, 2, never)
    assert len(prepare(place, 3, lambda: SPLIT).manifest.first_rows) == 3
    (place.folder / "shard-0001/train.items.npy").write_bytes(b"")
    made(tmp_path, 3).check()
    shutil.rmtree(place.folder)
    place.folder.write_text("of somebody else")
    with pytest.raises(DataError, match="expected a folder of shards or none, found something else"):
        prepare(place, 3, never)
    assert place.folder.read_text() == "of somebody else"
    assert {p.name for p in tmp_path.iterdir()} == {"toy.shards", "toy.shards.lock"}


def test_a_link_to_another_disk_is_followed_and_never_emptied(tmp_path: Path) -> None:
    made(tmp_path, 2)
    (tmp_path / "toy.shards").rename(tmp_path / "elsewhere")
    (tmp_path / "toy.shards").symlink_to(tmp_path / "elsewhere")
    again(tmp_path).check()
    made(tmp_path, 3).check()
    assert not (tmp_path / "toy.shards").is_symlink()
    assert (tmp_path / "elsewhere" / shards.MANIFEST).exists()
    assert {p.name for p in tmp_path.iterdir()} == {"toy.shards", "toy.shards.lock", "elsewhere"}


def slowly(tmp_path: Path, calls: int) -> None:
    """Make shards, and be killed at the start of the file `calls` + 1."""
    left, write = iter(range(calls)), shards._save

    def save(path: Path, array: np.ndarray) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, array)

    shards._save = save  # in a process of its own
    made(tmp_path, 3)


@pytest.mark.parametrize("calls", [0, 5, 12])
@pytest.mark.parametrize("before", [None, 2])
def test_a_killed_writer_leaves_what_was_there_and_its_scraps_are_removed(
    calls: int, before: int | None, tmp_path: Path
) -> None:
    if before is not None:
        made(tmp_path, before)
    victim = FORK.Process(target=slowly, args=(tmp_path, calls))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    found = shards.find(Address(tmp_path / "toy.shards", None))
    assert (None if found is None else len(found.manifest.first_rows)) == before
    assert len(made(tmp_path, 3).manifest.first_rows) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"toy.shards", "toy.shards.lock"}


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with full_disk(100), pytest.raises(DataError, match=r"cannot write .*data\.root sets the folder"):
        made(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["toy.shards.lock"]


def addressed(*overrides: str) -> Address:
    cfg = compose(overrides)
    data, split = component("data", DATASETS, cfg.data), component("split", SPLITS, cfg.split)
    return shards.address({"data": plain(cfg.data), "split": plain(cfg.split)}, data, split)


def test_other_settings_have_other_shards_and_the_root_only_moves_them(tmp_path: Path) -> None:
    base = ["data=ml-1m", f"data.root={tmp_path}"]
    others = [
        [], ["data.threshold=3"], ["split.ties=item_id"], ["split=ratio"], ["split=ratio", "split.seed=1"],
        ["split=temporal"], ["data.min_user_positives=5"], ["data.duplicates=last"], ["data=ml-10m"], ["split.back=1"],
    ]  # fmt: skip
    found = [addressed(*base, *more).folder for more in others]
    assert len(set(found)) == len(found)
    assert all(folder.parent == tmp_path / "processed" for folder in found)
    assert addressed("data=ml-1m", "data.root=x").folder == Path("x/processed") / found[0].name
    assert addressed(*base, "data.threshold=4.0").folder == found[0]  # as the conf has it: 4
    assert addressed(*base, "data.archive=/elsewhere.zip").folder == found[0]  # with the SHA-256 of the release


def test_an_archive_that_nothing_pins_is_known_by_its_path_size_and_time(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    base = [f"data.archive={archive}", "data.sha256=null", f"data.root={tmp_path}"]
    in_shards(["data=ml-1m", *base], 2)
    assert shards.find(addressed("data=ml-1m", *base)) is not None
    write_zip(archive, members("ml-1m", ratings_text("ml-1m", ((1, 10, 5, 100), (1, 20, 5, 200), (1, 30, 5, 300)))))
    with pytest.raises(DataError, match="the data has changed since these shards were made; make them anew by"):
        shards.find(addressed("data=ml-1m", *base))
    assert "2 shards of 1 training positives of 1 users" in in_shards(["data=ml-1m", *base], 2)
    archive.unlink()  # they are read without it
    assert shards.find(addressed("data=ml-1m", *base)) is not None
    shutil.move(write_zip(tmp_path / "b.zip", members("ml-1m")), tmp_path / "other.zip")
    other = addressed("data=ml-1m", f"data.archive={tmp_path / 'other.zip'}", *base[1:])
    assert shards.find(other) is None


def test_the_command_makes_them_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = ["data=synthetic", f"data.root={tmp_path}", "data.users=50", "data.items=40", "data.interactions=400"]
    main([*drawn, "shards=3"])
    first = capsys.readouterr().out
    assert "3 shards of 300 training positives of 50 users in " in first
    (made_at,) = (tmp_path / "processed").glob("*.shards")
    before = (made_at / shards.MANIFEST).stat().st_mtime_ns
    main([*drawn, "--shards", "3"])
    assert capsys.readouterr().out == first
    assert (made_at / shards.MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize(("count", "said"), [("0", "expected 1 to 10,000, got 0"), ("x", "expected a whole number")])
def test_a_wrong_number_is_refused(count: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"shards: {said}"):
        main([f"data.root={tmp_path}", f"shards={count}"])


def test_data_without_a_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data: expected one with data\.root, .* got own"):
        shards.address({"data": {"name": "own"}}, partial(lambda: None), partial(lambda: None))
