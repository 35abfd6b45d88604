"""The tracer: receives all reports of a machine, selects the requested ones, and passes events on to a sink.

Other reports are dropped before any event is built; events that only a ring keeps are not formatted until the end.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VF, VI
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord, RepeatedAccess
from arm_vcpu_cli.axvcpu.exit import MmioRead, MmioWrite, NestedPageFault
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.observe.describing import EventDescriber, InterruptStep
from arm_vcpu_cli.observe.latency import InterruptLatency
from arm_vcpu_cli.observe.once import Once
from arm_vcpu_cli.observe.output_lines import complete_lines
from arm_vcpu_cli.observe.text_window import TextWindow
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.event import (
    ACCESS,
    CODE,
    CONSOLE,
    ENTRY,
    EXCEPTION,
    EXIT,
    FAULT,
    IRQ,
    STATE,
    TraceEnd,
    TraceEvent,
)
from arm_vcpu_cli.trace.selection import Facts, Test
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.passthrough import PassedThrough

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.faults.armed_fault import Injection

_WITH_IPA: Final = (MmioRead, MmioWrite, NestedPageFault)
_INSTRUCTION: Final = 4


MOMENTARY: Final = tuple("_open _left _ring _seen _kinds _held_states _line _exited _begun _inside _late".split())
"""The attributes that change."""


class Tracer:
    """Implements :class:`~arm_vcpu_cli.arm_vcpu.observer.ExitObserver`, and receives the reports of the other parts of
    a machine.

    ``clock`` returns the time in nanoseconds of the current vCPU, ``clock_of`` that of each of ``vcpus`` if there are
    several. ``time_stands``: no time passes while an exit is handled. ``caller`` finds a return address from PC, x30
    and x29; ``signalled`` returns the interrupt that a vCPU would acknowledge, ``current`` the vCPU that has the turn.
    """

    def __init__(
        self,
        sink: TraceSink,
        describer: EventDescriber,
        options: TraceOptions | None = None,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        caller: Callable[[int, int, int], int] | None = None,
        signalled: Callable[[int], int | None] = lambda _vcpu: None,
        current: Callable[[], int] = lambda: 0,
        clock_of: Callable[[int], int] | None = None,
        vcpus: int = 1,
        time_stands: bool = False,
    ) -> None:
        options = TraceOptions() if options is None else options
        types = options.selection.wanted_types()
        self._sink = sink
        self._event: Callable[[TraceEvent], object] = sink.event
        self._once: Once | None = None
        self._describer = describer
        self._options = options
        self._caller = caller
        self._signalled = signalled
        self._current = current
        start = clock()
        self._time: Final[Callable[[], int]] = (lambda: clock() - start) if start else clock
        """Returns the nanoseconds since the tracer was created."""
        self._time_of: Final[Callable[[int], int]] = (
            (lambda _vcpu: self._time()) if clock_of is None else lambda vcpu: clock_of(vcpu) - start
        )
        self._vcpus: Final = vcpus
        self._time_stands: Final = time_stands
        self._test, self._test_general = options.selection.test(), options.selection.test_general()
        self._test_access = options.selection.test_access()
        self._wants_exits = EXIT in types
        self.wants_entries = ENTRY in types
        self.wants_exceptions = EXCEPTION in types
        self.wants_interrupts = IRQ in types
        self.wants_states = STATE in types
        self.wants_console = CONSOLE in types
        self.wants_accesses = ACCESS in types
        self.wants_code = CODE in types
        self.wants_faults = FAULT in types
        self.timing = options.timing
        ordered = self.wants_interrupts or self.wants_console or self.wants_faults
        self.now: Final[Callable[[], int]] = self._begin if ordered else self._time
        """The time, read when an exit or exception begins."""
        self.at_exit: Callable[[], None] | None = None
        """Called at each exit, before it is reported."""
        self._open = not (options.start_at or options.start_on)
        self._left = options.first or -1
        self._ring: deque[tuple[Callable[..., TraceEvent], tuple[object, ...]]] | None = None
        if options.last:
            self._ring = deque(maxlen=options.last)
        self._unbounded: Final = self._left < 0 and self._ring is None
        """Whether every requested event is reported at once."""
        self._seen = 0
        self._kinds: Counter[type] = Counter()
        self._held_states: dict[int, int] = {}
        """The time at which a vCPU last left the guest, perhaps only briefly."""
        self._line = bytearray()
        self._exited: set[int] = set()
        """The vCPUs that have exited since they were entered."""
        self._begun: set[int] = set()
        self._inside = False
        self._late: list[tuple[Callable[..., TraceEvent], int, int, object]] = []
        """Effects of an exit that is not reported yet, held back so that the cause precedes them."""
        self._window = TextWindow(options.start_on, options.stop_on)
        self._latency = InterruptLatency()

    @property
    def counts(self) -> dict[str, int]:
        """Exits by reason, traced or not, in the order in which the reasons first occurred."""
        return {kind.__name__: count for kind, count in self._kinds.items()}

    # A run that goes back in time ------------------------------------------------------------------------------

    def tell_once(self) -> None:
        """From now on, pass each event to the sink only once: the trace of a run that goes back to an earlier state
        (:meth:`recall`) is the same as without going back."""
        self._once = once = Once(self._sink.event)
        self._event = once.event

    def forget_future(self) -> None:
        """Trace what follows as new: it may differ from what was traced before."""
        if self._once is not None:
            self._once.told = self._once.number

    def remembered(self) -> Any:
        """Return what the trace of the next events depends on."""
        number = 0 if self._once is None else self._once.number
        values = [copy(getattr(self, name)) for name in MOMENTARY]
        return values, self._window.tail, self._latency.remembered(), number

    def recall(self, remembered: Any) -> None:
        """Continue from what :meth:`remembered` returned."""
        values, self._window.tail, latency, number = remembered
        for name, value in zip(MOMENTARY, values, strict=True):
            setattr(self, name, copy(value))
        self._latency.recall(latency)
        if self._once is not None:
            self._once.number = number

    # Reports of the vCPU ---------------------------------------------------------------------------------------

    def exit(self, record: ExitRecord) -> None:
        """Count one exit, and report it if it is requested."""
        self._seen = number = self._seen + 1
        self._kinds[type(record.reason)] += 1
        if self.at_exit is not None:
            self.at_exit()
        if self._open and self._wants_exits and (self._test is None or self._meets(self._test, record)):
            # Find the caller now: the frame record may change later.
            find = self._caller
            caller = 0 if find is None else find(record.pc, record.lr, record.fp)
            if self._unbounded:
                # The same as _tell, without the call.
                self._event(self._describer.exit(number, record, caller))
            else:
                self._tell(self._describer.exit, number, record, caller)
        if self.wants_entries:
            self._exited.add(record.vcpu)
        self._inside = False
        if self._late:
            self._finish()

    @property
    def wants_repeats(self) -> bool:
        """Whether repeats can be reported without examining each exit first."""
        return self._wants_exits and self._test is None

    def repeat_of(self, record: ExitRecord) -> RepeatedAccess:
        """Return a tracer of accesses like the one in ``record``, and of the entries after them."""
        kind, vcpu, el, origin = type(record.reason), record.vcpu, record.el, record.pc
        pc = origin + _INSTRUCTION & MASK64
        exit_event, entry_event = self._describer.access_like(record), self._describer.entry_like(vcpu, pc, el)
        entries, stands, time = self.wants_entries, self._time_stands, self._time
        find, at_once = self._caller, self._unbounded

        def again(happened: int, host_ns: int | None, value: int, lr: int, fp: int, lines: int) -> None:
            # As in exit, entry and _tell.
            self._seen = number = self._seen + 1
            self._kinds[kind] += 1
            if self.at_exit is not None:
                self.at_exit()
            ring = self._ring
            if self._open:
                caller = 0 if find is None else find(origin, lr, fp)
                if at_once:
                    self._event(exit_event(number, happened, value, host_ns, caller))
                elif ring is not None and self._left < 0:
                    ring.append((exit_event, (number, happened, value, host_ns, caller)))
                else:
                    self._tell(exit_event, number, happened, value, host_ns, caller)
            self._inside = False
            if self._late:
                self._finish()
            if not entries:
                return
            if lines:
                self._exited.add(vcpu)
                self.entry(vcpu, pc, el, irq=bool(lines & VI), fiq=bool(lines & VF))
            elif self._open and at_once:
                self._event(entry_event(number, happened if stands else time()))
            elif self._open and ring is not None and self._left < 0:
                ring.append((entry_event, (number, time())))
            elif self._open:
                self._tell(entry_event, number, time())

        return again

    def _meets(self, test: Test, record: ExitRecord) -> bool:
        reason = record.reason
        ipa = reason.addr if isinstance(reason, _WITH_IPA) else None
        name = type(reason).__name__
        return test(Facts(self._seen, record.vcpu, record.time, name, record.esr, record.pc, ipa))

    def _begin(self) -> int:
        self._inside = True
        return self._time()

    def _finish(self) -> None:
        self._inside = False
        for make, vcpu, now, what in self._late:
            self._tell_effect(make, vcpu, now, what)
        self._late.clear()

    def _tell_effect(self, make: Callable[..., TraceEvent], vcpu: int, now: int, what: object) -> None:
        if self._inside:
            self._late.append((make, vcpu, now, what))
        elif self._wanted(vcpu, now):
            self._tell(make, self._seen, now, what)

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Report that a vCPU resumes."""
        if vcpu in self._exited:
            self._exited.discard(vcpu)
        elif vcpu in self._begun:
            # Without a preceding exit, the vCPU was only briefly stopped.
            return
        else:
            self._begun.add(vcpu)
        if not self._open:
            return
        now = self._time()
        if self._test is not None and not self._test(Facts(self._seen, vcpu, now, "", None, pc, None)):
            return
        virq = ("irq fiq" if fiq else "irq") if irq else "fiq" if fiq else ""
        if self._unbounded:
            self._event(self._describer.entry(self._seen, now, vcpu, pc, el, virq))
        else:
            self._tell(self._describer.entry, self._seen, now, vcpu, pc, el, virq)

    def exception(self, record: El1ExceptionRecord) -> None:
        """Report an exception that the guest takes without an exit."""
        self._tell_exception(record)
        if self._inside:
            self._finish()

    def _tell_exception(self, record: El1ExceptionRecord) -> None:
        if not (self._open and self.wants_exceptions):
            return
        if self._test is not None:
            facts = Facts(self._seen, record.vcpu, record.time, "", record.esr, record.pc, None)
            if not self._test(facts):
                return
        intid = self._signalled(record.vcpu) if record.esr is None else None
        self._tell(self._describer.exception, self._seen, record, intid)

    # Reports of the machine ------------------------------------------------------------------------------------

    def interrupt(self, action: str, cpu: int, intid: int) -> None:
        """Report a step in the life of an interrupt; see :meth:`~arm_vcpu_cli.devices.gic.v3.GicV3.watch`."""
        # An interrupt without a target vCPU is reported for the current one.
        vcpu = cpu if cpu >= 0 else self._current()
        now = self._time() if self._vcpus == 1 else self._time_of(vcpu)
        latency = self._latency.step(action, cpu, intid, now)
        self._tell_effect(self._describer.interrupt, vcpu, now, InterruptStep(action, vcpu, intid, latency))

    def state(self, vcpu: int, before: VCpuState, after: VCpuState) -> None:
        """Report a change of a vCPU's state."""
        now = self._time() if self._vcpus == 1 else self._time_of(vcpu)
        held = self._held_states.pop(vcpu, None)
        if after is VCpuState.READY and before is VCpuState.RUNNING:
            # The vCPU may be stopped only briefly, for an inspection or for another one's turn: that is no event. Its
            # time may depend on the host, and an exit that stops the vCPU is reported as an exit.
            self._held_states[vcpu] = now
            return
        if held is not None and after is VCpuState.RUNNING:
            return
        if held is not None:
            self._tell_state(held, vcpu, VCpuState.RUNNING, VCpuState.READY)
        self._tell_state(now, vcpu, before, after)

    def _tell_state(self, now: int, vcpu: int, before: VCpuState, after: VCpuState) -> None:
        if self._wanted(vcpu, now):
            self._tell(self._describer.state, self._seen, now, vcpu, before.value, after.value)

    def console(self, data: bytes) -> None:
        """Process the guest's output; lines are reported when they end."""
        window = self._window.look(data)
        if window is not None:
            self._open = window and self._left != 0
        if not self.wants_console:
            return
        for line in complete_lines(self._line, data):
            self._tell_line(line)

    def access(self, device: PassedThrough, is_write: bool, offset: int, width: int, value: int) -> None:
        """Report an access to a device without an exit."""
        if not self._open:
            return
        now, test, vcpu = self._time(), self._test_access, self._current()
        if test is None or test(Facts(self._seen, vcpu, now, "", None, None, device.base + offset)):
            self._tell(self._describer.access, self._seen, now, vcpu, device, is_write, offset, width, value)

    def code(self, vaddr: int, ipas: range) -> None:
        """Report the guest's first execution from a range of memory, without an exit."""
        now, vcpu = self._time(), self._current()
        if self._wanted(vcpu, now):
            self._tell(self._describer.code, self._seen, now, vcpu, vaddr, ipas)

    def fault(self, injection: Injection) -> None:
        """Report an injected fault."""
        now = self._time() if self._vcpus == 1 else self._time_of(injection.vcpu)
        self._tell_effect(self._describer.fault, injection.vcpu, now, injection)

    def open(self) -> None:
        """Report events from now on."""
        self._open = self._left != 0

    def shut(self) -> None:
        """Report no events until :meth:`open`."""
        self._open = False

    def end(self, result: RunResult, report: Sequence[str] = ()) -> None:
        """Report the remaining events and the end of the run, with its ``report`` if there is one."""
        self._finish()
        if self._line:
            self._tell_line(bytes(self._line))
            self._line.clear()
        for vcpu, held in sorted(self._held_states.items()):
            # Later effects of another vCPU on one that has lost its turn are already reported.
            then = held if vcpu == self._current() else max(held, self._time_of(vcpu))
            self._tell_state(then, vcpu, VCpuState.RUNNING, VCpuState.READY)
        if self._ring is not None:
            for make, arguments in self._ring:
                self._sink.event(make(*arguments))
            self._ring.clear()
        now = max(map(self._time_of, range(self._vcpus)))
        end = TraceEnd(result.ending.value, result.status, result.message, result.exits, now, tuple(report))
        self._sink.end(end)

    def close(self) -> None:
        """Report the counts of all exits by reason."""
        self._sink.summary(self.counts, self._seen)

    def _wanted(self, vcpu: int, now: int) -> bool:
        if not self._open:
            return False
        test = self._test_general
        return test is None or test(Facts(self._seen, vcpu, now, "", None, None, None))

    def _tell(self, make: Callable[..., TraceEvent], *arguments: object) -> None:
        if self._ring is None:
            self._event(make(*arguments))
        else:
            self._ring.append((make, arguments))
        if self._left > 0:
            self._left -= 1
            if not self._left:
                self._open = False

    def _tell_line(self, line: bytes) -> None:
        vcpu = self._current()
        self._tell_effect(self._describer.console, vcpu, self._time(), (vcpu, line))
