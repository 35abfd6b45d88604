"""A machine for scripts and tests: open it with a guest, give it devices, run it, inspect it.

    with Machine.open("guest.elf", "board.toml", cpus=4) as machine:
        result = machine.run(timeout=10)

A copy in a process of its own takes some milliseconds:

    with machine.fork() as child:
        result = child.run(input=b"root\n", timeout=10)
        print(result.ending, result.console.decode(), hex(result.registers[0]["pc"]))

The command line does the same with a guest, and adds a terminal.

A saved machine continues from there, any number of times and in any process:

    with Machine.open("vmlinuz", bootargs="console=ttyAMA0") as machine:
        machine.expect("login: ")
        machine.snapshot("booted.snap")
    with Machine.open(from_snapshot="booted.snap", input=b"root\n") as machine:
        result = machine.run(timeout=10)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from functools import partial
from importlib import import_module
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from arm_vcpu_cli.arm_vcpu.observer import ExitObserver
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.errors import MemoryMapError, UsageError
from arm_vcpu_cli.file_paths import FilePath, as_path
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.virtual_cpu import VirtualCpu
from arm_vcpu_cli.vm import machine as parts
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.endings import ENDS_FOR_GOOD, RunResult
from arm_vcpu_cli.vm.exit_handlers import stop_in_vain
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.outcome import Result
from arm_vcpu_cli.vm.runner import run_machine

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from typing_extensions import Self, Unpack

    from arm_vcpu_cli.board.layers import Overrides
    from arm_vcpu_cli.host.captured_console import CapturedConsole
    from arm_vcpu_cli.vm.conversation import Conversation
    from arm_vcpu_cli.vm.forked import Child
    from arm_vcpu_cli.vm.snapshot_loading import Snapshot

_CAPTURED: Final = "arm_vcpu_cli.host.captured_console"
"""Loaded only if the caller provides no console."""
_GUEST_TIME: Final = "arm_vcpu_cli.vm.watch.guest_time"
"""Loaded only for runs with a limit on it."""
_CONVERSATION: Final = "arm_vcpu_cli.vm.conversation"
"""Loaded only if the caller waits for console output."""
_SAVING: Final = "arm_vcpu_cli.vm.snapshot_saving"
_SNAPSHOTS: Final = "arm_vcpu_cli.vm.snapshot_loading"
"""Loaded only for machines that are saved or come from a snapshot."""
_FORKED: Final = "arm_vcpu_cli.vm.forked"
"""Loaded only for machines that are copied."""

NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})


class Machine:
    """A machine with its guest loaded; as a context manager, it releases the engine and the guest's memory."""

    def __init__(self, machine: parts.Machine, captured: CapturedConsole | None) -> None:
        """Use :meth:`open`."""
        self.parts = machine
        """The parts of the machine, for uses that this class does not cover. They are not a stable interface."""
        self.cpus: Final = tuple(VirtualCpu(cpu, lambda: self.is_open) for cpu in machine.cpus)
        """The vCPUs. Their registers have values once the machine has started."""
        self._captured = captured
        if captured is not None:
            captured.starved = partial(stop_in_vain, machine)
        self._conversation: Conversation | None = None
        self._attached = False
        """Whether the caller has attached devices."""
        self._started = False
        self.last_run: RunResult | None = None
        """The result of the last run, None before the first."""
        self._is_over = False
        self._input = b""
        """Input that the guest receives once its state is loaded."""
        self._snapshot: Snapshot | None = None
        self._resumed: Snapshot | None = None
        """The snapshot whose watchers the next run continues."""
        self._children: WeakSet[Child] = WeakSet()
        self._watchers: GuestRun | None = None
        """The watchers of the last run."""

    @classmethod
    def open(
        cls,
        guest: FilePath | GuestImage | None = None,
        machine: FilePath | Mapping[str, object] | MachineDescription | None = None,
        *,
        input: bytes = b"",
        console: Console | None = None,
        from_snapshot: FilePath | Snapshot | None = None,
        **overrides: Unpack[Overrides],
    ) -> Self:
        """Build a machine and load its guest.

        ``guest`` is a file (ELF, a Linux kernel or a raw binary). ``machine`` is a machine file or its contents as a
        mapping; the default is the machine "virt". ``overrides`` are ``cpus``, ``gic``, ``memory_size`` (bytes),
        ``bootargs``, ``phys_cpus``, ``schedule``, ``reboot``, ``cpu`` (a model), ``arguments`` (to the guest program),
        ``dtb``, ``loads`` (files and their IPAs) and ``semihosting_dir``. The guest receives ``input``, and more with
        :meth:`send`. If you pass a ``console``, which you close yourself, the guest's output goes there instead of to
        :attr:`console`, and ``input`` is not used.

        ``from_snapshot`` is a file written by :meth:`snapshot`. It replaces everything that describes a machine, and
        the guest continues from there. ``guest`` then only provides symbols; pass it if its file has moved.

        Raises :class:`GuestFileError`, :class:`MachineFileError`, :class:`UsageError` or :class:`EngineError`, and
        :class:`FileError` for a snapshot.
        """
        if from_snapshot is not None:
            found: Snapshot = import_module(_SNAPSHOTS).snapshot_of(from_snapshot, guest, machine, overrides)
            return cls._from_snapshot(found, input, console)
        if guest is None:
            raise UsageError("a machine needs a guest, or a snapshot")
        description = _description(machine, overrides)
        image = guest if isinstance(guest, GuestImage) else _image(guest, description)
        captured: CapturedConsole | None = None
        if console is None:
            captured = console = import_module(_CAPTURED).CapturedConsole(input)
        return cls(build_machine(description, image, console), captured)

    @classmethod
    def _from_snapshot(cls, snapshot: Snapshot, input: bytes, console: Console | None) -> Self:
        captured: CapturedConsole | None = None
        if console is None:
            captured = console = import_module(_CAPTURED).CapturedConsole(b"")
        try:
            built = build_machine(snapshot.description, snapshot.image, console, loaded=snapshot.loaded)
        except BaseException:
            snapshot.close()
            raise
        built.goes_on = True
        made = cls(built, captured)
        made._snapshot, made._input = snapshot, input
        return made

    # Before it runs --------------------------------------------------------------------------------------------

    def attach(self, device: MmioDevice, base: int, size: int, *, name: str = "") -> None:
        """Map a device of your own at the IPAs from ``base`` to ``base + size``, visible to all vCPUs.

        Raises :class:`UsageError` if ``device`` is not a device, :class:`MemoryMapError` if the range is taken.
        """
        for method in ("read", "write"):
            if not callable(getattr(device, method, None)):
                expected = "expected read(offset, width) and write(offset, width, value)"
                raise UsageError(f"{type(device).__name__} is no device: {expected}")
        end = base + size
        for region in self.parts.description.memory:
            if base < region.end and region.base < end:
                raise MemoryMapError(f"device at {base:#x}-{end - 1:#x} overlaps memory.{region.name}")
        self._attached = True
        buses = {id(bus): bus for bus in (self.parts.bus, *(cpu.bus for cpu in self.parts.cpus))}
        for bus in buses.values():
            bus.add(name or f"{type(device).__name__.lower()}@{base:x}", base, size, device)

    def irq(self, intid: int) -> IrqLine:
        """Return the input line of a shared interrupt (INTID 32 and up) for a device of your own. Raises
        :class:`UsageError`."""
        gic = self.parts.gic
        if gic is None:
            raise UsageError("the machine has no interrupt controller")
        try:
            return gic.spi(intid)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def observe(self, observer: ExitObserver) -> None:
        """Notify ``observer`` of each exit of each vCPU. Call this before the machine starts; there may be several
        observers."""
        if self._started:
            raise UsageError("an observer can only be added before the first run")
        self.parts.observe(observer)

    # Running ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Enable virtualisation and bind the vCPUs; :meth:`run` calls this if necessary. A machine from a snapshot has
        its state from here on. Raises :class:`FileError` if the snapshot is damaged."""
        if not self.is_open:
            raise UsageError("the machine is closed")
        if self._started:
            return
        self._started = True
        self.parts.start()
        if self._snapshot is not None:
            with closing(self._snapshot):
                self._snapshot.restore(self.parts)
                self._resumed = self._snapshot
            if self._captured is not None:
                if self._input:
                    self.parts.input.send(self._input)
                # As without a snapshot, the input ends here until the caller sends more.
                self._captured.feed(b"")

    def run(self, *, timeout: float = 0.0, guest_timeout: float = 0.0) -> Result:
        """Run the guest to its end, for ``timeout`` seconds of the host, or for ``guest_timeout`` seconds of its own
        time (0: no limit).

        A guest stopped by a limit, or waiting, continues with the next call.
        """
        result = self._run(timeout, guest_timeout)
        registers = tuple(cpu.registers() for cpu in self.cpus)
        return Result(
            result.ending, result.status, result.message, self.console, result.exits, result.seconds, registers
        )

    def run_watched(self, watchdog: Watchdog) -> RunResult:
        """Run the guest to its end, or until ``watchdog``, which must be entered, stops it. A guest that has ended for
        good does not run again: the result is the same."""
        if self._is_over and self.last_run is not None:
            return self.last_run
        self.start()
        before, run = self._watchers, GuestRun(self.parts, watchdog)
        if before is not None:
            # The observations of one guest belong together, and a reset returns to where it started.
            run.panic, run.idle, run.power_on = before.panic, before.idle, before.power_on
        self._watchers = run
        self.parts.seen_enough = None
        self.hand_over(run)
        result = self.last_run = run_machine(self.parts, watchdog, run)
        broken = any(cpu.vcpu.state is VCpuState.INVALID for cpu in self.parts.cpus)
        self._is_over = broken or result.ending in ENDS_FOR_GOOD
        return result

    def hand_over(self, run: GuestRun) -> None:
        """Let the watchers of ``run`` continue those of the snapshot, if this machine has just been loaded from one.
        Raises :class:`FileError` if their state is damaged."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.restore_run(run)

    def snapshot(
        self,
        path: FilePath,
        *,
        compress: bool | None = None,
        note: str = "",
        facts: Mapping[str, str] = NO_FACTS,
        run: GuestRun | None = None,
    ) -> None:
        """Save the machine, whose guest is stopped, to a file from which :meth:`open` continues.

        The file appears only when it is complete. It is compressed if the extra ``zstd`` is installed, unless
        ``compress`` overrides that. ``note`` is a remark for people, ``facts`` are those of the run's recording, if
        there is one, and ``run`` provides the watchers if they are not those of :meth:`run`.

        Raises :class:`UsageError` for a machine that cannot be saved: one with the caller's devices, with open files of
        the host, or that restarts after a reset; :class:`FileError` or :class:`OutputError` if the file cannot be
        written.
        """
        if self._attached:
            raise UsageError("the machine cannot be saved: it has devices that the caller attached")
        self.start()
        write = import_module(_SAVING).write_snapshot
        write(self.parts, run or self._watchers, _path("path", path), compress=compress, note=note, facts=facts)

    def fork(self) -> Child:
        """Copy the machine, whose guest is stopped, into a process of its own (POSIX). The guest continues there
        without any effect on this process; the memory is shared until one side writes to it. Observers and the caller's
        devices are copied too. Close the child when done, or use it as a context manager.

        Raises :class:`UsageError` on hosts without fork, or if the caller provided the console.
        """
        captured = self._captured
        if captured is None:
            raise UsageError("fork needs the machine's own console, and this one uses the caller's")
        self.start()
        child: Child = import_module(_FORKED).fork(self, captured.forget, self._children)
        self._children.add(child)
        return child

    def expect(
        self, pattern: str | re.Pattern[str], *, timeout: float = 60.0, host_timeout: float = 60.0
    ) -> re.Match[str]:
        """Run the guest until its console shows ``pattern``, and return the match.

        The search covers everything printed since the last match, and new output: the guest stops right behind the byte
        that completes the first match, or one byte later if that byte might have extended it (``\\d+``, ``.*``). The
        text has no carriage returns and no terminal control sequences. ``^`` and ``$`` match at each line; ``$``
        matches in an incomplete line only once the run has ended. ``timeout`` limits the seconds of the guest's time,
        ``host_timeout`` those of the host (0: no limit).

        Raises :class:`~arm_vcpu_cli.vm.conversation.ExpectationError` if the run ends first, and :class:`UsageError`
        for an invalid regular expression.
        """
        if self._conversation is None:
            self._conversation = import_module(_CONVERSATION).Conversation(self.parts, self.console)
        return self._conversation.expect(pattern, lambda: self._run(host_timeout, timeout))

    def send(self, data: str | bytes) -> None:
        """Send ``data`` to the guest now; text is encoded as UTF-8. Raises :class:`UsageError` if the caller provided
        the console."""
        if self._captured is None:
            raise UsageError("send needs the machine's own console, and this one uses the caller's")
        # Received input is part of the guest's state, so the state must be loaded first.
        self.start()
        self.parts.input.send(data.encode() if isinstance(data, str) else data)

    def _run(self, timeout: float, guest_timeout: float) -> RunResult:
        self.start()
        limit = import_module(_GUEST_TIME).limited(self.parts, guest_timeout) if guest_timeout else nullcontext()
        with Watchdog(self.parts.request_stop, timeout) as watchdog, limit:
            return self.run_watched(watchdog)

    @property
    def console(self) -> bytes:
        """The guest's output so far; empty if the caller provided the console."""
        self.parts.console.flush()
        return b"" if self._captured is None else self._captured.printed()

    # Memory ----------------------------------------------------------------------------------------------------

    def read_memory(self, ipa: int, size: int) -> bytes:
        """Return ``size`` bytes of the guest's memory at ``ipa``. Raises :class:`MemoryMapError` where there is no
        memory."""
        view = self.parts.ram.view(ipa, size)
        if view is None:
            raise MemoryMapError(f"IPA {ipa:#x} size {size:#x} is not in the memory: {self.parts.ram.describe()}")
        return bytes(view)

    def write_memory(self, ipa: int, data: bytes) -> None:
        """Write the guest's memory while it is stopped; raises as :meth:`read_memory` does."""
        if not self.parts.ram.write(ipa, data):
            raise MemoryMapError(f"IPA {ipa:#x} size {len(data):#x} is not in the memory: {self.parts.ram.describe()}")

    # The end ---------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the machine has not been closed."""
        return self.parts.host.cpus > 0

    def close(self) -> None:
        """Release the engine and the guest's memory. :attr:`console` stays valid; nothing else may be used."""
        self.parts.close()
        if self._snapshot is not None:
            self._snapshot.close()

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
            raise UsageError("a description takes no overrides: they are for files and mappings")
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
    return as_path(value)
