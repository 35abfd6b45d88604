"""A target for debuggers without a machine: vCPUs that take turns of one instruction, and record everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from arm_vcpu_cli.debug.target import Access, Position, Reason, Register, Stop, Thread, Watchpoint
from arm_vcpu_cli.errors import UsageError

BASE: Final = 0x4000_0000
CODE: Final = BASE + 0x1000
"""Where each vCPU begins: NOPs, and at each STORE_AT bytes a store to COUNTER."""
COUNTER: Final = BASE + 0x2000
SIZE: Final = 0x4000
STORE_AT: Final = 0x20
NOP: Final = bytes.fromhex("1f2003d5")
GUARD_SECONDS: Final = 60.0

NAMES: Final = (
    *(Register(f"x{number}", 64, "general") for number in range(31)),
    Register("sp", 64, "general"),
    Register("pc", 64, "general"),
    Register("cpsr", 32, "general"),
    *(Register(f"v{number}", 128, "vector") for number in range(32)),
    Register("fpsr", 32, "vector"),
    Register("fpcr", 32, "vector"),
    Register("SCTLR_EL1", 64, "system"),
    Register("TTBR0_EL1", 64, "system"),
    Register("ESR_EL2", 64, "system", writable=False),
)


@dataclass
class Moment:
    """All that changes."""

    registers: list[dict[str, int]]
    memory: bytearray
    current: int = 0
    executed: int = 0
    last: int = 0

    def copy(self) -> Moment:
        """The same, to be changed alone."""
        return Moment(
            [dict(each) for each in self.registers], bytearray(self.memory), self.current, self.executed, self.last
        )


@dataclass
class FakeTarget:
    """See :class:`Target`. ``length`` is how many instructions the run has; None is one that only a pause ends."""

    vcpus: int = 1
    length: int | None = 1000
    status: int = 0
    travels: bool = True
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        memory = bytearray(SIZE)
        memory[0x1000:0x2000] = NOP * (0x1000 // len(NOP))
        registers = [dict.fromkeys((each.name for each in NAMES), 0) for _ in range(self.vcpus)]
        for each in registers:
            each["pc"] = CODE
            each["cpsr"] = 0x3C5
        self.now = Moment(registers, memory)
        self.past: list[Moment] = []
        self.breakpoints: frozenset[int] = frozenset()
        self.hardware: frozenset[int] = frozenset()
        self.watchpoints: tuple[Watchpoint, ...] = ()
        self.paused = threading.Event()
        self.running = threading.Event()
        self.skipped: tuple[int, int] | None = None

    @property
    def current(self) -> int:
        return self.now.last

    def threads(self) -> Sequence[Thread]:
        return [Thread(number, "EL1 running") for number in range(self.vcpus)]

    def registers(self) -> Sequence[Register]:
        return NAMES

    def read_register(self, vcpu: int, name: str) -> int:
        return self.now.registers[vcpu][name]

    def write_register(self, vcpu: int, name: str, value: int) -> None:
        if name == "TTBR0_EL1" and value & 1:
            raise UsageError("TTBR0_EL1: bit 0 #$}* is reserved")
        self.log.append(f"{name}={value:#x}")
        self.now.registers[vcpu][name] = value

    def read_memory(self, vcpu: int, address: int, size: int) -> bytes:
        return self.read_physical(address, size)

    def write_memory(self, vcpu: int, address: int, data: bytes) -> bool:
        return self.write_physical(address, data)

    def read_physical(self, ipa: int, size: int) -> bytes:
        return bytes(self.now.memory[ipa - BASE : ipa - BASE + size]) if ipa >= BASE else b""

    def write_physical(self, ipa: int, data: bytes) -> bool:
        if not BASE <= ipa <= BASE + SIZE - len(data):
            return False
        self.now.memory[ipa - BASE : ipa - BASE + len(data)] = data
        return True

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        self.breakpoints, self.hardware = frozenset(software), frozenset(hardware)

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        if len(watchpoints) > 4:
            raise UsageError("there are 4 watchpoints")
        self.watchpoints = tuple(watchpoints)

    def _hit(self, vcpu: int) -> Stop | None:
        pc = self.now.registers[vcpu]["pc"]
        if pc in self.breakpoints:
            return Stop(Reason.SOFTWARE_BREAKPOINT, vcpu)
        if pc in self.hardware:
            return Stop(Reason.HARDWARE_BREAKPOINT, vcpu)
        for each in self.watchpoints:
            if pc % STORE_AT == 0 and Access.WRITE in each.access and 0 <= COUNTER - each.address < each.length:
                return Stop(Reason.WATCHPOINT, vcpu, each, COUNTER)
        return None

    def _stop(self, stop: Stop) -> Stop:
        self.now.last = stop.vcpu
        self.skipped = (stop.vcpu, self.now.registers[stop.vcpu]["pc"])
        return stop

    def _execute(self) -> int:
        self.past.append(self.now.copy())
        vcpu = self.now.last = self.now.current
        registers = self.now.registers[vcpu]
        if registers["pc"] % STORE_AT == 0:
            self.now.memory[COUNTER - BASE] = (self.now.memory[COUNTER - BASE] + 1) & 0xFF
        registers["pc"] = CODE + (registers["pc"] + 4 - CODE) % 0x1000
        registers["x0"] += 1
        self.now.executed += 1
        self.now.current = (vcpu + 1) % self.vcpus
        self.skipped = None
        return vcpu

    def _run(self, vcpu: int | None) -> Stop:
        while True:
            if self.length is not None and self.now.executed >= self.length:
                return Stop(Reason.ENDED, self.now.last, message="the guest powered off", status=self.status)
            if self.length is None and vcpu is None and not (self.breakpoints or self.watchpoints):
                self.running.set()
                assert self.paused.wait(GUARD_SECONDS)
            if self.paused.is_set():
                self.paused.clear()
                return self._stop(Stop(Reason.PAUSE, self.now.current))
            next_one = self.now.current
            hit = self._hit(next_one)
            if hit is not None and self.skipped != (next_one, self.now.registers[next_one]["pc"]) and vcpu != next_one:
                return self._stop(hit)
            if self._execute() == vcpu:
                return self._stop(Stop(Reason.STEP, vcpu))

    def resume(self) -> Stop:
        self.log.append("resume")
        return self._run(None)

    def step(self, vcpu: int) -> Stop:
        self.log.append(f"step {vcpu}")
        return self._run(vcpu)

    def pause(self) -> None:
        self.paused.set()

    def keep_history(self) -> None:
        self.log.append("keep history")

    def position(self) -> Position:
        return Position(self.now.executed, 10 * self.now.executed)

    def goto(self, instructions: int) -> Stop:
        while self.now.executed > instructions:
            self.now = self.past.pop()
        while self.now.executed < instructions:
            self._execute()
        return self._stop(Stop(Reason.STEP, self.now.current))

    def reverse_step(self, vcpu: int) -> Stop:
        while self.past:
            self.now = self.past.pop()
            if self.now.current == vcpu:
                return self._stop(Stop(Reason.STEP, vcpu))
        return self._stop(Stop(Reason.HISTORY_BEGIN, self.now.current))

    def reverse_resume(self) -> Stop:
        while self.past:
            self.now = self.past.pop()
            hit = self._hit(self.now.current)
            if hit is not None:
                return self._stop(hit)
        return self._stop(Stop(Reason.HISTORY_BEGIN, self.now.current))

    def on_progress(self, report: Callable[[str], None] | None) -> None:
        self.report = report
