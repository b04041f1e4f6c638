"""The processes of a run: one alone is a group, errors are agreed on, and a lost partner is told from other errors."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec

require_torchrec()

from ncf.errors import FileError, TrainingError
from ncf.training.distributed import Group, LostError, agreed, as_lost


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """This process alone."""
    monkeypatch.delenv("RANK", raising=False)
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


def test_one_process_is_a_group(group: Group) -> None:
    assert group == Group(0, 1, torch.device("cpu"))
    assert Group.join(torch.device("cpu")) == group  # once more
    assert group.from_first({"epoch": 3}) == {"epoch": 3}
    assert group.sum(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_an_error_of_its_own_is_raised_as_it_is_and_marked(group: Group) -> None:
    error = FileError("disk full")
    with pytest.raises(FileError) as caught, agreed(group):
        raise error
    assert caught.value is error
    assert error.agreed  # type: ignore[attr-defined]
    with agreed(group):
        pass


def test_an_error_of_another_process_is_raised_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(found: list, own: object) -> None:
        found[:] = [own, ("FileError", "disk full"), ("FileError", "too")]

    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr("ncf.training.distributed.group.alive", lambda rank: nullcontext())
    met: list[int] = []
    monkeypatch.setattr("ncf.training.distributed.group.meet", lambda size, within: met.append(size))
    with pytest.raises(TrainingError, match=r"^rank 1: disk full$"), agreed(Group(0, 3, torch.device("cpu"))):
        pass
    assert met == [3]  # however long they take


def test_only_the_errors_of_a_gone_partner_are_of_a_lost_process(group: Group) -> None:
    found = []
    for _ in range(2):
        with pytest.raises(LostError, match="go on with this command") as caught, as_lost(group, "this command"):
            raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
        found.append(caught.value.first)
    assert found == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "Application timeout caused pair closure",  # said of a partner that did not answer the time before
        "[gloo/transport/tcp/unbound_buffer.cc] Timed out waiting 300000ms for recv operation to complete",
        "Broken pipe",
    ],
)
def test_what_is_said_of_a_gone_partner_is_understood(text: str, group: Group) -> None:
    with pytest.raises(LostError), as_lost(group, "this command"):
        raise RuntimeError(text)


def test_another_is_not_lost_news_once_a_process_has_ended_by_an_error_of_its_own(group: Group) -> None:
    with pytest.raises(FileError), as_lost(group, "this command"):
        raise FileError("disk full")
    with pytest.raises(LostError) as caught, as_lost(group, "this command"):
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    assert not caught.value.first


def test_other_errors_stay_what_they_are(group: Group) -> None:
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), FileError("gloo.csv: not found")):
        with pytest.raises(type(error)) as other, as_lost(group, "this command"):
            raise error
        assert other.value is error
