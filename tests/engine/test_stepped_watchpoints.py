"""Watchpoints on a host whose engine has none: they stop where an engine's watchpoints would, and change nothing."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.debug.target import Access, Reason, Watchpoint
from arm_vcpu_cli.engine import watchpoint_trial
from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from tests.support.tools import missing

from .test_exact_control import Place, Ran, assert_same, run
from .test_history import Traveller, travelling
from .test_snapshot_contract import SUBJECTS
from .test_watched_machine import BOTH, CONSOLE, RAM, RAM_SIZE, watch

NAMES = ("exits", "paging", "four CPUs that wait")


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchpoint_trial, "notices_accesses", lambda: False)


@pytest.mark.usefixtures("unable")
def test_a_run_with_stops_at_accesses_is_the_same() -> None:
    places: list[Place] = [(0, 0)]
    plain: Ran = run(SUBJECTS["exits"])
    assert_same(run(SUBJECTS["exits"], watch, places), plain)
    assert len(places) > 1


def stops(machine: Traveller, watched: tuple[Watchpoint, ...]) -> list[tuple[str, int, int, int]]:
    """The first stops of a run, each with the address that is accessed and the place of the instruction."""
    control = machine.control
    control.goto(600)
    control.set_watchpoints(watched)
    control.set_breakpoints((control.read_register(control.current, "pc") + 8,), ())
    found = []
    for _ in range(60):
        stop = control.resume()
        if stop.reason is Reason.ENDED:
            break
        found.append((stop.reason.value, stop.address, machine.now, control.read_register(stop.vcpu, "pc")))
    return found


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE, BOTH])
@pytest.mark.parametrize("name", NAMES)
def test_stops_are_those_of_an_engine_that_has_them(name: str, access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    watched = (Watchpoint(RAM, RAM_SIZE, access), CONSOLE)
    with travelling(SUBJECTS[name]) as able:
        expected = stops(able, watched)
    monkeypatch.setattr(watchpoint_trial, "notices_accesses", lambda: False)
    with travelling(SUBJECTS[name]) as unable:
        found = stops(unable, watched)
    assert found == expected
    assert found


@pytest.mark.usefixtures("unable")
def test_they_are_hit_on_the_way_back() -> None:
    with travelling(SUBJECTS["exits"]) as machine:
        forward = stops(machine, (CONSOLE,))
        assert machine.control.reverse_resume().reason in (Reason.WATCHPOINT, Reason.SOFTWARE_BREAKPOINT)
        assert machine.now == forward[-2][2]
