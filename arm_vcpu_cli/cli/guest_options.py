"""What a command that runs a guest is told, and how it becomes a machine."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from arm_vcpu_cli.board.description import ClockSource, MachineDescription
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.board.schema import KERNEL_TYPES
from arm_vcpu_cli.errors import MachineFileError, UsageError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.record import Record, replace


class GuestOptions(Record):
    """What the options of a command that runs a guest say."""

    guest: Path
    machine: Path | None = None
    append: str | None = None
    memory: int | None = None
    kernel_type: str | None = None
    initrd: Path | None = None
    load_address: int | None = None
    symbols: Path | None = None
    clock: str | None = None
    seed: int | None = None
    record: Path | None = None
    replay: Path | None = None
    timeout: float | None = None
    max_exits: int | None = None
    regs: bool = False

    def load(self) -> tuple[MachineDescription, GuestImage]:
        """Load machine description and guest; what the command line says wins over the file."""
        if self.record is not None and self.replay is not None:
            raise UsageError("--record and --replay: a run is either recorded or repeated")
        if self.guest.suffix == ".toml" and self.kernel_type is None:
            # As a raw binary it would run, for an instruction or two.
            raise UsageError(f"{self.guest}: a machine description goes with -m, and GUEST is the program to run")
        description = self._over(load_description(self.machine, self.append, self.memory))
        boot = description.boot
        load_address = boot.load_address if self.load_address is None else self.load_address
        image = load_guest(self.guest, load_address=load_address, ram_base=description.ram.base, kind=boot.kernel_type)
        if self.load_address is not None and image.kind == "elf":
            raise UsageError(f"--load-address is for raw binaries; {self.guest} is an ELF file, with addresses in it")
        if self.symbols is not None:
            files = import_module("arm_vcpu_cli.guest.symbol_files")
            image = replace(image, symbols=files.load_symbols(self.symbols))
        return description, image

    def _over(self, description: MachineDescription) -> MachineDescription:
        """The description with what the options say in the place of what it says."""
        boot, clock, limits = description.boot, description.clock, description.limits
        if self.initrd is not None:
            boot = replace(boot, initrd=self.initrd)
        if self.kernel_type is not None:
            boot = replace(boot, kernel_type=KERNEL_TYPES[self.kernel_type])
        if self.clock is not None:
            clock = replace(clock, source=ClockSource(self.clock))
        if self.seed is not None:
            clock = replace(clock, seed=self.seed)
        if self.timeout is not None:
            limits = replace(limits, timeout=self.timeout)
        if self.max_exits is not None:
            limits = replace(limits, max_exits=self.max_exits)
        return replace(description, boot=boot, clock=clock, limits=limits)


def load_description(machine: Path | None, append: str | None, memory: int | None) -> MachineDescription:
    """The machine that the options describe; what they say wins over the file."""
    try:
        return load_machine(machine, memory_size=memory, bootargs=append)
    except MachineFileError as error:
        if memory is not None and error.key is not None and error.key.endswith(".size"):
            option = "--memory"
        elif append is not None and error.key == "boot.bootargs":
            option = "--append"
        else:
            raise
        # The file may have the same fault; then it is the one to name.
        load_machine(machine)
        raise UsageError(f"{option}: {error.message}") from error
