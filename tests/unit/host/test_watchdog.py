"""Stopping a guest from outside."""

from __future__ import annotations

import os
import threading

import pytest

from arm_vcpu_cli.host.watchdog import StopCause, Watchdog

LONG_SECONDS = 60
"""A guard against a hang, never a measure."""


class Core:
    """Counts requests to stop; ``enough`` is set at the third."""

    def __init__(self) -> None:
        self.stops = 0
        self.enough = threading.Event()

    def stop(self) -> None:
        self.stops += 1
        if self.stops >= 3:
            self.enough.set()


def test_a_deadline_stops_the_guest_again_and_again() -> None:
    core = Core()
    with Watchdog(core.stop, timeout=0.001) as watchdog:
        assert core.enough.wait(LONG_SECONDS)
    assert watchdog.cause is StopCause.TIMEOUT
    assert watchdog.has_fired()


def test_a_request_stops_the_guest_again_and_again() -> None:
    core = Core()
    with Watchdog(core.stop) as watchdog:
        watchdog.interrupt()
        assert core.enough.wait(LONG_SECONDS)
    assert watchdog.cause is StopCause.INTERRUPT


def test_a_byte_on_its_descriptor_is_a_request() -> None:
    core = Core()
    with Watchdog(core.stop) as watchdog:
        os.write(watchdog.fileno(), b"\x02")
        assert core.enough.wait(LONG_SECONDS)
    assert watchdog.cause is StopCause.INTERRUPT


def test_a_run_that_ends_by_itself_is_not_stopped() -> None:
    core = Core()
    with Watchdog(core.stop, timeout=1000) as watchdog:
        pass
    assert (core.stops, watchdog.cause, watchdog.has_fired()) == (0, None, False)


def test_no_stop_comes_after_the_end_of_the_run() -> None:
    core = Core()
    with Watchdog(core.stop, timeout=0.001):
        assert core.enough.wait(LONG_SECONDS)
    stops = core.stops
    assert not any(thread.name == "armvcpu-watchdog" for thread in threading.enumerate())
    assert core.stops == stops


def test_more_requests_than_the_pipe_holds_are_not_an_error() -> None:
    watchdog = Watchdog(lambda: None)
    for _ in range(100_000):
        watchdog.interrupt()
    with watchdog:
        pass


@pytest.mark.parametrize("timeout", [1e12, 1e300, float("inf")])
def test_a_deadline_beyond_all_time_is_none(timeout: float) -> None:
    core = Core()
    with Watchdog(core.stop, timeout=timeout) as watchdog:
        watchdog.interrupt()
        assert core.enough.wait(LONG_SECONDS)
    assert watchdog.cause is StopCause.INTERRUPT
