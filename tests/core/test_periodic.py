"""What is done again and again is done during the context, and not after it, however that ends."""

import threading
import time

import pytest

from ncf.core.periodic import every


def test_it_is_done_until_the_context_ends() -> None:
    done, enough = [], threading.Event()

    def act() -> None:
        done.append(threading.current_thread())
        if len(done) == 3:
            enough.set()

    def fail_later() -> None:
        assert enough.wait(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), every(0.001, act):
        fail_later()
    count = len(done)
    assert not done[0].is_alive()
    time.sleep(0.02)
    assert len(done) == count
    assert threading.current_thread() not in done


def test_nothing_is_done_before_the_time() -> None:
    with every(1000, lambda: pytest.fail("too early")):
        pass
