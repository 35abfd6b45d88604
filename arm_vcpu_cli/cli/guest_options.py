"""The options of a command that runs a guest, and the machine description that results."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.board.description import ClockSource, MachineDescription
from arm_vcpu_cli.board.schema import KERNEL_TYPES
from arm_vcpu_cli.cli.described import load_description
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.files import read_stream
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.record import Record, replace

if TYPE_CHECKING:
    from pathlib import Path

    from arm_vcpu_cli.board.layers import Overrides
    from arm_vcpu_cli.debug.endpoint import Endpoint

_FAULTS: Final = "arm_vcpu_cli.board.fault_loading"
"""Loaded only for runs with faults."""
STDIN: Final = "-"
"""The name of a guest that is read from standard input."""


class GuestOptions(Record):
    """The values of the options of a command that runs a guest, or continues one ``from_snapshot``."""

    guest: FilePath | None = None
    machine: Path | None = None
    append: str | None = None
    memory: int | None = None
    smp: int | None = None
    gic: int | None = None
    kernel_type: str | None = None
    initrd: Path | None = None
    load_address: int | None = None
    symbols: Path | None = None
    clock: str | None = None
    repeatable: bool = False
    """Whether the instruction clock is the default if neither options nor file choose a clock."""
    seed: int | None = None
    phys_cpus: int | None = None
    schedule: int | None = None
    reboot: bool = False
    record: Path | None = None
    replay: Path | None = None
    timeout: float | None = None
    guest_timeout: float | None = None
    max_exits: int | None = None
    regs: bool = False
    cpu: str | None = None
    dtb: Path | None = None
    loads: tuple[tuple[Path, int], ...] = ()
    arguments: tuple[str, ...] = ()
    no_input: bool = False
    semihosting_dir: Path | None = None
    report: str | None = None
    report_file: Path | None = None
    as_program: bool = False
    """Whether to run the guest like a program: one line if it fails, no report, and an unchanged terminal."""
    gdb: Endpoint | None = None
    wait: bool = False
    from_snapshot: Path | None = None
    faults: Path | None = None

    @property
    def file(self) -> FilePath:
        """The file to run, a guest or a snapshot. Raises :class:`UsageError` if there is neither."""
        found = self.from_snapshot or self.guest
        if found is None:
            raise UsageError("expected a guest, or --from FILE")
        return found

    def load(self) -> tuple[MachineDescription, GuestImage]:
        """Load machine description and guest; the command line overrides the file."""
        self.check_journal()
        guest = self.file
        if os.fspath(guest).endswith(".toml") and self.kernel_type is None:
            # As a raw binary it would run for an instruction or two.
            raise UsageError(f"{guest}: this is a machine description: pass it with -m; GUEST is the program to run")
        description = self.describe()
        boot = description.boot
        load_address = boot.load_address if self.load_address is None else self.load_address
        image = load_guest(
            guest,
            load_address=load_address,
            ram_base=description.ram.base,
            kind=boot.kernel_type,
            data=self._read_stdin() if self.from_stdin else None,
        )
        if self.load_address is not None and image.kind == "elf":
            raise UsageError(f"--load-address is for raw binaries; {guest} is an ELF file, with addresses in it")
        return description, self.with_symbols(image)

    def with_symbols(self, image: GuestImage) -> GuestImage:
        """Return an image with the symbols that the options name, if any."""
        if self.symbols is None:
            return image
        files = import_module("arm_vcpu_cli.guest.symbol_files")
        return replace(image, symbols=files.load_symbols(self.symbols))

    def check_journal(self) -> None:
        """Raise :class:`UsageError` for a run that would be recorded and replayed at once."""
        if self.record is not None and self.replay is not None:
            raise UsageError("--record and --replay: expected one of them")

    def describe(self) -> MachineDescription:
        """Load the machine description alone."""
        return self._over(load_description(self.machine, self._overrides(), self._files))

    @property
    def _files(self) -> tuple[FilePath, ...]:
        """The files that the options name and that are read after the machine file."""
        guest = None if self.from_stdin else self.guest
        named = (guest, self.initrd, self.symbols, self.dtb, *(path for path, _ in self.loads))
        return tuple(path for path in named if path is not None)

    @property
    def from_stdin(self) -> bool:
        """Whether the guest itself is read from stdin."""
        return self.guest is not None and os.fspath(self.guest) == STDIN

    @property
    def reads_input(self) -> bool:
        """Whether stdin is the guest's input."""
        return not (self.no_input or self.from_stdin)

    def _read_stdin(self) -> bytes:
        if sys.stdin.isatty():
            raise UsageError("-: stdin is a terminal; expected the guest from a file or a pipe")
        return read_stream(sys.stdin.buffer, STDIN, "a guest image")

    def _overrides(self) -> Overrides:
        """The overrides that are checked together with the file."""
        return {
            "gic": self.gic,
            "cpus": self.smp,
            "phys_cpus": self.phys_cpus,
            "memory_size": self.memory,
            "bootargs": self.append,
            "schedule": self.schedule,
            "reboot": self.reboot or None,
            "cpu": self.cpu,
            "arguments": self.arguments or None,
            "dtb": self.dtb,
            "loads": self.loads or None,
            "semihosting_dir": self.semihosting_dir,
        }

    def _clock_source(self, described: ClockSource) -> ClockSource:
        """The guest's clock, given the machine file's choice ``described``."""
        asked = None if self.clock is None else ClockSource(self.clock)
        if asked in (None, ClockSource.AUTO) and not (self.record is None and self.replay is None and self.gdb is None):
            # Only runs under the instruction clock can be repeated, and only there does time stand still in a stopped
            # guest.
            return ClockSource.INSTRUCTIONS
        if asked is not None:
            return asked
        return ClockSource.INSTRUCTIONS if self.repeatable and described is ClockSource.AUTO else described

    def _over(self, description: MachineDescription) -> MachineDescription:
        """The description, overridden by the options."""
        boot, clock, limits = description.boot, description.clock, description.limits
        if self.initrd is not None:
            boot = replace(boot, initrd=self.initrd)
        if self.kernel_type is not None:
            boot = replace(boot, kernel_type=KERNEL_TYPES[self.kernel_type])
        clock = replace(clock, source=self._clock_source(clock.source))
        if self.seed is not None:
            clock = replace(clock, seed=self.seed)
        if self.timeout is not None:
            limits = replace(limits, timeout=self.timeout)
        if self.guest_timeout is not None:
            limits = replace(limits, guest_timeout=self.guest_timeout)
        if self.max_exits is not None:
            limits = replace(limits, max_exits=self.max_exits)
        return self.with_faults(replace(description, boot=boot, clock=clock, limits=limits))

    def with_faults(self, description: MachineDescription) -> MachineDescription:
        """Return a description with the faults of the file that the options name, if any."""
        if self.faults is None:
            return description
        added: MachineDescription = import_module(_FAULTS).add_faults(description, self.faults)
        return added
