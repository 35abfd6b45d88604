"""A machine description: the parts of a guest's machine as immutable records.

:mod:`arm_vcpu_cli.board.loading` reads them from TOML and checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.board.schema import CPU_MODELS
from arm_vcpu_cli.guest.image import ImageKind
from arm_vcpu_cli.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    # Few machines have faults.
    from arm_vcpu_cli.board.fault_description import FaultDescription


class Conduit(Enum):
    """The instruction by which the guest calls PSCI and the secure monitor."""

    HVC = "hvc"
    SMC = "smc"


DEFAULT_IDLE: Final = 3600.0


class OnFault(Enum):
    """The effect of a guest access that a memory region's permissions forbid."""

    ABORT = "abort"
    """A synchronous external abort is injected into the guest."""
    STOP = "stop"
    """The run ends with a report."""
    IGNORE = "ignore"
    """A write has no effect; a fetch still aborts."""


class ClockSource(Enum):
    """The source of the guest's time."""

    AUTO = "auto"
    """The runner chooses."""
    INSTRUCTIONS = "instructions"
    """Executed instructions: runs repeat exactly."""
    HOST = "host"
    """The host's clock."""


class CpuDescription(Record):
    """``[cpu]``: identical CPUs that differ only in their ``affinities``, the affinity fields of MPIDR_EL1.

    The first is the one that boots. ``features`` are the architectural features that the file switches on or off, by
    name. ``phys_cpus`` physical CPUs run them; ``phys_cpu_sets`` holds for each the bit mask of those that it may run
    on, None for any. ``clusters`` are the numbers of CPUs in each cluster, in order; empty if the file does not mention
    clusters.
    """

    model: str
    affinities: tuple[int, ...] = (0,)
    features: tuple[tuple[str, bool], ...] = ()
    phys_cpus: int = 1
    phys_cpu_sets: tuple[int | None, ...] = (None,)
    clusters: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """The number of CPUs."""
        return len(self.affinities)

    def cluster_of(self, index: int) -> int:
        """Return the number of CPUs in the cluster of a CPU."""
        first = 0
        for size in self.clusters:
            first += size
            if index < first:
                return size
        return self.count

    @property
    def mpidr(self) -> int:
        """The affinity fields of the boot CPU."""
        return self.affinities[0]

    @property
    def pa_bits(self) -> int:
        """The width of a physical address, in bits."""
        return CPU_MODELS[self.model].pa_bits


class El2Description(Record):
    """``[el2]``; ``hcr``, ``cptr`` and ``mdcr`` name further trap bits of HCR_EL2, CPTR_EL2 and MDCR_EL2."""

    passthrough_interrupt: bool
    passthrough_timer: bool
    trap_wfi: bool
    trap_id_registers: bool
    hcr: tuple[str, ...]
    cptr: tuple[str, ...] = ()
    mdcr: tuple[str, ...] = ()


class MemoryRegion(Record):
    """``[memory.<name>]``; ``base`` is an IPA, ``file_offset`` is the offset in the region at which the file is
    loaded."""

    name: str
    base: int
    size: int
    readable: bool
    writable: bool
    executable: bool
    on_fault: OnFault
    file: Path | None
    file_offset: int

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.base + self.size

    def holds(self, address: int, size: int = 1) -> bool:
        """Whether the region contains all of the ``size`` bytes at ``address``."""
        return self.base <= address and address + size <= self.end


class DeviceDescription(Record):
    """``[device.<name>]``; ``type`` is a key of DEVICE_TYPES, ``intid`` an SPI (32 to 1019).

    With ``passthrough`` the guest reaches the device without an exit; its window then consists of whole pages.
    """

    name: str
    type: str
    base: int
    size: int
    intid: int | None
    passthrough: bool = False

    @property
    def end(self) -> int:
        """The first address after the window."""
        return self.base + self.size


class Window(Record):
    """A range of IPAs at which a device has registers; ``size`` in bytes."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address after the window."""
        return self.base + self.size


DEFAULT_SPIS: Final = 256
"""As on QEMU's virt board."""


class GicDescription(Record):
    """The device of type "gicv3" or "gicv2", by its ``version``: a distributor, and the parts of each CPU.

    With version 3 these are the redistributors, one after the other; with version 2 the CPU interfaces, banked at the
    same addresses. ``spis`` is the minimum number of shared interrupts; there are more if a device needs them.
    """

    name: str
    version: int
    distributor: Window
    redistributors: Window | None = None
    cpu_interface: Window | None = None
    spis: int = DEFAULT_SPIS

    @property
    def windows(self) -> tuple[Window, ...]:
        """All its windows, the distributor first."""
        return tuple(each for each in (self.distributor, self.redistributors, self.cpu_interface) if each is not None)


