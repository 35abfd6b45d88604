"""Follows an interrupt through a GIC, gate by gate, and reports the closed ones in their order.

The suggested way to open a gate is as close to the guest's intention as its registers show: if one group is enabled and
the interrupt is in the other, the group that the CPU interface signals decides which of the two is considered the
mistake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI, GicdCtlr, GicrWaker
from arm_vcpu_cli.devices.gic.common.bank import PRIORITY_MASK
from arm_vcpu_cli.devices.gic.common.interface import APR_SHIFT
from arm_vcpu_cli.devices.gic.common.registers import ICACTIVER, IGROUPR, ISACTIVER, ISENABLER, ISPENDR
from arm_vcpu_cli.devices.gic.gates.gate import IDLE, Closed, Gate, Pending, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import WORD_BITS, GicView
from arm_vcpu_cli.record import replace

_LET_ALL_PASS: Final = 0xFF
_USUAL_PRIORITY: Final = 0xA0
"""The priority that most guests give their interrupts; any but the lowest would do."""
_NOBODY: Final[frozenset[int]] = frozenset()


def pending_interrupts(view: GicView, off: Collection[int] = _NOBODY) -> list[Pending]:
    """Return all pending interrupts, each with the gates that hold it back: those of each PE first, then the shared
    ones. The PEs ``off`` are switched off."""
    found = [follow(view, intid, cpu, off) for cpu in range(view.cpus) for intid in view.private(ISPENDR, cpu)]
    return found + [follow(view, intid, 0, off) for intid in view.shared(ISPENDR)]


def follow(view: GicView, intid: int, cpu: int, off: Collection[int] = _NOBODY) -> Pending:
    """Return the gates that hold an interrupt back, or would if it were pending; ``cpu`` is the PE of a private one.

    If it may go to several PEs, use the one where it gets furthest.
    """
    if intid < FIRST_SPI:
        return _follow_to(view, intid, cpu, off)
    ways = [_follow_to(view, intid, target, off) for target in view.targets(intid)]
    return min(ways, key=lambda way: len(way.closed)) if ways else _follow_to(view, intid, None, off)


def _follow_to(view: GicView, intid: int, cpu: int | None, off: Collection[int]) -> Pending:
    here = cpu or 0
    closed = list(_at_the_distributor(view, intid, cpu))
    # The gates behind these are examined with the group that the interrupt has once these are open.
    moved = any(each.gate is Gate.GROUP and each.opener != view.control() for each in closed)
    group1 = view.is_group1(here, intid) is not moved
    closed += _at_the_pe(view, intid, cpu, off, group1)
    if cpu is not None and not closed:
        closed += _behind(view, intid, cpu)
    fiq = cpu is not None and view.signals_as_fiq(cpu, group1)
    return Pending(intid, cpu, tuple(closed), fiq, view.is_active(here, intid))


# The Distributor, or the Redistributor for private interrupts ------------------------------------------------------


def _at_the_distributor(view: GicView, intid: int, cpu: int | None) -> Iterator[Closed]:
    here = cpu or 0
    bit = 1 << intid % WORD_BITS
    if not view.is_enabled(here, intid):
        register = view.interrupt_register(ISENABLER, here, intid)
        yield Closed(Gate.ENABLE, register, view.read(register), register, bit)
    group1 = view.is_group1(here, intid)
    control = view.control()
    value = view.read(control)
    if not value & (_enable(True) | _enable(False)):
        groups = _wanted_groups(view, cpu, group1)
        yield Closed(Gate.DISTRIBUTOR, control, value, control, value | groups, group1)
        if not groups & _enable(group1):
            yield _other_group(view, intid, view.interrupt_register(IGROUPR, here, intid), group1)
    elif not value & _enable(group1):
        yield _wrong_group(view, intid, cpu, control)
    if view.is_active(here, intid):
        yield _active(view, intid, here)


def _enable(group1: bool) -> int:
    """Return the bit of GICD_CTLR, which is the same in both versions."""
    return int(GicdCtlr.of(EnableGrp1=1) if group1 else GicdCtlr.of(EnableGrp0=1))


def _signals(view: GicView, cpu: int, group1: bool) -> bool:
    register, bit = view.group_enable(cpu, group1)
    return bool(view.read(register) & bit)


def _wanted_groups(view: GicView, cpu: int | None, group1: bool) -> int:
    """Return the groups that GICD_CTLR should enable: those that the CPU interface signals, or else the group that
    guests use."""
    signalled = [group for group in (False, True) if cpu is not None and _signals(view, cpu, group)]
    return sum(_enable(group) for group in signalled or [group1 or view.uses_group1])


def _wrong_group(view: GicView, intid: int, cpu: int | None, control: RegisterAt) -> Closed:
    """The Distributor forwards only the other group: either that, or the group of the interrupt, is the mistake."""
    here = cpu or 0
    group1 = view.is_group1(here, intid)
    register = view.interrupt_register(IGROUPR, here, intid)
    if cpu is not None and _signals(view, cpu, group1) and not _signals(view, cpu, not group1):
        value = view.read(control)
        return Closed(Gate.GROUP, control, value, control, value | _enable(group1), group1)
    return _other_group(view, intid, register, group1)


def _other_group(view: GicView, intid: int, register: RegisterAt, group1: bool) -> Closed:
    value = view.read(register)
    return Closed(Gate.GROUP, register, value, register, value ^ 1 << intid % WORD_BITS, group1)


def _active(view: GicView, intid: int, cpu: int) -> Closed:
    """Return the missing write: an active interrupt is not signalled again before it has ended."""
    register = view.interrupt_register(ISACTIVER, cpu, intid)
    value = view.read(register)
    taker = cpu if intid < FIRST_SPI or _is_dropped(view, intid, cpu) is False else _taker(view, intid, cpu)
    if _is_dropped(view, intid, taker):
        if view.eoi_mode(taker):
            opener = view.interface("DIR", taker)
            return Closed(Gate.NOT_DEACTIVATED, register, value, opener, view.end_value(taker, intid), culprit=intid)
        opener = view.interrupt_register(ICACTIVER, cpu, intid)
        write = 1 << intid % WORD_BITS
        return Closed(Gate.NOT_DEACTIVATED, register, value, opener, write, culprit=intid)
    running = _running(view, taker)
    if running is not None and running.culprit != intid:
        # An interrupt that has preempted it must end first.
        return running
    group1 = _running_group1(view, taker)
    opener = view.end_register(taker, group1)
    return Closed(Gate.NOT_ENDED, register, value, opener, view.end_value(taker, intid), group1, culprit=intid)


def _taker(view: GicView, intid: int, cpu: int) -> int:
    """Return the PE that has acknowledged a shared interrupt, as far as its active priorities show."""
    takers = (other for other in range(view.cpus) if not _is_dropped(view, intid, other))
    return next(takers, cpu)


def _is_dropped(view: GicView, intid: int, cpu: int) -> bool:
    """Return whether a PE has no active priority that an interrupt could have."""
    return not _active_priorities(view, cpu, view.is_group1(cpu, intid)) & _priority_bit(view, intid, cpu)


def _priority_bit(view: GicView, intid: int, cpu: int) -> int:
    group1 = view.is_group1(cpu, intid)
    return 1 << ((view.priority(cpu, intid) & view.group_mask(cpu, group1)) >> APR_SHIFT)


def _active_priorities(view: GicView, cpu: int, group1: bool) -> int:
    return view.read(view.active_priorities(cpu, group1))


# From the Distributor to the outputs of the CPU interface ------------------------------------------------------------


def _at_the_pe(view: GicView, intid: int, cpu: int | None, off: Collection[int], group1: bool) -> Iterator[Closed]:
    if cpu is not None and (waker := view.sleeps(cpu)) is not None:
        value = view.read(waker)
        yield Closed(
            Gate.ASLEEP, waker, value, waker, int(GicrWaker(value).replace(ProcessorSleep=0, ChildrenAsleep=0))
        )
    if cpu is None or cpu in off:
        yield _unreachable(view, intid, cpu, off)
        return
    yield from _at_the_interface(view, intid, cpu, group1)


def _unreachable(view: GicView, intid: int, cpu: int | None, off: Collection[int]) -> Closed:
    on = next((each for each in range(view.cpus) if each not in off), 0)
    gate = Gate.ROUTE if cpu is None else Gate.PE_OFF
    if intid < FIRST_SPI:
        # Only the PE itself can hold it.
        return Closed(gate, view.interrupt_register(ISPENDR, cpu or 0, intid), 0, None)
    route = view.route(intid)
    return Closed(gate, route, view.read(route), route, view.route_to(intid, on))


def _at_the_interface(view: GicView, intid: int, cpu: int, group1: bool) -> Iterator[Closed]:
    if not _signals(view, cpu, group1):
        yield _not_signalled(view, intid, cpu, group1)
    priority = view.priority(cpu, intid)
    mask = view.interface("PMR", cpu)
    if priority >= PRIORITY_MASK:
        register = view.priority_register(cpu, intid)
        yield Closed(Gate.PRIORITY, register, priority, register, _USUAL_PRIORITY, priority=priority)
    if (limit := view.read(mask)) <= min(priority, PRIORITY_MASK - 1):
        yield Closed(Gate.MASK, mask, limit, mask, _LET_ALL_PASS, priority=priority, limit=limit)
    running = _running(view, cpu)
    if running is not None and priority >= running.value & view.group_mask(cpu, group1) and running.culprit != intid:
        limit = running.value & view.group_mask(cpu, group1)
        yield replace(
            running, priority=priority, limit=limit, binary_point=_blunt(view, cpu, group1, running, priority)
        )


def _blunt(view: GicView, cpu: int, group1: bool, running: Closed, priority: int) -> tuple[RegisterAt, int] | None:
    """The binary point register, with its value, if it keeps an interrupt of higher priority from preempting."""
    if running.culprit is None or priority >= view.priority(cpu, running.culprit):
        return None
    register = view.binary_point(cpu, group1)
    return register, view.read(register)


def _not_signalled(view: GicView, intid: int, cpu: int, group1: bool) -> Closed:
    """The CPU interface does not signal the group: if it signals the other one, and the Distributor forwards that, the
    interrupt is in the wrong group."""
    register, bit = view.group_enable(cpu, group1)
    value = view.read(register)
    here = view.is_group1(cpu, intid) is group1
    if here and _signals(view, cpu, not group1) and view.read(view.control()) & _enable(not group1):
        return _other_group(view, intid, view.interrupt_register(IGROUPR, cpu, intid), group1)
    return Closed(Gate.INTERFACE, register, value, register, value | bit, group1)


def _running(view: GicView, cpu: int) -> Closed | None:
    """Return the interrupt that a PE handles, and the write that ends it; None if it is idle. ``culprit`` is None if
    active priorities are set and no interrupt is active."""
    register = view.interface("RPR", cpu)
    value = view.read(register)
    if value == IDLE:
        return None
    group1 = _running_group1(view, cpu)
    active = [intid for intid in view.active(cpu) if view.is_group1(cpu, intid) is group1]
    mask = view.group_mask(cpu, group1)
    # Priorities and binary points may have changed since it was acknowledged.
    culprit = next((intid for intid in active if view.priority(cpu, intid) & mask == value), next(iter(active), None))
    if culprit is None:
        opener = view.active_priorities(cpu, group1)
        priorities = view.read(opener)
        return Closed(Gate.RUNNING, register, value, opener, priorities & priorities - 1, group1)
    opener = view.end_register(cpu, group1)
    return Closed(
        Gate.RUNNING, register, value, opener, view.end_value(cpu, culprit), group1, limit=value, culprit=culprit
    )


def _running_group1(view: GicView, cpu: int) -> bool:
    """Return whether the highest active priority is in Group 1."""
    active0, active1 = (_active_priorities(view, cpu, group1) for group1 in (False, True))
    highest = (active0 | active1) & -(active0 | active1)
    return not active0 & highest


def _behind(view: GicView, intid: int, cpu: int) -> Iterator[Closed]:
    """Yield a closed gate if another interrupt is presented: a CPU interface is presented only the best pending
    interrupt, and signals that one or none."""
    rank = (view.priority(cpu, intid), intid)
    shared = (other for other in view.shared(ISPENDR) if cpu in view.targets(other))
    for other in (*view.private(ISPENDR, cpu), *shared):
        if (view.priority(cpu, other), other) >= rank or list(_at_the_distributor(view, other, cpu)):
            continue
        closed = next(iter(_at_the_interface(view, other, cpu, view.is_group1(cpu, other))), None)
        if closed is not None:
            yield Closed(
                Gate.BEHIND, closed.register, closed.value, closed.opener, closed.write, closed.group1, culprit=other
            )
            return
