"""The contract of saved machines: a new machine that loads the state continues exactly like the original."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli import api
from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.observe.attaching import attach_tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.inputlog import InputLog
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.snapshot import load_machine_state, load_run, save_machine, save_run

from .harness import DATA, GUARD_SECONDS, GUESTS

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLES: Final = ROOT.parent / "samples"
INTEGRATION: Final = ROOT / "integration" / "guests"
TRACED: Final = frozenset({"exit", "exception", "irq", "code"})
"""All that a guest does, without what the tracer makes of it over more than one exit."""
GICV2: Final = {"type": "gicv2"}
STORES, LOG = DATA + 0x1_0000, DATA
CONSOLE_SIZE: Final = 1 << 20


@dataclass(frozen=True)
class Subject:
    """A guest in a machine, the exits after which it is saved, and after how many the run ends (0: when it likes)."""

    guest: Path
    saves: tuple[int, ...]
    document: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    prepare: Callable[[Machine], None] = lambda _machine: None
    typed: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Ran:
    """What came of a run."""

    result: RunResult
    trace: list[dict[str, Any]]
    console: bytes
    state: dict[str, Any]

    @property
    def exits(self) -> int:
        """How many exits there were, those before it was loaded included."""
        return self.result.exits


def run(subject: Subject, limit: int, state: object = None, before: int = 0) -> Ran:
    """Run a guest for ``limit`` exits, from the beginning or from ``state``, which had ``before`` exits."""
    document = {**subject.document, "limits": {"max_exits": limit} if limit else {}}
    description = machine_from_document(document)
    image = load_guest(subject.guest, ram_base=description.ram.base)
    stream, file = io.StringIO(), os.memfd_create("console")
    try:
        with build_machine(description, image, Console(file, None)) as machine:
            attach_tracer(machine, JsonLinesSink(stream), TraceOptions(selection=Selection(types=TRACED)))
            machine.start()
            if subject.typed:
                machine.input.replay(InputLog(Path("typed"), {}, subject.typed, None))
            if state is None:
                subject.prepare(machine)
            else:
                load_machine_state(machine, state)
            result = run_machine(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
            saved = save_machine(machine)
        console = os.pread(file, CONSOLE_SIZE, 0)
    finally:
        os.close(file)
    return Ran(result, [_event(line, before) for line in stream.getvalue().splitlines()], console, saved)


def _event(line: str, before: int) -> dict[str, Any]:
    """An event with its number among all; a tracer that was not there before knows less of it."""
    event: dict[str, Any] = json.loads(line)
    event["seq"] += before
    event.pop("latency_ns", None)
    return event


def told(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is told alike by a tracer that has been there from the beginning and by one that has not: the latter does
    not know where the vectors are until the vCPU has exited, and so misses that an interrupt is taken."""
    return [event for event in events if event["type"] != "exception" or "esr" in event]


@cache
def words_of_host() -> frozenset[int]:
    """The words of a CPU's registers that follow the host's time: the cycle counter, which guests are not shown."""
    first, second = (run(Subject(SAMPLES / "ticks" / "ticks.elf", ()), 0).state for _ in range(2))
    found = {
        number
        for number, (one, other) in enumerate(zip(_words(first, "cpu0"), _words(second, "cpu0"), strict=True))
        if one != other
    }
    assert len(found) <= 2
    return frozenset(found)


def _words(state: Mapping[str, Any], cpu: str) -> tuple[int, ...]:
    registers = state["parts"][cpu]["vcpu"]["registers"]
    return struct.unpack(f"<{len(registers) // 8}Q", registers)


