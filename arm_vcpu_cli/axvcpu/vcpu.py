"""The architecture-neutral vCPU (the crate's ``AxVCpu``) and the physical CPU that it runs on (``AxPerCpu``).

``AxVCpu`` owns the state machine, the identity and the placement of a vCPU; the architecture does all the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final, Generic, TypeVar

from arm_vcpu_cli.axvcpu.arch import AxArchVCpu, PerCpuT
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason
from arm_vcpu_cli.errors import VCpuError, VCpuStateError

SetupConfigT = TypeVar("SetupConfigT")
ResultT = TypeVar("ResultT")


class VCpuState(Enum):
    """The life of a vCPU: Created -> Free -> Ready <-> Running, Ready -> Free; Invalid is final."""

    INVALID = "Invalid"
    CREATED = "Created"
    FREE = "Free"
    READY = "Ready"
    RUNNING = "Running"
    BLOCKED = "Blocked"


# Looking up a member in its class takes time on the exit path.
_READY: Final = VCpuState.READY
_RUNNING: Final = VCpuState.RUNNING

StateObserver = Callable[[VCpuState, VCpuState], None]


class AxPerCpu(Generic[PerCpuT]):
    """A physical CPU: its architecture part, the vCPUs bound to it, and the operation in progress on it.

    Several vCPUs may be bound and take turns; the architecture knows whose state is loaded.
    """

    def __init__(self, arch: PerCpuT) -> None:
        self.arch = arch
        self._occupant: int | None = None
        self._bound: list[tuple[object, int]] = []

    @property
    def cpu_id(self) -> int:
        """The number of the physical CPU."""
        return self.arch.cpu_id

    @property
    def current_vcpu(self) -> int | None:
        """The id of the vCPU whose operation is in progress on this CPU, None if there is none."""
        return self._occupant

    @property
    def bound_vcpus(self) -> tuple[int, ...]:
        """The ids of the vCPUs bound to this CPU, in the order of their binding."""
        return tuple(vcpu_id for _, vcpu_id in self._bound)

    def take(self, vcpu: object, vcpu_id: int) -> None:
        """Bind ``vcpu``."""
        self._bound.append((vcpu, vcpu_id))

    def release(self, vcpu: object) -> None:
        """Unbind ``vcpu``."""
        self._bound = [bound for bound in self._bound if bound[0] is not vcpu]

    def occupy(self, vcpu_id: int) -> None:
        """Mark an operation of ``vcpu_id`` as in progress. Raises :class:`VCpuError` if there is one already."""
        if self._occupant is not None:
            raise VCpuError(
                f"vCPU {vcpu_id}: physical CPU {self.cpu_id} is executing an operation of vCPU {self._occupant}"
            )
        self._occupant = vcpu_id

    def vacate(self) -> None:
        """Mark the operation in progress as ended."""
        self._occupant = None

    @contextmanager
    def occupied_by(self, vcpu_id: int) -> Iterator[None]:
        """Mark an operation of ``vcpu_id`` as in progress inside the context; see :meth:`occupy`."""
        self.occupy(vcpu_id)
        try:
            yield
        finally:
            self.vacate()


class AxVCpu(Generic[SetupConfigT, PerCpuT]):
    """A virtual CPU of any architecture: identity, placement and state machine around an ``AxArchVCpu``.

    ``favor_phys_cpu`` and ``phys_cpu_set`` (a bit mask, None for any) define where it should and may run. A call in the
    wrong state (:class:`VCpuStateError`), or an error inside one, makes the vCPU Invalid and raises; its physical CPU
    is then free for others.
    """

    def __init__(
        self,
        vm_id: int,
        vcpu_id: int,
        arch: AxArchVCpu[SetupConfigT, PerCpuT],
        *,
        favor_phys_cpu: int = 0,
        phys_cpu_set: int | None = None,
    ) -> None:
        self.vm_id = vm_id
        self.id = vcpu_id
        self.arch = arch
        self.favor_phys_cpu = favor_phys_cpu
        self.phys_cpu_set = phys_cpu_set
        self._state = VCpuState.CREATED
        self._state_changed: StateObserver | None = None
        self._operation: str | None = None
        self._cpu: AxPerCpu[PerCpuT] | None = None

    @property
    def state(self) -> VCpuState:
        """The state of the vCPU in its life cycle."""
        return self._state

    def observe_state(self, observer: StateObserver | None) -> None:
        """Call ``observer(before, after)`` whenever the state changes."""
        self._state_changed = observer

    @property
    def state_observer(self) -> StateObserver | None:
        """The observer of state changes, None if there is none."""
        return self._state_changed

    def _enter(self, state: VCpuState) -> None:
        before, self._state = self._state, state
        if self._state_changed is not None and state is not before:
            self._state_changed(before, state)

    @property
    def is_bsp(self) -> bool:
        """Whether this is the vCPU that boots its VM."""
        return self.id == 0

    @property
    def cpu(self) -> AxPerCpu[PerCpuT] | None:
        """The physical CPU that the vCPU is bound to."""
        return self._cpu

    def setup(self, entry: int, ept_root: int, config: SetupConfigT) -> None:
        """Created -> Free: entry point, root of the second stage, and the architecture's setup."""

        def work() -> None:
            self.arch.set_entry(entry)
            self.arch.set_ept_root(ept_root)
            self.arch.setup(config)

        self._transition("setup", VCpuState.CREATED, VCpuState.FREE, work)

    def bind(self, cpu: AxPerCpu[PerCpuT]) -> None:
        """Free -> Ready: load the vCPU onto ``cpu``. Raises :class:`VCpuError` if it may not run there."""

        def work() -> None:
            if self.phys_cpu_set is not None and not self.phys_cpu_set & (1 << cpu.cpu_id):
                raise VCpuError(f"vCPU {self.id}: physical CPU {cpu.cpu_id} is not in its set {self.phys_cpu_set:#x}")
            with cpu.occupied_by(self.id):
                cpu.take(self, self.id)
                self._cpu = cpu
                self.arch.bind(cpu.arch)

        self._transition("bind", VCpuState.FREE, VCpuState.READY, work)

    def run(self) -> AxVCpuExitReason:
        """Ready -> Running -> Ready: run the guest until it exits, and return the reason."""

        # Every exit passes here: the code shared by the other operations would take noticeable time.
        self._begin("run", _READY)
        try:
            cpu = self._bound_cpu()
            cpu.occupy(self.id)
            try:
                if self._state_changed is None:
                    self._state = _RUNNING
                else:
                    self._enter(_RUNNING)
                reason = self.arch.run()
            finally:
                cpu.vacate()
        except BaseException:
            self._invalidate()
            raise
        finally:
            self._operation = None
        if self._state is _RUNNING and self._state_changed is None:
            self._state = _READY
        else:
            self._end(_READY)
        return reason

    def unbind(self) -> None:
        """Ready -> Free: take the vCPU off its physical CPU."""

        def work() -> None:
            with self._bound_cpu().occupied_by(self.id):
                self.arch.unbind()
            self._leave_cpu()

        self._transition("unbind", VCpuState.READY, VCpuState.FREE, work)

    def block(self) -> None:
        """Ready -> Blocked: the vCPU waits for an external event."""
        self._transition("block", VCpuState.READY, VCpuState.BLOCKED, lambda: None)

    def unblock(self) -> None:
        """Blocked -> Ready: what the vCPU waited for has arrived."""
        self._transition("unblock", VCpuState.BLOCKED, VCpuState.READY, lambda: None)

    def go_on_as(self, state: VCpuState) -> None:
        """Set the state of a saved vCPU, READY or BLOCKED, without notifying observers.

        Raises :class:`VCpuError` for any other state.
        """
        if self._state not in (VCpuState.READY, VCpuState.BLOCKED):
            raise VCpuError(f"vCPU {self.id}: is {self._state.value} and cannot continue")
        self._state = state

    def set_gpr(self, reg: int, value: int) -> None:
        """Set a general-purpose register of the guest."""
        self.arch.set_gpr(reg, value)

    def inject_interrupt(self, vector: int) -> None:
        """Make an interrupt pending for the guest."""
        self.arch.inject_interrupt(vector)

    def set_return_value(self, value: int) -> None:
        """Set what the guest sees as the result of its hypercall."""
        self.arch.set_return_value(value)

    def _leave_cpu(self) -> None:
        if self._cpu is not None:
            self._cpu.release(self)
        self._cpu = None

    def _invalidate(self) -> None:
        self._enter(VCpuState.INVALID)
        self._leave_cpu()

    def _bound_cpu(self) -> AxPerCpu[PerCpuT]:
        if self._cpu is None:
            raise VCpuError(f"vCPU {self.id}: is not bound to a physical CPU")
        return self._cpu

    def _transition(
        self, operation: str, expected: VCpuState, final: VCpuState, work: Callable[[], ResultT]
    ) -> ResultT:
        self._begin(operation, expected)
        try:
            result = work()
        except BaseException:
            self._invalidate()
            raise
        finally:
            self._operation = None
        self._end(final)
        return result

    def _begin(self, operation: str, expected: VCpuState) -> None:
        found = self._state
        if found is not expected:
            # Build the error from the state found before overwriting that state.
            error = VCpuStateError(self.id, operation, found.value, expected.value)
            self._invalidate()
            raise error
        if self._operation is not None:
            self._invalidate()
            raise VCpuError(f"vCPU {self.id}: {operation} in the middle of {self._operation}")
        self._operation = operation

    def _end(self, final: VCpuState) -> None:
        if self._state is not VCpuState.INVALID:
            self._enter(final)
