"""Signs of life: processes wait for one that works alone while it lives, and no longer."""

import itertools
import threading
import time
from datetime import timedelta

import pytest
import torch.distributed as dist
from several import require_torchrec

require_torchrec()

from ncf.training.distributed import life

WITHIN = timedelta(seconds=0.3)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dist.HashStore:
    """A store of threads that stand for processes, all at the same meeting."""
    own = dist.HashStore()
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: own)
    monkeypatch.setattr(life, "_meetings", itertools.repeat(0))
    monkeypatch.setattr(life, "EVERY", 0.05)
    return own


def late(seconds: float, shows: bool) -> threading.Thread:
    """Rank 1, which works alone for this long and meets then; with signs of life or without."""

    def work() -> None:
        if shows:
            with life.alive(1):
                time.sleep(seconds)
                life.meet(2, WITHIN)
        else:
            time.sleep(seconds)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_one_that_lives_is_waited_for() -> None:
    other, begin = late(1.0, shows=True), time.monotonic()
    with life.alive(0):
        life.meet(2, WITHIN)
    assert time.monotonic() - begin >= 0.9
    other.join()


def test_one_that_shows_no_sign_of_life_is_not() -> None:
    other, begin = late(1.0, shows=False), time.monotonic()
    with pytest.raises(dist.DistError, match="rank 1 shows no sign of life"), life.alive(0):
        life.meet(2, WITHIN)
    assert time.monotonic() - begin < 0.9
    other.join()


def test_signs_end_with_the_context(store: dist.HashStore) -> None:
    with life.alive(3):
        time.sleep(0.2)
    count = store.add("ncf/alive/3", 0)
    assert count >= 1
    time.sleep(0.15)
    assert store.add("ncf/alive/3", 0) == count


def test_without_the_store_of_a_killed_torchrun_nobody_is_called_lost(
    store: dist.HashStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> int:
        raise dist.DistNetworkError("Connection was likely closed")

    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: type("Store", (), {"add": gone}))
    with life.alive(0):
        life.meet(2, WITHIN)
