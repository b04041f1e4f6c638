"""Shares: together the whole, each in its place; who is asked for which; who tells of an error."""

import argparse
import logging
import time

import pytest

from ncf.core import shares
from ncf.core.command_line import Parser
from ncf.core.shares import Share, asked, speaking
from ncf.errors import ConfigError


def launched(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    """As torchrun starts a process."""
    for name, value in {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 60, 61])
@pytest.mark.parametrize("count", [1, 2, 6, 7, 60, 1001])
def test_shares_follow_one_another_and_differ_by_at_most_one(count: int, parts: int) -> None:
    bounds = [Share(part, parts).of(count) for part in range(parts)]
    assert [first for first, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == count
    sizes = {end - first for first, end in bounds}
    assert max(sizes) - min(sizes) <= 1


def test_names_of_files_sort_as_parts_do() -> None:
    names = [Share(part, 12000).file_name(".parquet") for part in (0, 9, 10, 9999, 11999)]
    assert names == sorted(names)
    assert names[1] == "part-00009-of-12000.parquet"


def test_the_share_is_that_of_the_option_or_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(None) is None
    assert asked("3/8") == Share(3, 8)
    launched(monkeypatch, 1, 2)
    assert asked(None) == Share(1, 2, several=True)
    with pytest.raises(ConfigError, match=r"^part: not allowed with 2 processes of torchrun, each of which is a part$"):
        asked("1/2")
    launched(monkeypatch, 0, 1)
    assert asked(None) is None


@pytest.mark.parametrize("text", ["8/8", "1", "/", "1/0", "-1/2", "1/2/3", "1/100000", "a/b", "1.0/2", "٣/8", ""])
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^part: expected a number and how many there are, as 0/8 to 7/8 for eight parts, got '"
    ):
        asked(text)


def test_only_rank_0_speaks_of_progress_but_each_task_of_an_array_does() -> None:
    assert [Share(part, 3, several=True).speaks for part in range(3)] == [True, False, False]
    assert Share(2, 3).speaks


def test_rank_0_tells_of_an_error_at_once_and_another_only_if_it_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    warned: list[bool] = []
    monkeypatch.setattr(time, "sleep", waited.append)

    def fail() -> None:
        with speaking():
            warned.append(logging.getLogger().isEnabledFor(logging.WARNING))
            raise ConfigError("x: no")

    for rank, waits in ((0, 0), (1, 1)):
        launched(monkeypatch, rank, 2)
        with pytest.raises(ConfigError, match=r"^x: no$"):
            fail()
        assert len(waited) == waits
    assert waited[0] >= shares._PATIENCE
    assert warned == [True, False]
    assert logging.getLogger().isEnabledFor(logging.WARNING)


def test_the_option_is_spelled_as_others_are() -> None:
    options = Parser("ncf.x", "X.")
    shares.add_option(options, "the users")
    assert options.parse(["part=3/8"]) == argparse.Namespace(part="3/8")
