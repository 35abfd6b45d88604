"""The state of devices as plain data: another one that loads it continues like the first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import CR, DMACR, DR, FR, ICR, IFLS, IMSC, LCR_H, MIS, RIS
from arm_vcpu_cli.devices.pl031 import Pl031
from arm_vcpu_cli.devices.regions import Scratch
from arm_vcpu_cli.devices.timer import GenericTimer
from tests.support.manual_clock import Line, ManualClock

HZ = 62_500_000
WORDS = st.integers(0, (1 << 32) - 1) | st.sampled_from([0, 1, 0x10, 0x50, 0x301, 1 << 31])
U64 = st.integers(0, (1 << 64) - 1) | st.integers(0, 1000)
Step = tuple[str, int, int]


class Subject(Protocol):
    """A device with what is around it."""

    @property
    def device(self) -> Any:
        """The device itself."""

    def perform(self, step: Step) -> object:
        """Do it; what can be seen of it."""

    def surroundings(self) -> object:
        """What is state of others, to be given to :meth:`surround`."""

    def surround(self, state: Any) -> None:
        """Be in such surroundings."""


class Uart:
    """A PL011 on a wire with bytes to come."""

    def __init__(self) -> None:
        self.coming: deque[int] = deque()
        self.sent: list[int] = []
        self.waits = 0
        self.line = Line()
        self.device = Pl011(self, self.line)

    def send(self, byte: int) -> None:
        self.sent.append(byte)

    def receive(self) -> int | None:
        return self.coming.popleft() if self.coming else None

    def waiting(self) -> bool:
        return bool(self.coming)

    def wait(self) -> None:
        self.waits += 1

    def perform(self, step: Step) -> object:
        kind, number, value = step
        seen: object = None
        if kind == "arrive":
            self.coming.append(value & 0xFF)
            self.device.poll()
        elif kind == "write":
            self.device.write(number, 4, value)
        else:
            seen = [self.device.read(number, 4) for _ in range(value % 300)]
        return seen, self.line.level, len(self.sent), self.waits

    def surroundings(self) -> object:
        return list(self.coming), self.line.level, list(self.sent), self.waits

    def surround(self, state: Any) -> None:
        self.coming.extend(state[0])
        self.line(state[1])
        self.sent[:], self.waits = state[2:]


class Timed:
    """A device with a clock."""

    clock: ManualClock
    device: Any

    def perform(self, step: Step) -> object:
        kind, number, value = step
        seen: object = None
        if kind == "advance":
            self.clock.advance(self.clock.now + value)
        elif kind == "write":
            self.write(number, value)
        else:
            seen = self.read(number)
        return seen, self.levels(), self.clock.deadline

    def surroundings(self) -> object:
        return self.clock.now, [alarm.at for alarm in self.clock.alarms], self.levels()

    def surround(self, state: Any) -> None:
        self.clock.now, due, levels = state
        for alarm, at in zip(self.clock.alarms, due, strict=True):
            alarm.at = at
        for line, level in zip(self.lines(), levels, strict=True):
            line(level)

    def levels(self) -> list[bool]:
        return [line.level for line in self.lines()]

    def lines(self) -> list[Line]:
        raise NotImplementedError

    def read(self, number: int) -> object:
        raise NotImplementedError

    def write(self, number: int, value: int) -> None:
        raise NotImplementedError


class Rtc(Timed):
    """A PL031."""

    def __init__(self) -> None:
        self.clock, self.line = ManualClock(), Line()
        self.device = Pl031(self.clock, self.line, now=1_000)

    def lines(self) -> list[Line]:
        return [self.line]

    def read(self, number: int) -> object:
        return self.device.read(number & ~3, 4)

    def write(self, number: int, value: int) -> None:
        self.device.write(number & ~3, 4, value)


class Timer(Timed):
    """A generic timer."""

    def __init__(self) -> None:
        self.clock, self.virtual, self.physical = ManualClock(), Line(), Line()
        self.device = GenericTimer(self.clock, virtual=self.virtual, physical=self.physical)
        self.registers = tuple(self.device.handlers)

    def lines(self) -> list[Line]:
        return [self.virtual, self.physical]

    def read(self, number: int) -> object:
        return self.device.read(self.registers[number % len(self.registers)]), self.device.offset

    def write(self, number: int, value: int) -> None:
        if number == 31:
            self.device.offset = value
        elif number == 30:
            self.device.reset()
        else:
            self.device.write(self.registers[number % len(self.registers)], value)


class Bytes:
    """A Scratch."""

    def __init__(self) -> None:
        self.device = Scratch(32)

    def perform(self, step: Step) -> object:
        kind, number, value = step
        if kind == "write":
            self.device.write(number, 4, value)
        return self.device.read(number, 4)

    def surroundings(self) -> object:
        return None

    def surround(self, state: Any) -> None: ...


UART_STEPS = st.tuples(
    st.sampled_from(["arrive", "write", "read"]),
    st.sampled_from([DR, FR, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR, DMACR]),
    WORDS,
)
TIMED_STEPS = st.tuples(st.just("advance"), st.just(0), st.integers(0, 100 * HZ)) | st.tuples(
    st.sampled_from(["write", "read"]), st.integers(0, 31), WORDS | U64
)
SUBJECTS: dict[str, tuple[Callable[[], Subject], st.SearchStrategy[Step]]] = {
    "uart": (Uart, UART_STEPS),
    "rtc": (Rtc, TIMED_STEPS),
    "timer": (Timer, TIMED_STEPS),
    "registers": (Bytes, st.tuples(st.sampled_from(["write", "read"]), st.integers(0, 31), WORDS)),
}


@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_device_that_loads_a_state_goes_on_like_the_one_that_saved_it(name: str, data: st.DataObject) -> None:
    make, steps = SUBJECTS[name]
    first, second = make(), make()
    for step in data.draw(st.lists(steps, max_size=20)):
        first.perform(step)
    state = first.device.save()
    second.device.load(state)
    second.surround(first.surroundings())
    assert second.device.save() == state
    assert second.surroundings() == first.surroundings(), "nobody was told of anything"
    for step in data.draw(st.lists(steps, max_size=20)):
        assert second.perform(step) == first.perform(step)
    assert second.device.save() == first.device.save()


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_is_no_state_is_refused_and_changes_nothing(name: str) -> None:
    device = SUBJECTS[name][0]().device
    state = device.save()
    bad_states: list[object] = [None, [], {}, {**state, "version": 99}, *({**state, key: object()} for key in state)]
    for bad in bad_states:
        with pytest.raises(ValueError, match=r"expected|no |is "):
            device.load(bad)
        assert device.save() == state
