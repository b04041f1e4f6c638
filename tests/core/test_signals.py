"""The stop flag: set by the four signals, and by nothing else; the former handlers come back."""

import os
import signal

import pytest

from ncf.core.signals import STOPPED, handling, stop_flag, unwinding


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_each_signal_sets_the_flag_and_does_nothing_else(number: int) -> None:
    with stop_flag() as stopped:
        assert not stopped()
        os.kill(os.getpid(), number)
        assert stopped()
        os.kill(os.getpid(), number)
        assert stopped()


def test_former_handlers_come_back_even_after_an_error() -> None:
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    with pytest.raises(KeyError), stop_flag():
        raise KeyError
    assert {number: signal.getsignal(number) for number in former} == former


def test_a_handler_of_ones_own_gets_each_stop_signal_and_no_other() -> None:
    seen: list[int] = []
    other = signal.getsignal(signal.SIGUSR2)
    with handling(lambda number, frame: seen.append(number)):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGUSR2) is other
    assert seen == [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]


def test_the_exit_status_is_neither_success_nor_a_failure() -> None:
    assert STOPPED == 75


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_flag() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_unwinds_with_the_shells_status(number: signal.Signals) -> None:
    cleaned = []

    def ended() -> None:
        with unwinding():
            try:
                os.kill(os.getpid(), number)
            finally:
                cleaned.append(True)

    with pytest.raises(SystemExit) as caught:
        ended()
    assert caught.value.code == 128 + number
    assert cleaned
