"""A machine for scripts and tests: open it with a guest, give it devices, run it, look at it.

    with Machine.open("guest.elf", "board.toml", cpus=4) as machine:
        result = machine.run(timeout=10)
        print(result.ending, result.console.decode(), hex(result.registers[0]["pc"]))

What the command line does with a guest is the same with a terminal around it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.errors import MemoryMapError, UsageError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm import machine as parts
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.diagnosis import place_of
from arm_vcpu_cli.vm.endings import ENDS_FOR_GOOD, Ending, RunResult
from arm_vcpu_cli.vm.runner import run_machine

if TYPE_CHECKING:
    import re

    from typing_extensions import Self, Unpack

    from arm_vcpu_cli.board.layers import Overrides
    from arm_vcpu_cli.host.captured_console import CapturedConsole
    from arm_vcpu_cli.vm.conversation import Conversation

_CAPTURED: Final = "arm_vcpu_cli.host.captured_console"
"""Needed only where the caller brings no console."""
_CONVERSATION: Final = "arm_vcpu_cli.vm.conversation"
"""Needed only where somebody waits for what the guest prints."""
_NANOSECONDS: Final = 1_000_000_000

FilePath = str | os.PathLike[str]


class Result(Record):
    """How a run ended. ``status`` is what the command would exit with, ``message`` the line that it would print.

    ``console`` is what the guest has printed since the machine was opened, ``exits`` counts those to EL2 since then;
    ``registers`` are those of each vCPU by name: ``x0`` to ``x30``, ``sp``, ``pc`` and ``pstate``, 64 bits each.
    """

    ending: Ending
    status: int
    message: str
    console: bytes
    exits: int
    seconds: float
    registers: tuple[Mapping[str, int], ...]


class VirtualCpu:
    """The registers of one vCPU, while the guest is stopped; all 64 bits wide."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def number(self) -> int:
        """Its place among the vCPUs, 0 for the one that boots."""
        return self._cpu.index

    @property
    def activity(self) -> Activity:
        """Whether it runs, waits for an interrupt, or is off."""
        return self._cpu.activity

    @property
    def pc(self) -> int:
        """Where it goes on."""
        return self._cpu.arch.ctx.elr

    @pc.setter
    def pc(self, value: int) -> None:
        self._cpu.arch.ctx.elr = _register_value("pc", value)

    @property
    def sp(self) -> int:
        """The stack pointer in use."""
        return self._cpu.arch.ctx.sp

    @sp.setter
    def sp(self, value: int) -> None:
        self._cpu.arch.ctx.sp = _register_value("sp", value)

    def x(self, number: int) -> int:
        """X<number>, 0 to 30. Raises :class:`UsageError`."""
        return self._cpu.arch.ctx.gpr(_general_register(number))

    def set_x(self, number: int, value: int) -> None:
        """Set X<number>, 0 to 30. Raises :class:`UsageError`."""
        self._cpu.arch.ctx.set_gpr(_general_register(number), _register_value(f"x{number}", value))

    def read(self, register: str | SysReg) -> int:
        """A system register of the core, by name (``"TTBR0_EL1"``) or encoding. Raises :class:`UsageError` for a name
        that no register has; one that the core lacks, as it does those of the GIC, reads as 0."""
        return self._cpu.arch.read_sysreg(_system_register(register))

    def write(self, register: str | SysReg, value: int) -> None:
        """Write a system register with its side effects; raises as :meth:`read` does."""
        self._cpu.arch.write_sysreg(_system_register(register), _register_value(str(register), value))

    def registers(self) -> dict[str, int]:
        """``x0`` to ``x30``, ``sp``, ``pc`` and ``pstate`` in the form of SPSR_EL2."""
        frame = self._cpu.arch.ctx
        found = {f"x{number}": frame.gpr(number) for number in range(ZERO_REGISTER)}
        return found | {"sp": frame.sp, "pc": frame.elr, "pstate": int(frame.spsr)}


