"""Watching code on the real engine: the callback runs before each instruction there, and changes nothing."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.axvcpu.exit import Nothing
from arm_vcpu_cli.engine.port import StopReason

from .harness import EL0T, EL1H, Guest, Script, is_call
from .test_preemption import Result, finish_work, prepare_work, result_of

ADDITIONS = 4
"""Instructions at ``line`` that add 1 to x5."""


@pytest.mark.parametrize("mode", [EL1H, EL0T])
def test_it_is_called_before_each_instruction_of_the_range(mode: int) -> None:
    with Guest("exceptions", platform=Script()) as guest:
        seen: list[int] = []
        line = guest.label("line")
        guest.core.watch_code(line + 4, line + 8, seen.append)
        guest.start("line", mode=mode)
        assert seen == [line + 4, line + 8]
        assert guest.x(5) == ADDITIONS


def test_it_is_called_each_time() -> None:
    with Guest("preemption") as guest:
        seen: list[int] = []
        count = guest.label("count")
        guest.core.watch_code(count, count, seen.append)
        guest.start("count", x={0: 1000})
        assert seen == [count] * 1000


def test_code_that_has_been_executed_already_is_watched_too() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        guest.start("line")
        seen: list[int] = []
        guest.core.watch_code(guest.label("line"), guest.label("line"), seen.append)
        guest.start("line")
        assert seen == [guest.label("line")]


def test_several_may_watch_one_place_and_one_may_end() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        first: list[int] = []
        second: list[int] = []
        line = guest.label("line")
        end = guest.core.watch_code(line, line, first.append)
        guest.core.watch_code(line, line, second.append)
        guest.start("line")
        end()
        guest.start("line")
        assert (first, second) == ([line], [line] * 2)


def test_nobody_is_told_for_as_long_as_that_is_not_wanted() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        seen: list[int] = []
        line = guest.label("line")
        guest.core.watch_code(line, line, seen.append)
        guest.core.hush(True)
        guest.start("line")
        assert seen == []
        guest.core.hush(False)
        guest.start("line")
        assert seen == [line]


def test_system_registers_can_be_read_inside() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        seen: list[int] = []
        line = guest.label("line")
        guest.core.watch_code(line, line, lambda _pc: seen.append(guest.core.read_sysreg(lookup("VBAR_EL1"))))
        guest.start("line")
        assert seen == [guest.label("vectors")]


def test_a_watch_may_be_begun_inside_an_exit() -> None:
    """The vectors of a guest are, when it has moved them."""
    seen: list[int] = []

    class Beginning(Script):
        def hypercall(self, number: int, args: tuple[int, ...]) -> int:
            if not seen:
                guest.core.watch_code(place, place, seen.append)
            return 0

    with Guest("preemption", platform=Beginning()) as guest:
        place = guest.label("count_calls") + 8
        guest.vcpu.max_exits = 5
        assert guest.start("count_calls", x={0: 100}) == Nothing()
        # The instruction behind the hypercall, after each of the five but the one that was the last.
        assert seen == [place] * 4


def test_what_is_raised_inside_ends_the_run_and_is_raised_again() -> None:
    def fail(_pc: int) -> None:
        raise ZeroDivisionError

    with Guest("exceptions", platform=Script()) as guest:
        guest.core.watch_code(guest.label("line"), guest.label("line"), fail)
        with pytest.raises(ZeroDivisionError):
            guest.start("line")


@pytest.mark.parametrize("mode", [EL1H, EL0T])
@pytest.mark.parametrize(("number", "added"), [*enumerate((0, 1, 2, 2, 3, 4))])
def test_it_stops_before_any_instruction_of_a_block_with_exact_registers(mode: int, number: int, added: int) -> None:
    with Guest("exceptions", platform=Script()) as guest:
        place = guest.label("line") + 4 * number
        guest.core.stop_before(place, lambda: True)
        assert guest.start("line", mode=mode) == Nothing()
        assert guest.vcpu.stopped_by is StopReason.STOP
        assert (guest.vcpu.ctx.elr, guest.x(5)) == (place, added)


def test_it_stops_only_when_it_is_wanted_and_is_asked_each_time() -> None:
    with Guest("preemption") as guest:
        count, asked = guest.label("count"), list[int]()

        def wanted() -> bool:
            asked.append(count)
            return len(asked) == 700

        guest.core.stop_before(count, wanted)
        assert guest.start("count", x={0: 1000}) == Nothing()
        assert guest.vcpu.ctx.elr == count
        assert guest.x(0) == 1000 - 699


def test_it_stops_in_code_that_has_been_executed_already() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        guest.start("line")
        place = guest.label("line") + 8
        guest.core.stop_before(place, lambda: True)
        assert guest.start("line") == Nothing()
        assert guest.vcpu.ctx.elr == place


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=50)
        finish_work(guest)
        return result_of(guest)


def test_a_guest_that_is_watched_everywhere_computes_the_same(undisturbed: Result) -> None:
    with Guest("preemption") as guest:
        seen: list[int] = []
        prepare_work(guest, rounds=50)
        guest.core.watch_code(guest.label("work"), guest.label("block_callee"), seen.append)
        finish_work(guest)
        assert len(seen) > 50 * 60
        assert result_of(guest) == undisturbed


def test_vectors_are_seen_when_they_are_entered() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        seen: list[int] = []
        vectors = guest.label("vectors")
        guest.core.watch_code(vectors, vectors + 0x7FF, seen.append)
        assert is_call(guest.start("svc_0", mode=EL0T))
        assert seen == [vectors + 0x400]
