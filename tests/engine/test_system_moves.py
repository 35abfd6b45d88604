"""MRS and MSR that the machine executes in place of the core, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.el1regs import CntCtl, Cntkctl
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ
from arm_vcpu_cli.devices.timer import GenericTimer
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.system_moves import SystemMoves
from tests.support.manual_clock import Line, ManualClock

from .harness import EL0T, EL1H, EL1T, LOWER_64, Guest, is_call

NOW = 0x1234_5678_9ABC
SYSTEM, UNKNOWN = 0x18, 0x00
"""ESR_ELx.EC of a trapped MRS or MSR, and of an undefined instruction."""
ENABLE, IMASK, ISTATUS = (int(CntCtl.of(**{name: 1})) for name in ("ENABLE", "IMASK", "ISTATUS"))
TIMERS = ("cntv", "cntp")
MODES = {"EL1h": EL1H, "EL1t": EL1T}
M64 = (1 << 64) - 1


class Machine:
    """A guest with a timer behind its registers."""

    def __init__(self, *, model: str = "cortex-a72", random: RandomNumbers | None = None) -> None:
        self.guest = Guest("timer", model=model)
        self.clock = ManualClock(NOW)
        self.lines = {"cntv": Line(), "cntp": Line()}
        self.timer = GenericTimer(self.clock, virtual=self.lines["cntv"], physical=self.lines["cntp"])
        self.reads = 0
        self.changes = 0
        core = self.guest.core
        core.count_instructions()
        moves = SystemMoves(core, self.timer.handlers, random=random, spend=self._read, changed=self._changed)
        core.set_move_hook(moves.crns(), moves)

    def _read(self) -> None:
        self.reads += 1

    def _changed(self) -> None:
        self.changes += 1

    def read(self, name: str, *, mode: int = EL1H) -> int:
        """The register as the guest reads it."""
        assert is_call(self.guest.start(f"read_{name}", mode=mode, x={0: 0xBAD}))
        assert self.guest.finished(f"read_{name}")
        return self.guest.x(0)

    def write(self, name: str, value: int, *, mode: int = EL1H) -> None:
        """Have the guest write it."""
        assert is_call(self.guest.start(f"write_{name}", mode=mode, x={0: value}))
        assert self.guest.finished(f"write_{name}")

    def at_el0(self, place: str, cntkctl: int, value: int = 0) -> bool:
        """Whether the instruction at a place is carried out at EL0, with CNTKCTL_EL1 written by the guest before."""
        self.write("cntkctl", cntkctl)
        assert is_call(self.guest.start(place, mode=EL0T, x={0: value}))
        assert self.guest.slot == LOWER_64
        if self.guest.finished(place):
            return True
        assert self.guest["ELR_EL1"] == self.guest.label(place), "a trapped instruction is not stepped over"
        return False


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    with made.guest:
        yield made


# Counters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("counter", ["cntvct", "cntpct"])
def test_a_counter_is_that_of_the_machine(machine: Machine, counter: str, mode: int) -> None:
    assert machine.read(counter, mode=mode) == NOW
    machine.clock.now += 5
    assert machine.read(counter, mode=mode) == NOW + 5


def test_the_virtual_counter_is_behind_by_its_offset(machine: Machine) -> None:
    machine.timer.offset = NOW + 1
    assert machine.read("cntvct") == M64
    assert machine.read("cntpct") == NOW


def test_reading_a_counter_takes_time_and_nothing_else_does(machine: Machine) -> None:
    """Guests delay themselves by reading it over and over."""
    machine.read("cntvct")
    machine.read("cntpct")
    assert machine.reads == 2
    machine.read("cntv_ctl")
    machine.read("cntfrq")
    assert machine.reads == 2


def test_the_frequency_is_that_of_the_counter(machine: Machine) -> None:
    assert machine.read("cntfrq") == COUNTER_HZ


@pytest.mark.parametrize("counter", ["cntvct", "cntpct", "cntfrq"])
def test_a_counter_that_is_written_is_undefined(machine: Machine, counter: str) -> None:
    assert is_call(machine.guest.start(f"write_{counter}", x={0: 1}))
    assert machine.guest.slot is not None
    assert machine.guest.ec == UNKNOWN
    assert machine.guest["ELR_EL1"] == machine.guest.label(f"write_{counter}")
    assert machine.read("cntfrq") == COUNTER_HZ


def test_a_counter_that_is_read_to_nowhere_changes_nothing(machine: Machine) -> None:
    before = {number: 0x1111 * number for number in range(31)}
    assert is_call(machine.guest.start("read_cntvct_to_xzr", x=before))
    assert {number: machine.guest.x(number) for number in range(31)} == before


# Timers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("value", [0, 1, NOW, 1 << 63, M64])
def test_a_compare_value_reads_back(machine: Machine, timer: str, value: int) -> None:
    machine.write(f"{timer}_cval", value)
    assert machine.read(f"{timer}_cval") == value


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize(
    ("value", "distance"), [(100, 100), (0xFFFF_FFFF, -1), (0x1_0000_0005, 5), (0x8765_4321, 0x8765_4321 - (1 << 32))]
)
def test_a_timer_value_is_a_signed_distance_of_32_bits(machine: Machine, timer: str, value: int, distance: int) -> None:
    machine.write(f"{timer}_tval", value)
    assert machine.read(f"{timer}_cval") == NOW + distance
    machine.clock.now += 3
    assert machine.read(f"{timer}_tval") == (distance - 3) & 0xFFFF_FFFF


@pytest.mark.parametrize("timer", TIMERS)
def test_the_condition_shows_and_raises_the_line_unless_masked(machine: Machine, timer: str) -> None:
    line = machine.lines[timer]
    machine.write(f"{timer}_cval", NOW)
    assert machine.read(f"{timer}_ctl") == 0
    machine.write(f"{timer}_ctl", M64 & ~IMASK)
    assert machine.read(f"{timer}_ctl") == ENABLE | ISTATUS
    assert line.level
    machine.write(f"{timer}_ctl", ENABLE | IMASK)
    assert machine.read(f"{timer}_ctl") == ENABLE | IMASK | ISTATUS
    assert not line.level
    machine.write(f"{timer}_ctl", ENABLE)
    machine.write(f"{timer}_cval", NOW + 1)
    assert machine.read(f"{timer}_ctl") == ENABLE
    assert not line.level


@pytest.mark.parametrize("timer", TIMERS)
def test_each_write_is_followed_by_a_look_at_the_lines(machine: Machine, timer: str) -> None:
    machine.write(f"{timer}_ctl", ENABLE)
    machine.write(f"{timer}_cval", 5)
    machine.write(f"{timer}_tval", 5)
    assert machine.changes == 3
    machine.read(f"{timer}_ctl")
    assert machine.changes == 3


def test_the_two_timers_are_not_one(machine: Machine) -> None:
    machine.write("cntv_cval", 111)
    machine.write("cntp_cval", 222)
    machine.write("cntp_ctl", IMASK)
    assert (machine.read("cntv_cval"), machine.read("cntp_cval")) == (111, 222)
    assert (machine.read("cntv_ctl"), machine.read("cntp_ctl")) == (0, IMASK)


def test_xzr_is_written_as_zero(machine: Machine) -> None:
    machine.write("cntv_cval", 7)
    assert is_call(machine.guest.start("write_cntv_cval_from_xzr"))
    assert machine.read("cntv_cval") == 0


def test_a_request_made_by_a_write_stops_the_guest_behind_it() -> None:
    machine = Machine()
    with machine.guest as guest:
        core = guest.core
        moves = SystemMoves(core, machine.timer.handlers, random=None, spend=lambda: None, changed=core.request_stop)
        core.set_move_hook(moves.crns(), moves)
        guest.prepare("write_cntv_cval", x={0: 77})
        guest.run()
        assert guest.pc in (guest.label("write_cntv_cval") + 4, guest.label("write_cntv_cval") + 8)
        assert machine.timer.read(lookup("CNTV_CVAL_EL0")) == 77


# EL0 ---------------------------------------------------------------------------------------------------------------

EL0_ENABLES = {
    "read_cntvct": "EL0VCTEN",
    "read_cntpct": "EL0PCTEN",
    "read_cntv_ctl": "EL0VTEN",
    "write_cntv_ctl": "EL0VTEN",
    "read_cntv_cval": "EL0VTEN",
    "write_cntv_cval": "EL0VTEN",
    "read_cntv_tval": "EL0VTEN",
    "write_cntv_tval": "EL0VTEN",
    "read_cntp_ctl": "EL0PTEN",
    "write_cntp_ctl": "EL0PTEN",
    "read_cntp_cval": "EL0PTEN",
    "write_cntp_cval": "EL0PTEN",
    "read_cntp_tval": "EL0PTEN",
    "write_cntp_tval": "EL0PTEN",
}


@pytest.mark.parametrize(("place", "field"), EL0_ENABLES.items(), ids=EL0_ENABLES)
def test_el0_may_what_cntkctl_says(machine: Machine, place: str, field: str) -> None:
    enabled = int(Cntkctl.of(**{field: 1}))
    others = int(Cntkctl.of(EL0PCTEN=1, EL0VCTEN=1, EL0VTEN=1, EL0PTEN=1)) & ~enabled
    assert machine.at_el0(place, enabled)
    assert not machine.at_el0(place, others)
    assert machine.guest.ec == SYSTEM
    assert machine.guest.iss & 1 == place.startswith("read")


@pytest.mark.parametrize("place", [place for place in EL0_ENABLES if place.startswith("write")])
def test_what_el0_may_not_write_stays(machine: Machine, place: str) -> None:
    register = place.removeprefix("write_")
    machine.write(register, IMASK)
    before = machine.read(register)
    assert not machine.at_el0(place, 0, value=0)
    assert machine.read(register) == before


@pytest.mark.parametrize("field", ["EL0PCTEN", "EL0VCTEN"])
def test_el0_reads_the_frequency_where_it_may_read_a_counter(machine: Machine, field: str) -> None:
    assert not machine.at_el0("read_cntfrq", 0)
    assert machine.guest.ec == SYSTEM
    assert machine.at_el0("read_cntfrq", int(Cntkctl.of(**{field: 1})))


def test_el0_does_not_give_itself_access(machine: Machine) -> None:
    assert not machine.at_el0("write_cntkctl", 0, value=M64)
    assert machine.guest.ec == UNKNOWN
    assert is_call(machine.guest.start("read_cntvct", mode=EL0T))
    assert machine.guest.ec == SYSTEM
    assert machine.guest["CNTKCTL_EL1"] == 0


def test_access_that_was_set_before_the_hook_counts() -> None:
    with Guest("timer") as guest:
        guest["CNTKCTL_EL1"] = int(Cntkctl.of(EL0VCTEN=1))
        timer = GenericTimer(ManualClock(NOW), virtual=Line(), physical=Line())
        moves = SystemMoves(guest.core, timer.handlers, random=None, spend=lambda: None, changed=lambda: None)
        guest.core.set_move_hook(moves.crns(), moves)
        assert is_call(guest.start("read_cntvct", mode=EL0T))
        assert guest.finished("read_cntvct")
        assert guest.x(0) == NOW


# Random numbers ----------------------------------------------------------------------------------------------------


def test_random_numbers_follow_from_the_seed() -> None:
    with Machine(model="max", random=RandomNumbers("seed")).guest as guest:
        expected = RandomNumbers("seed")
        for place in ("read_rndr", "read_rndrrs", "read_rndr"):
            assert is_call(guest.start(place))
            assert guest.finished(place)
            assert guest.x(0) == expected.getrandbits(64)


@pytest.mark.parametrize("mode", [EL1H, EL0T], ids=["EL1", "EL0"])
def test_a_random_number_clears_the_flags(mode: int) -> None:
    with Machine(model="max", random=RandomNumbers(1)).guest as guest:
        guest.start("random", mode=mode)
        assert guest.x(0) == RandomNumbers(1).getrandbits(64)
        assert guest.x(1) == 0


def test_a_cpu_without_random_numbers_has_none(machine: Machine) -> None:
    for place in ("read_rndr", "write_rndr"):
        assert is_call(machine.guest.start(place))
        assert machine.guest.ec == UNKNOWN
        assert machine.guest["ELR_EL1"] == machine.guest.label(place)


def test_a_random_number_cannot_be_written() -> None:
    with Machine(model="max", random=RandomNumbers(1)).guest as guest:
        assert is_call(guest.start("write_rndr"))
        assert guest.ec == UNKNOWN


# What a hook raises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["read_cntvct", "write_cntv_cval"])
def test_what_a_handler_raises_comes_out_of_run(place: str) -> None:
    class Broken:
        def read(self, encoding: int) -> int | None:
            raise ArithmeticError("read")

        def write(self, encoding: int, value: int) -> bool:
            raise ArithmeticError("write")

    with Guest("timer") as guest:
        guest.core.set_move_hook({14}, Broken())
        with pytest.raises(ArithmeticError):
            guest.start(place)


def test_only_the_wanted_registers_come_to_the_handler() -> None:
    seen: list[int] = []

    class Curious:
        def read(self, encoding: int) -> int | None:
            seen.append(encoding)
            return None

        def write(self, encoding: int, value: int) -> bool:
            seen.append(encoding)
            return False

    with Guest("timer", model="max") as guest:
        guest.core.set_move_hook({2}, Curious())
        for place in ("read_cntv_cval", "write_cntv_cval", "read_cntkctl"):
            guest.start(place)
        assert seen == []
        guest.start("read_rndr")
        assert seen == [lookup("RNDR").packed]