class Machine:
    """A machine with its guest loaded; a context manager, which gives back the engine and the guest's memory."""

    def __init__(self, machine: parts.Machine, captured: CapturedConsole | None) -> None:
        """Use :meth:`open`."""
        self.parts = machine
        """What the machine is made of, for whoever wants more than this class offers; nothing about it is promised."""
        self.cpus: Final = tuple(VirtualCpu(cpu) for cpu in machine.cpus)
        """The vCPUs. Their registers have values once the machine is started."""
        self._captured = captured
        self._conversation: Conversation | None = None
        self._started = False
        self.last_run: RunResult | None = None
        """How the last run ended, None before the first."""
        self._is_over = False

    @classmethod
    def open(
        cls,
        guest: FilePath | GuestImage,
        machine: FilePath | Mapping[str, object] | MachineDescription | None = None,
        *,
        input: bytes = b"",
        console: Console | None = None,
        **overrides: Unpack[Overrides],
    ) -> Self:
        """Build a machine with a guest in it.

        ``guest`` is a file (ELF, a Linux kernel or a raw binary). ``machine`` is a machine file, or what would stand in
        one; without it the machine is "virt". ``overrides`` are ``cpus``, ``gic``, ``memory_size`` (bytes),
        ``bootargs``, ``phys_cpus``, ``schedule``, ``reboot``, ``cpu`` (a model), ``arguments`` (of the guest program),
        ``dtb``, ``loads`` (files and their IPAs) and ``semihosting_dir``. ``input`` is what the guest receives; then it
        ends, until :meth:`send` sends more. With a ``console`` of your own, which stays yours to close, the guest's
        output goes there instead of to :attr:`console`, and ``input`` is not used.

        Raises :class:`GuestFileError`, :class:`MachineFileError`, :class:`UsageError` or :class:`EngineError`.
        """
        description = _description(machine, overrides)
        image = guest if isinstance(guest, GuestImage) else _image(guest, description)
        captured: CapturedConsole | None = None
        if console is None:
            captured = console = import_module(_CAPTURED).CapturedConsole(input)
        return cls(build_machine(description, image, console), captured)

    # Before it runs --------------------------------------------------------------------------------------------

    def attach(self, device: MmioDevice, base: int, size: int, *, name: str = "") -> None:
        """Put a device of your own at the IPAs from ``base`` on, where all vCPUs see it.

        Raises :class:`UsageError` for what is no device, :class:`MemoryMapError` where something else is.
        """
        for method in ("read", "write"):
            if not callable(getattr(device, method, None)):
                expected = "expected read(offset, width) and write(offset, width, value)"
                raise UsageError(f"{type(device).__name__} is no device: {expected}")
        end = base + size
        for region in self.parts.description.memory:
            if base < region.end and region.base < end:
                raise MemoryMapError(f"device at {base:#x}-{end - 1:#x} overlaps memory.{region.name}")
        buses = {id(bus): bus for bus in (self.parts.bus, *(cpu.bus for cpu in self.parts.cpus))}
        for bus in buses.values():
            bus.add(name or f"{type(device).__name__.lower()}@{base:x}", base, size, device)

    def irq(self, intid: int) -> IrqLine:
        """The input of a shared interrupt (INTID 32 and up), for a device of your own. Raises :class:`UsageError`."""
        gic = self.parts.gic
        if gic is None:
            raise UsageError("the machine has no interrupt controller")
        try:
            return gic.spi(intid)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def observe(self, observer: ExitObserver) -> None:
        """Tell ``observer`` of each exit of each vCPU; several may observe. Before the machine is started."""
        if self._started:
            raise UsageError("an observer comes before the first run")
        self.parts.observe(observer)

    # Running ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Enable virtualisation and bind the vCPUs; :meth:`run` does it if nobody has."""
        if not self._started:
            self._started = True
            self.parts.start()

    def run(self, *, timeout: float = 0.0, guest_timeout: float = 0.0) -> Result:
        """Run the guest to its end, or for ``timeout`` seconds of the host or ``guest_timeout`` seconds of its own time
        (0: without a limit).

        A guest that was stopped by a limit, or that waits, goes on with the next call.
        """
        result = self._run(timeout, guest_timeout)
        registers = tuple(cpu.registers() for cpu in self.cpus)
        return Result(
            result.ending, result.status, result.message, self.console, result.exits, result.seconds, registers
        )

    def run_watched(self, watchdog: Watchdog) -> RunResult:
        """Run the guest to its end, or until ``watchdog``, which has been entered, stops it. A guest that has ended
        for good does not run again: the result is the same."""
        if self._is_over and self.last_run is not None:
            return self.last_run
        self.start()
        result = self.last_run = run_machine(self.parts, watchdog)
        broken = any(cpu.vcpu.state is VCpuState.INVALID for cpu in self.parts.cpus)
        self._is_over = broken or result.ending in ENDS_FOR_GOOD
        return result

    def expect(
        self, pattern: str | re.Pattern[str], *, timeout: float = 60.0, host_timeout: float = 60.0
    ) -> re.Match[str]:
        """Run the guest until its console shows ``pattern``, and return the match.

        What was printed since the last match is searched, and what comes: the guest is stopped right behind the byte
        that completes the first match, or behind the one after it if that might have belonged to it (``\\d+``, ``.*``).
        The text has no carriage returns and no control sequences of a terminal. ``^`` and ``$`` match at each line;
        ``$`` in a line that is not complete only matches once the run has ended.
        ``timeout`` limits the seconds of the guest's time, ``host_timeout`` those of the host (0: no limit).

        Raises :class:`~arm_vcpu_cli.vm.conversation.ExpectationError` if the run ends before, and :class:`UsageError`
        for what is no regular expression.
        """
        if self._conversation is None:
            self._conversation = import_module(_CONVERSATION).Conversation(self.parts, self.console)
        return self._conversation.expect(pattern, lambda: self._run(host_timeout, timeout))

    def send(self, data: str | bytes) -> None:
        """Let the guest receive ``data``, now; text as UTF-8. Raises :class:`UsageError` where the console is the
        caller's."""
        if self._captured is None:
            raise UsageError("send needs the machine's own console, and this one has that of the caller")
        self.parts.input.send(data.encode() if isinstance(data, str) else data)

    def _run(self, timeout: float, guest_timeout: float) -> RunResult:
        with Watchdog(self.parts.request_stop, timeout) as watchdog, self._limited(guest_timeout):
            return self.run_watched(watchdog)

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Stop the guest once it has run for as many seconds of its own time; 0: never."""
        if not seconds:
            yield
            return
        machine = self.parts

        def enough() -> None:
            machine.seen_enough = f"stopped after {seconds:g} s of guest time at {place_of(machine)}"

        self.start()
        alarm = machine.timeline.limit(enough)
        alarm.set_at(machine.timeline.now() + round(seconds * _NANOSECONDS))
        try:
            yield
        finally:
            machine.timeline.lift(alarm)
            machine.seen_enough = None

    @property
    def console(self) -> bytes:
        """What the guest has printed so far; nothing if it prints to a console of the caller's."""
        self.parts.console.flush()
        return b"" if self._captured is None else self._captured.printed()

    # Memory ----------------------------------------------------------------------------------------------------

    def read_memory(self, ipa: int, size: int) -> bytes:
        """Bytes of the guest's memory by IPA. Raises :class:`MemoryMapError` where there is none."""
        view = self.parts.ram.view(ipa, size)
        if view is None:
            raise MemoryMapError(f"IPA {ipa:#x} size {size:#x} is not in the memory: {self.parts.ram.describe()}")
        return bytes(view)

    def write_memory(self, ipa: int, data: bytes) -> None:
        """Write the guest's memory while it is stopped; raises as :meth:`read_memory` does."""
        if not self.parts.ram.write(ipa, data):
            raise MemoryMapError(f"IPA {ipa:#x} size {len(data):#x} is not in the memory: {self.parts.ram.describe()}")

    # The end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give back the engine and the guest's memory."""
        self.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _description(
    machine: FilePath | Mapping[str, object] | MachineDescription | None, overrides: Overrides
) -> MachineDescription:
    if isinstance(machine, MachineDescription):
        if any(value is not None for value in overrides.values()):
            raise UsageError("a description is complete: the overrides are for files and mappings")
        return machine
    if isinstance(machine, Mapping):
        return machine_from_document(machine, None, **overrides)
    return load_machine(None if machine is None else _path("machine", machine), **overrides)


def _image(guest: FilePath, description: MachineDescription) -> GuestImage:
    boot = description.boot
    return load_guest(
        _path("guest", guest),
        load_address=boot.load_address,
        ram_base=description.ram.base,
        kind=boot.kernel_type,
    )


def _path(what: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{what}: expected the path of a file, found {type(value).__name__}")
    return Path(value)


def _general_register(number: int) -> int:
    if not 0 <= number < ZERO_REGISTER:
        raise UsageError(f"x{number}: expected a general-purpose register from x0 to x30")
    return number


def _register_value(name: str, value: int) -> int:
    if not 0 <= value <= MASK64:
        raise UsageError(f"{name}: expected 64 bits, found {value:#x}")
    return value


def _system_register(register: str | SysReg) -> SysReg:
    if isinstance(register, SysReg):
        return register
    try:
        return lookup(register.upper())
    except KeyError as error:
        raise UsageError(f"{register}: no such system register") from error