class ClockDescription(Record):
    """``[clock]``; unless the clock is the host's, ``seed`` (64 bits) determines all randomness of the machine, and
    ``epoch`` is the real-time clock at reset, in seconds since 1970 (UTC). ``counter_read`` is the time that a read of
    a counter takes under the instruction clock, in nanoseconds."""

    source: ClockSource
    seed: int
    epoch: int
    counter_read: int


class ScheduleDescription(Record):
    """``[schedule]``: the order of turns. With a ``seed`` (64 bits) it is pseudo-random and the same for the same seed;
    without one it is round-robin. ``quantum`` is the longest turn while others wait, in nanoseconds."""

    seed: int | None
    quantum: int


class LoadedFile(Record):
    """``[load.<name>]``: a file loaded at the IPA ``address`` before the guest starts."""

    path: Path
    address: int


class BootDescription(Record):
    """``[boot]``; addresses are IPAs, None leaves the choice to the loader or the builder.

    ``kernel_type`` is the required kind of guest file, None accepts any. ``initrd`` is a file, and so is ``dtb_file``,
    a device tree that replaces the one generated from the description. ``arguments`` are the guest program's. ``kaslr``
    gives a Linux kernel a seed for address randomisation; without it the kernel keeps the addresses of its symbols.
    With ``reboot`` a reset requested by the guest restarts it; without it the reset ends the run.
    """

    entry: int | None
    load_address: int | None
    dtb: bool
    dtb_address: int | None
    bootargs: str
    initrd: Path | None = None
    kaslr: bool = False
    kernel_type: ImageKind | None = None
    reboot: bool = False
    dtb_file: Path | None = None
    arguments: tuple[str, ...] = ()


class SmcFunction(Record):
    """``[smc.function.<name>]``: a call of the secure monitor and the values that it returns in x0 to x3.

    Negative values in the file are stored as the unsigned 64-bit register values.
    """

    name: str
    id: int
    returns: tuple[int, ...]


class SmcDescription(Record):
    """``[smc]``: the secure monitor's calls."""

    conduit: Conduit
    functions: tuple[SmcFunction, ...]


class Limits(Record):
    """``[limits]``: ``timeout`` in seconds of the host, ``max_exits`` a count, ``idle`` the seconds of guest time that
    a guest may wait without output once its input has ended, ``guest_timeout`` in seconds of guest time; 0 is no
    limit."""

    timeout: float
    max_exits: int
    idle: float = DEFAULT_IDLE
    guest_timeout: float = 0.0


NO_LIMITS: Final = Limits(timeout=0.0, max_exits=0)


def main_ram(memory: Sequence[MemoryRegion]) -> MemoryRegion | None:
    writable = [region for region in memory if region.writable]
    named = [region for region in writable if region.name == "ram"]
    runnable = [region for region in writable if region.executable]
    candidates = named or runnable or writable
    return max(candidates, key=lambda region: (region.size, -region.base)) if candidates else None


class MachineDescription(Record):
    """A checked machine description. ``memory`` and ``devices`` are sorted by base; nothing overlaps.

    ``gic`` is the interrupt controller, which ``devices`` does not contain, or None.
    ``path`` is the file that described it, None for a preset; ``name`` is its stem or the preset's name.
    ``semihosting_dir`` is the folder whose files the guest may use through semihosting, None for no files; no machine
    file can name it.
    """

    name: str
    path: Path | None
    cpu: CpuDescription
    el2: El2Description
    memory: tuple[MemoryRegion, ...]
    devices: tuple[DeviceDescription, ...]
    gic: GicDescription | None
    clock: ClockDescription
    schedule: ScheduleDescription
    boot: BootDescription
    smc: SmcDescription
    limits: Limits
    semihosting: bool
    loads: tuple[LoadedFile, ...] = ()
    semihosting_dir: Path | None = None
    faults: tuple[FaultDescription, ...] = ()

    @property
    def address_bits(self) -> int:
        """The width of guest physical addresses needed for all memory and devices."""
        ends = [region.end for region in self.memory] + [device.end for device in self.devices]
        if self.gic is not None:
            ends += [window.end for window in self.gic.windows]
        return (max(ends) - 1).bit_length()

    @property
    def has_gic_registers(self) -> bool:
        """Whether its interrupt controller has system registers; version 2 is entirely memory-mapped."""
        return self.gic is not None and self.gic.version > 2

    @property
    def ram(self) -> MemoryRegion:
        """The main RAM: the writable region "ram", else the largest writable and executable one, else the largest
        writable one.

        Raises ValueError if no region is writable, which loading rules out.
        """
        region = main_ram(self.memory)
        if region is None:
            raise ValueError("the machine has no writable memory")
        return region
