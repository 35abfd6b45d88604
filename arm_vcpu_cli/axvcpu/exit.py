"""Why a vCPU stopped: the exit reasons of the axvcpu crate (``AxVCpuExitReason``) as immutable records.

Nothing here knows an architecture. Addresses are guest-physical, in bytes; widths are in bytes. Fields that the crate
lacks are marked as ours.
"""

from __future__ import annotations

from enum import Enum, Flag, IntEnum

from arm_vcpu_cli.record import Record


class AccessWidth(IntEnum):
    """Width of a device access, in bytes."""

    BYTE = 1
    WORD = 2
    DWORD = 4
    QWORD = 8


class AccessFlags(Flag):
    """The kind of access to memory that was attempted."""

    READ = 1
    WRITE = 2
    EXECUTE = 4


class PowerAction(Enum):
    """What the guest requested for the whole system (ours: the crate only has OFF)."""

    OFF = "off"
    RESET = "reset"
    EXIT = "exit"
    SUSPEND = "suspend"


class Hypercall(Record):
    """The guest called the hypervisor: ``nr`` is the call's number, ``args`` its arguments (64 bits each)."""

    nr: int
    args: tuple[int, ...]


class MmioRead(Record):
    """A load from a device at ``addr`` into register ``reg``, which is ``reg_width`` wide.

    ``sign_extend`` is ours: the crate drops it, and a signed load then reads wrong.
    """

    addr: int
    width: AccessWidth
    reg: int
    reg_width: AccessWidth
    sign_extend: bool = False


class MmioWrite(Record):
    """A store of ``data`` to a device at ``addr``."""

    addr: int
    width: AccessWidth
    data: int


class SysRegRead(Record):
    """A trapped read of the system register ``addr`` into register ``reg``.

    On AArch64 ``addr`` is the encoding in the form of the syndrome's ISS (``iss & 0x3FFC1E``).
    """

    addr: int
    reg: int


class SysRegWrite(Record):
    """A trapped write of ``value`` to the system register ``addr`` (see :class:`SysRegRead`)."""

    addr: int
    value: int


class IoRead(Record):
    """A read from an I/O port; only architectures with a port space have it."""

    port: int
    width: AccessWidth


class IoWrite(Record):
    """A write to an I/O port; only architectures with a port space have it."""

    port: int
    width: AccessWidth
    data: int


class ExternalInterrupt(Record):
    """A host interrupt arrived while the guest ran; ``vector`` is the number that the HAL fetched."""

    vector: int


class NestedPageFault(Record):
    """Stage 2 refused an access to ``addr``; ``access_flags`` is the kind of access."""

    addr: int
    access_flags: AccessFlags


class Halt(Record):
    """The guest waits for an interrupt.

    ``for_event`` is ours: the guest waits for an event (WFE), and may resume at any time. ``entry_point`` and ``arg``
    are ours, too: a CPU that loses its registers while it waits restarts at ``entry_point`` with ``arg`` in its first
    register. ``entry_point`` is None for a CPU that resumes where it stopped.
    """

    entry_point: int | None = None
    arg: int = 0
    for_event: bool = False


class CpuUp(Record):
    """The guest starts the CPU ``target_cpu`` at ``entry_point`` with ``arg`` in its first register."""

    target_cpu: int
    entry_point: int
    arg: int


class CpuDown(Record):
    """The calling CPU switches itself off; ``state`` is the power state that it requested."""

    state: int


class SystemDown(Record):
    """The guest ends or suspends the whole system; ``status`` is its own exit status (all fields are ours).

    A suspended system that is woken resumes at ``entry_point`` with ``arg`` in the first register.
    """

    action: PowerAction = PowerAction.OFF
    status: int = 0
    entry_point: int | None = None
    arg: int = 0


class Nothing(Record):
    """The vCPU returned without anything to do, for example after a request to stop."""


class FailEntry(Record):
    """The guest could not be entered or left properly; ``description`` (ours) gives the reason."""

    hardware_entry_failure_reason: int
    description: str = ""


class SendIPI(Record):
    """The guest sends the inter-processor interrupt ``vector``.

    ``target_cpu`` is the first target and ``target_cpu_aux`` the architecture's list of further ones. With
    ``send_to_all`` every CPU but the sender receives it, with ``send_to_self`` only the sender.
    """

    target_cpu: int
    target_cpu_aux: int
    send_to_all: bool
    send_to_self: bool
    vector: int


AxVCpuExitReason = (
    Hypercall
    | MmioRead
    | MmioWrite
    | SysRegRead
    | SysRegWrite
    | IoRead
    | IoWrite
    | ExternalInterrupt
    | NestedPageFault
    | Halt
    | CpuUp
    | CpuDown
    | SystemDown
    | Nothing
    | FailEntry
    | SendIPI
)

EXIT_REASONS: tuple[type[AxVCpuExitReason], ...] = (
    Hypercall,
    MmioRead,
    MmioWrite,
    SysRegRead,
    SysRegWrite,
    IoRead,
    IoWrite,
    ExternalInterrupt,
    NestedPageFault,
    Halt,
    CpuUp,
    CpuDown,
    SystemDown,
    Nothing,
    FailEntry,
    SendIPI,
)
"""Every exit reason, in the crate's order."""