def comparable(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without the words that follow the host's time."""
    parts = dict(state["parts"])
    for name in parts:
        if name.startswith("cpu"):
            words = [0 if n in words_of_host() else word for n, word in enumerate(_words(state, name))]
            parts[name] = {**parts[name], "vcpu": {**parts[name]["vcpu"], "registers": words}}
    return {**state, "parts": parts}


def assert_goes_on(subject: Subject) -> None:
    """The contract."""
    whole = run(subject, subject.limit)
    for number in subject.saves:
        assert number < whole.exits
        first = run(subject, number)
        assert first.exits == number, first.result
        then = run(subject, subject.limit, first.state, number)
        assert then.exits == whole.exits
        assert then.result.message == whole.result.message
        tail = told(then.trace)
        assert tail == told(whole.trace)[-len(tail) :]
        assert [event["seq"] for event in tail if event["type"] == "exit"] == [*range(number + 1, whole.exits + 1)]
        assert first.console + then.console == whole.console
        assert comparable(then.state) == comparable(whole.state)


# Guests ------------------------------------------------------------------------------------------------------------


def interrupts(arm: str, wait: str, intid: int, **registers: int) -> Callable[[Machine], None]:
    """Give the guest ``interrupts`` its parameters; its GIC is a GICv3."""
    setup = (
        (0x0800_0000, 3),
        (0x080A_0014, 0),
        (0x080B_0080, 0xFFFF_FFFF),
        (0x080B_0100, 1 << intid if intid < 32 else 0),
        (0x0800_0084, 0xFFFF_FFFF),
        (0x0800_0104, 1 << intid - 32 if intid >= 32 else 0),
        (0, 0),
    )

    def prepare(machine: Machine) -> None:
        lookup = machine.image.symbols.lookup
        view = machine.ram.view(STORES, 16 * len(setup))
        assert view is not None
        view[:] = b"".join(struct.pack("<QQ", *store) for store in setup)
        values = {11: 0xFF, 12: 1, 13: 1, 16: 1 << 24, 18: 0, 21: lookup(arm) or 0, 22: lookup(wait) or 0}
        values |= {23: STORES, 24: LOG, 25: 0, 26: 1, 27: 0}
        values |= {int(name[1:]): value for name, value in registers.items()}
        for number, value in values.items():
            machine.current.arch.ctx.set_gpr(number, value)

    return prepare


INTERRUPTS: Final = Subject(GUESTS / "interrupts.elf", (1, 7, 12, 15), {"memory": {"ram": {"size": 4 << 20}}})
REPEATED: Final = {"x10": 10_000, "x26": 6, "x27": 10_000}
SMP: Final = INTEGRATION / "smp"
SEVERAL: Final = {"cpu": {"count": 4}}
FAULTS: Final = [
    # Pending from the second round on; the guest takes it after the values of all rounds are printed.
    {"kind": "serror", "at": {"symbol": "work", "count": 2}},
    {"kind": "flip", "register": "x19", "bit": 5, "at": {"access": "uart0", "count": 20, "times": 2}},
    {"kind": "flip", "symbol": "cell", "bit": 5, "at": {"time": "800ns", "every": "1us", "times": 3}},
    {"kind": "lose-interrupt", "at": {"intid": 27, "count": 2}},
    {"kind": "spurious-interrupt", "intid": 27, "at": {"time": "100us", "every": "500us", "times": 5}},
]
SUBJECTS: Final[Mapping[str, Subject]] = {
    "ticks": Subject(SAMPLES / "ticks" / "ticks.elf", (1, 12, 13, 14, 31, 62)),
    "exits": Subject(SAMPLES / "exits" / "exits.elf", (1, 400), limit=500),
    "paging": Subject(SAMPLES / "paging" / "paging.elf", (5, 333)),
    "exceptions": Subject(INTEGRATION / "faults.elf", (1, 10), limit=30),
    "virtual timer": replace(INTERRUPTS, prepare=interrupts("arm_virtual_timer", "wait_spin", 27, **REPEATED)),
    "physical timer": replace(INTERRUPTS, prepare=interrupts("arm_physical_timer", "wait_wfi", 30, **REPEATED)),
    "at EL0": replace(INTERRUPTS, prepare=interrupts("arm_virtual_timer", "wait_el0", 27, **REPEATED)),
    "clock": replace(INTERRUPTS, saves=(1, 7), prepare=interrupts("arm_rtc", "wait_wfi", 34, x10=1)),
    "typed": Subject(
        SAMPLES / "echo" / "echo.elf",
        (3, 60, 150, 300),
        typed=((1_000_000, b"hel"), (2_000_000, b"lo\n"), (3_000_000, b"quit\n")),
    ),
    "one CPU that waits": Subject(SMP / "wfi.elf", (100, 501), limit=600),
    "one CPU and a GICv2": Subject(SMP / "wfi.elf", (501,), {"device": {"gic": GICV2}}, 600),
    "four CPUs that wait": Subject(SMP / "wfi.elf", (20, 500, 901), SEVERAL, 1000),
    "four CPUs and a GICv2": Subject(SMP / "wfi.elf", (501, 900), {**SEVERAL, "device": {"gic": GICV2}}, 1000),
    "turns by chance": Subject(SMP / "wfi.elf", (502, 903), {**SEVERAL, "schedule": {"seed": 7}}, 1000),
    "two physical CPUs": Subject(SMP / "wfi.elf", (503,), {"cpu": {"count": 4, "phys_cpus": 2}}, 700),
    "CPUs that come and go": Subject(SMP / "psci.elf", (150, 201, 300), SEVERAL, 500),
    "CPUs that fight": Subject(SMP / "torture.elf", (120,), SEVERAL, 180),
    "trapped WFE": Subject(INTEGRATION / "waits.elf", (3, 9, 40), {"el2": {"hcr": ["TWE"]}}),
    "faults": Subject(INTEGRATION / "injected.elf", (5, 30, 110, 185, 189), {"fault": FAULTS}),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_guest_goes_on(name: str) -> None:
    assert_goes_on(SUBJECTS[name])


def words_of_chance(path: Path) -> Path:
    """A guest that prints a byte of each of 20 numbers of the TRNG and of RNDR, and powers off."""
    uart, count = 9, 10
    loop = [
        0x5280_0A60,  # mov w0, #0x53
        0x72B8_8000,  # movk w0, #0xc400, lsl #16
        0xD280_0801,  # mov x1, #64
        0xD400_0002,  # hvc #0
        0x3900_0003 | uart << 5,  # strb w3, [uart]
        0xD53B_2404,  # mrs x4, rndr
        0x3900_0004 | uart << 5,  # strb w4, [uart]
        0xF100_0400 | count << 5 | count,  # subs count, count, #1
    ]
    code = [
        0xD2A1_2000 | uart,  # mov uart, #0x9000000
        0xD280_0280 | count,  # mov count, #20
        *loop,
        0x5400_0001 | (-len(loop) & 0x7FFFF) << 5,  # b.ne loop
        0x5280_0100,  # mov w0, #8
        0x72B0_8000,  # movk w0, #0x8400, lsl #16
        0xD400_0002,  # hvc #0
    ]
    path.write_bytes(struct.pack(f"<{len(code)}I", *code))
    return path


def test_random_numbers_go_on(tmp_path: Path) -> None:
    document = {"cpu": {"model": "max"}, "boot": {"kernel_type": "raw"}}
    assert_goes_on(Subject(words_of_chance(tmp_path / "chance.bin"), (1, 2, 30), document))


def test_who_watches_a_run_goes_on() -> None:
    """Those who watch have a state too, which decides how a run ends and nothing else."""
    description = machine_from_document({})
    image = load_guest(SAMPLES / "ticks" / "ticks.elf", ram_base=description.ram.base)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with build_machine(description, image, Console(null, None)) as machine:
            machine.start()
            first = GuestRun(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
            first.start()
            first.panic.see(b"Kernel panic - not syncing: lost\nha")
            first.idle.waited(10, 20, 3)
            state, watched = save_machine(machine), save_run(first)
        with build_machine(description, image, Console(null, None)) as machine:
            machine.start()
            load_machine_state(machine, state)
            second = GuestRun(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
            load_run(second, watched)
            assert save_run(second) == watched
            assert save_machine(machine)["timeline"] == state["timeline"]
    finally:
        os.close(null)


# What does not fit -------------------------------------------------------------------------------------------------


def loads(state: object, document: Mapping[str, Any] | None = None, guest: str = "ticks") -> None:
    description = machine_from_document(dict(document or {}))
    image = load_guest(SAMPLES / guest / f"{guest}.elf", ram_base=description.ram.base)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with build_machine(description, image, Console(null, None)) as machine:
            machine.start()
            load_machine_state(machine, state)
    finally:
        os.close(null)


@cache
def ticks_state() -> dict[str, Any]:
    return run(SUBJECTS["ticks"], 10).state


def test_it_is_plain_data() -> None:
    def check(value: object) -> None:
        assert value is None or type(value) in (int, bool, str, bytes, list, dict), value
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            check(list(value.values()))
        elif isinstance(value, list):
            for each in value:
                check(each)

    check(ticks_state())
    loads(ticks_state())


@pytest.mark.parametrize("name", ["host", "gic", "power", "console", "cpu0", "scheduler", "device uart0", "device rtc"])
def test_each_part_has_a_version(name: str) -> None:
    state = ticks_state()
    part = {**state["parts"][name], "version": 99}
    with pytest.raises(ValueError, match=rf"^snapshot\.parts\.{name}: .*99"):
        loads({**state, "parts": {**state["parts"], name: part}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, r"snapshot\.version is 2, expected 1"),
        ({"engine": "0.0"}, r"snapshot\.engine is 0\.0"),
        ({"parts": {}}, r"snapshot\.parts are , expected host"),
        ({"memory": {}}, r"snapshot\.memory has no ram"),
        ({"timeline": {}}, r"timeline has no version"),
    ],
)
def test_what_does_not_fit_is_named(changes: Mapping[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        loads({**ticks_state(), **changes})


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ({"cpu": {"count": 2}}, "cpu"),
        ({"cpu": {"model": "cortex-a53"}}, "cpu"),
        ({"memory": {"ram": {"size": 64 << 20}}}, "memory"),
        ({"device": {"gic": GICV2}}, "gic"),
        ({"clock": {"seed": 1}}, "clock"),
    ],
)
def test_another_machine_is_refused(document: Mapping[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=rf"^snapshot\.description\.{part} is that of another machine$"):
        loads(ticks_state(), document)


def test_another_guest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^snapshot\.guest\.\w+ is that of another guest$"):
        loads(ticks_state(), guest="hello")


@pytest.mark.parametrize("state", [None, [], {}, {"version": 1}])
def test_what_is_no_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match=r"^snapshot"):
        loads(state)


def test_a_cpu_remembers_where_its_last_turn_ended() -> None:
    """The next quantum depends on it: a CPU that is still there waits for another one."""
    guest = SAMPLES / "hello" / "hello.elf"
    with api.Machine.open(guest) as first, api.Machine.open(guest) as second:
        for machine in (first, second):
            machine.start()
        cpu, other = first.parts.cpus[0], second.parts.cpus[0]
        for place in (None, (0x4008_0000, tuple(range(31)))):
            cpu.seen = place
            other.load(cpu.save())
            assert other.seen == place
        with pytest.raises(ValueError, match=r"cpu0\.seen is no list of 32"):
            other.load({**cpu.save(), "seen": [1, 2]})
