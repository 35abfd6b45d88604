"""Reports of a vCPU to an observer, as facts rather than text: each exit and, if wanted, entries and the guest's own
exceptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, LINK_REGISTER, TrapFrame
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, CpuUp, Hypercall, MmioRead, SysRegRead


class ExitRecord:
    """One exit. ``esr`` is ESR_EL2 (None for an exit completed without an exception to EL2), ``pc`` the preferred
    return address, ``el`` the guest's Exception level; ``va`` is FAR_EL2 of an abort, ``lr`` and ``fp`` are x30 and
    x29; ``value`` is the 64-bit result of a read or a call; ``host_ns`` is the host's time up to the next entry, if the
    observer measures it; ``vcpu`` is the index of the vCPU."""

    __slots__ = ("el", "esr", "fp", "host_ns", "lr", "note", "pc", "reason", "time", "va", "value", "vcpu")

    def __init__(
        self,
        time: int,
        reason: AxVCpuExitReason,
        esr: int | None,
        pc: int,
        el: int,
        value: int | None = None,
        note: str = "",
        va: int | None = None,
        lr: int = 0,
        fp: int = 0,
        host_ns: int | None = None,
        vcpu: int = 0,
    ) -> None:
        self.time = time
        self.reason = reason
        self.esr = esr
        self.pc = pc
        self.el = el
        self.value = value
        self.note = note
        self.va = va
        self.lr = lr
        self.fp = fp
        self.host_ns = host_ns
        self.vcpu = vcpu

    # Mutable, so it has no hash.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExitRecord) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    def take_callers(self, frame: TrapFrame) -> None:
        """Copy the registers that lead to the callers."""
        self.lr, self.fp = frame.gpr(LINK_REGISTER), frame.gpr(FRAME_POINTER)

    def finish(self, frame: TrapFrame) -> None:
        """Copy the result from the registers, once the exit has been completed."""
        if self.note:
            return
        if isinstance(self.reason, (MmioRead, SysRegRead)):
            self.value = frame.gpr(self.reason.reg)
        elif isinstance(self.reason, (Hypercall, CpuUp)):
            self.value = frame.gpr(0)


class El1ExceptionRecord(NamedTuple):
    """An exception that the guest takes itself: ``kind`` is its row of the vector table, ``esr`` and ``far`` are those
    of EL1 (None for an interrupt, and if FAR is not set), ``pc`` the preferred return address, ``el`` the guest's
    Exception level, ``vector`` where it continues; ``x8`` is the number of a Linux system call, ``vcpu`` the index of
    the vCPU."""

    time: int
    kind: int
    esr: int | None
    far: int | None
    pc: int
    el: int
    vector: int
    x8: int
    vcpu: int = 0


RepeatedAccess = Callable[[int, "int | None", int, int, int, int], object]
"""Takes an access like an earlier one: its time; the host's time for it (``ExitRecord.host_ns``); the value that was
read (``ExitRecord.value``) or written; x30 and x29 (``ExitRecord.lr``, ``fp``); and the virtual interrupts pending as
the guest resumes, as bits of HCR_EL2 (VI, VF)."""


class ExitObserver(Protocol):
    """An observer of vCPUs. The vCPU queries once, when it is bound, what the observer wants."""

    @property
    def wants_entries(self) -> bool:
        """Whether :meth:`entry` is to be called."""

    @property
    def wants_exceptions(self) -> bool:
        """Whether :meth:`exception` is to be called."""

    @property
    def timing(self) -> bool:
        """Whether to measure the host's time for each exit."""

    def now(self) -> int:
        """Return the time of an event, in nanoseconds of the trace's clock."""

    def exit(self, record: ExitRecord) -> None:
        """Receive one exit, after it was completed."""

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Receive that a vCPU resumes at ``pc``, and which virtual interrupts are pending for it."""

    def exception(self, record: El1ExceptionRecord) -> None:
        """Receive an exception that the guest has taken to EL1; rarely an unwanted one, if :meth:`now` was called for
        it."""


@runtime_checkable
class RepeatObserver(ExitObserver, Protocol):
    """An observer that needs no record of an access to a device that equals an earlier one: by the same instruction, at
    the same address. The accesses are plain: one general-purpose register, no write-back."""

    @property
    def wants_repeats(self) -> bool:
        """Whether :meth:`repeat_of` is to be called."""

    def repeat_of(self, record: ExitRecord) -> RepeatedAccess:
        """Return a function that takes accesses like the one in ``record``, which was just reported, and the entries
        after them."""


class SilentObserver:
    """An observer without any reports; a base for observers of some of them."""

    wants_entries = False
    wants_exceptions = False
    timing = False

    def now(self) -> int:
        """Return 0: times are not used."""
        return 0

    def exit(self, record: ExitRecord) -> None:
        """Ignore an exit."""

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Ignore an entry."""

    def exception(self, record: El1ExceptionRecord) -> None:
        """Ignore an exception that the guest takes itself."""


class FanOut:
    """Several observers as one; implements :class:`ExitObserver`. The time is the first one's."""

    def __init__(self, observers: Sequence[ExitObserver]) -> None:
        self._observers = tuple(observers)
        self.now = self._observers[0].now
        self.wants_entries = any(each.wants_entries for each in self._observers)
        self.wants_exceptions = any(each.wants_exceptions for each in self._observers)
        self.timing = any(each.timing for each in self._observers)

    def exit(self, record: ExitRecord) -> None:
        """Report an exit to each observer."""
        for each in self._observers:
            each.exit(record)

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Report an entry to each observer that wants entries."""
        for each in self._observers:
            if each.wants_entries:
                each.entry(vcpu, pc, el, irq=irq, fiq=fiq)

    def exception(self, record: El1ExceptionRecord) -> None:
        """Report an exception to each observer that wants exceptions."""
        for each in self._observers:
            if each.wants_exceptions:
                each.exception(record)
