"""The log of a run: begun when the run is, and never led elsewhere."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncf.launch import log_file
from ncf.launch.log_file import LogFile


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogFile]:
    """The log `train.log` in `tmp_path`, set up for the process."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = LogFile(str(tmp_path / "train.log"))
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    handler.close()


def test_it_exists_from_the_first_record_or_the_beginning(handler: LogFile, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    log_file.begin()
    assert (tmp_path / "train.log").read_bytes() == b""
    # By itself: pytest's parallel workers cannot hand on a captured record that has half a surrogate pair.
    handler.handle(logging.makeLogRecord({"msg": "three \ud800 epochs \u2713"}))
    log_file.begin()
    assert (tmp_path / "train.log").read_bytes() == b"three \\ud800 epochs \xe2\x9c\x93\n"


def test_a_resumed_run_goes_on_with_it(handler: LogFile, tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("before\n")
    log_file.begin()
    logging.getLogger().error("after")
    assert (tmp_path / "train.log").read_text() == "before\nafter\n"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_left_alone_and_no_error(kind: str, handler: LogFile, tmp_path: Path) -> None:
    mine, log = tmp_path / "mine", tmp_path / "train.log"
    mine.write_text("mine\n")
    make = {"link": lambda: log.symlink_to(mine), "fifo": lambda: os.mkfifo(log), "folder": log.mkdir}
    make[kind]()
    log_file.begin()
    logging.getLogger().error("not to be seen")
    assert mine.read_text() == "mine\n"


def test_a_folder_that_has_gone_is_no_error(handler: LogFile, tmp_path: Path) -> None:
    handler.baseFilename = str(tmp_path / "gone" / "train.log")
    log_file.begin()
    logging.getLogger().error("not to be seen")
