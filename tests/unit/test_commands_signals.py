"""The signals that stop the service."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from aurora_atlan.commands.signals import ForcedStop, StopSignals


def test_the_first_signal_asks_and_ends_the_waiting():
    with StopSignals() as signals:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

        assert signals.wait(30.0)
        assert signals.asked
        assert signals.wait(0.0)


def test_without_a_signal_waiting_ends_by_itself():
    with StopSignals() as signals:
        assert not signals.wait(0.01)
        assert not signals.asked


def test_the_second_signal_forces_and_a_third_is_ignored():
    with StopSignals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(ForcedStop):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_are_restored():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[0]

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_hang_up_asks_too_unless_it_is_ignored_as_under_nohup():
    # These tests may run under nohup themselves.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.wait(30.0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.asked
    finally:
        signal.signal(signal.SIGHUP, before)
