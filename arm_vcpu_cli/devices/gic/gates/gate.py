"""The gates that an interrupt passes on its way, and the registers that open and close them."""

from __future__ import annotations

from enum import Enum
from typing import Final

from arm_vcpu_cli.record import Record


class Frame(Enum):
    """The kind of place of a register."""

    DISTRIBUTOR = "distributor"
    REDISTRIBUTOR = "redistributor"
    CPU_INTERFACE = "CPU interface"
    DEVICE = "device"
    """A device that raises an interrupt; ``offset`` of its registers is their IPA."""
    SYSTEM = "system register"
    """It has no address: MRS and MSR."""


class RegisterAt(Record):
    """A register as the PE ``cpu`` sees it: ``width`` bytes at ``offset`` in its frame.

    Each Redistributor has its own frame, which ``offset`` is relative to.
    """

    name: str
    frame: Frame
    cpu: int
    offset: int = 0
    width: int = 4


class Gate(Enum):
    """The gates that an interrupt passes, in the order in which its signal travels (IHI 0069H, 4.1 to 4.8; IHI 0048B,
    3.2): from the timer through the GIC to the PE."""

    TIMER_OFF = "ENABLE"
    """The timer is off."""
    TIMER_MASKED = "IMASK"
    """The timer masks its own interrupt."""
    TIMER_ENDLESS = "CVAL"
    """The timer's compare value is never reached."""
    DEVICE_MASKED = "IMSC"
    """The device masks all of its own sources."""
    TRIGGER = "ICFGR"
    """The line is asserted, but the interrupt is edge-triggered and its edge is past."""
    ENABLE = "ISENABLER"
    """The interrupt is not enabled."""
    DISTRIBUTOR = "GICD_CTLR"
    """The Distributor forwards no group at all."""
    GROUP = "IGROUPR"
    """It is in a group that the Distributor, or the CPU interface, does not forward, although it forwards the other
    one."""
    NOT_ENDED = "EOIR"
    """It is active: a PE has acknowledged it, and has neither dropped its priority nor deactivated it."""
    NOT_DEACTIVATED = "DIR"
    """It is active, though its priority was dropped: EOImode 1, or the end of another interrupt was written."""
    ASLEEP = "GICR_WAKER"
    """The Redistributor presents nothing to a PE that it considers asleep."""
    ROUTE = "IROUTER"
    """It is routed to no PE."""
    PE_OFF = "power"
    """It is routed to a PE that is switched off."""
    INTERFACE = "IGRPEN"
    """The CPU interface does not signal its group."""
    PRIORITY = "IPRIORITYR"
    """Its priority is the lowest, which every priority mask blocks."""
    MASK = "PMR"
    """Its priority is not higher than the priority mask."""
    RUNNING = "RPR"
    """Its priority is not higher than the running priority: another interrupt has not been ended."""
    BEHIND = "HPPIR"
    """A pending interrupt of a higher priority is presented in its place, and is not signalled."""
    MASKED = "PSTATE"
    """The PE masks IRQ or FIQ."""


class Closed(Record):
    """A closed gate: ``register`` contains the ``value`` that closes it. Writing ``write`` to ``opener`` opens it;
    ``opener`` is None if no register does. ``priority`` and ``limit`` are the compared priorities, ``culprit`` is the
    interrupt that blocks this one, and ``group1`` the group of the interrupt. ``binary_point`` is the register, with
    its value, that keeps a higher priority from preempting a lower one."""

    gate: Gate
    register: RegisterAt
    value: int
    opener: RegisterAt | None
    write: int = 0
    group1: bool = False
    priority: int | None = None
    limit: int | None = None
    culprit: int | None = None
    binary_point: tuple[RegisterAt, int] | None = None


class Pending(Record):
    """An interrupt, and the gates that hold it back on its way through the GIC, the first gate first; none if
    ``closed`` is empty.

    ``cpu`` is the PE that it is routed to, None if there is none. ``fiq``: it is signalled as FIQ, else as IRQ.
    """

    intid: int
    cpu: int | None
    closed: tuple[Closed, ...]
    fiq: bool = False
    active: bool = False


IDLE: Final = 0xFF
"""The running priority of a PE that handles no interrupt."""
