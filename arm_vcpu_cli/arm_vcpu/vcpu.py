"""The AArch64 vCPU (the crate's ``Aarch64VCpu``): its configuration, its life cycle, and the exit path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK, EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.assembly import build_handlers, default_vtcr, exit_reasons, set_traps
from arm_vcpu_cli.arm_vcpu.config import (
    Aarch64VCpuCreateConfig,
    Aarch64VCpuSetupConfig,
    reset_registers,
    virtual_mpidr,
)
from arm_vcpu_cli.arm_vcpu.context_frame import GuestSystemRegisters, TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import SyncHandlers
from arm_vcpu_cli.arm_vcpu.exception_chain import Chain
from arm_vcpu_cli.arm_vcpu.execute_on_demand import Watcher
from arm_vcpu_cli.arm_vcpu.exit_path import ExitPath
from arm_vcpu_cli.arm_vcpu.exit_state import NO_LIMIT, ExitState
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver, FanOut
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal, ExitToCaller, Platform
from arm_vcpu_cli.arm_vcpu.preemption import preempt
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder, RecentExit
from arm_vcpu_cli.arm_vcpu.residency import Residency
from arm_vcpu_cli.arm_vcpu.unasked_exception import take_exception
from arm_vcpu_cli.arm_vcpu.vcpu_memory import VcpuMemory
from arm_vcpu_cli.arm_vcpu.vcpu_saving import load_vcpu, save_vcpu
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, FailEntry, Nothing
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import FOR_DEBUGGER, CpuCore, StopReason
from arm_vcpu_cli.errors import EngineError, VCpuError

_ENGINE_FAILURE: Final = -1


class Aarch64VCpu:
    """One virtual CPU. Implements the neutral layer's ``AxArchVCpu``.

    ``platform`` completes exits in place; without one, :meth:`run` returns each. The next ``run`` finishes a returned
    exit: a device read with the value given to :meth:`complete` (or, as in the crate, set in its register with
    :meth:`set_gpr`), every other trapped instruction by stepping over it.
    """

    def __init__(self, config: Aarch64VCpuCreateConfig, hal: Aarch64Hal, platform: Platform | None = None) -> None:
        if config.mpidr_el1 & ~AFFINITY_MASK:
            raise VCpuError(f"mpidr_el1 {config.mpidr_el1:#x}: expected affinity fields only")
        self._config = config
        self._hal = hal
        self._platform: Platform = ExitToCaller() if platform is None else platform
        self._state = hal.core(0).new_state()
        self.ctx = TrapFrame(self._state)
        self.ctx.reset(config.dtb_addr)
        self.guest_system_regs = GuestSystemRegisters({})
        self._setup: Aarch64VCpuSetupConfig | None = None
        self._entry: int | None = None
        self._ept_root: int | None = None
        self._cpu: Aarch64PerCpu | None = None
        self._started = False
        self._handlers: SyncHandlers | None = None
        self._exits = ExitState()
        self._recorder = FlightRecorder(self._state)
        self._observers: list[ExitObserver] = []
        self._observer: ExitObserver | None = None
        self._lines = VirtualInterruptLines()
        self.memory_of_run: Final = VcpuMemory(self._exits, self._recorder, self._lines)
        self._restore: Callable[[], object] = bool
        self._write_pstate: Callable[[int], object] = bool
        self.residency: Residency | None = None
        self._at_reset = b""
        self.execution_watcher: Watcher | None = None
        """Called for memory that becomes executable because the guest executes from it."""
        self.stopped_by = StopReason.STOP
        """Why the core last left the guest."""
        self.interrupted = False
        """Whether that was for a debugger: the next :meth:`run` continues as if the guest had not left."""

    # Configuration ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> CpuState:
        """The saved state that the trap frame is a view of."""
        return self._state

    @property
    def exits(self) -> int:
        """The number of exits to EL2 so far, including those completed in place."""
        return self._exits.count

    @property
    def max_exits(self) -> int:
        """:meth:`run` returns ``Nothing`` once :attr:`exits` has reached this; 0 for no limit."""
        return 0 if self._exits.limit == NO_LIMIT else self._exits.limit

    @max_exits.setter
    def max_exits(self, limit: int) -> None:
        self._exits.limit = limit or NO_LIMIT

    @property
    def last_syndrome(self) -> int | None:
        """ESR_EL2 of the last exit that had one, None before the first. Raises :class:`VCpuError` while not bound."""
        return next((each.record.esr for each in reversed(self.recent_exits()) if each.record.esr is not None), None)

    def set_entry(self, entry: int) -> None:
        """Set the IPA of the first instruction."""
        self._entry = entry

    def set_ept_root(self, ept_root: int) -> None:
        """Set the host-physical address of the root table of stage 2."""
        self._ept_root = ept_root

    def add_observer(self, observer: ExitObserver) -> None:
        """Add an observer of every exit. Raises :class:`VCpuError` while bound: ``bind`` builds the exit path."""
        if self._cpu is not None:
            raise VCpuError("an observer can only be added while the vCPU is not bound")
        self._observers.append(observer)
        self._observer = observer if len(self._observers) == 1 else FanOut(self._observers)

    def setup(self, config: Aarch64VCpuSetupConfig) -> None:
        """Set the reset values of the guest's system registers. Raises :class:`VCpuError` without entry or root."""
        if self._entry is None or self._ept_root is None:
            raise VCpuError("setup needs set_entry and set_ept_root first")
        self.guest_system_regs = GuestSystemRegisters(
            reset_registers(
                config,
                vmpidr=virtual_mpidr(self._config.mpidr_el1),
                vttbr=self._ept_root,
                vtcr=default_vtcr(self._hal) if config.vtcr is None else config.vtcr,
            )
        )
        self._setup = config
        self.ctx.elr = self._entry

    # Life cycle ------------------------------------------------------------------------------------------------

    def bind(self, cpu: Aarch64PerCpu) -> None:
        """Load the vCPU onto a physical CPU. Raises :class:`VCpuError` if virtualisation is not enabled there."""
        setup = self._setup
        if setup is None:
            raise VCpuError("bind needs setup first")
        if not cpu.is_enabled():
            raise VCpuError(f"physical CPU {cpu.cpu_id}: virtualisation is not enabled")
        core = cpu.core
        if isinstance(cpu.loaded, Residency):
            cpu.loaded.leave()
        self._restore, self._write_pstate = core.restorer(self._state), core.pstate_writer()
        self._restore()
        if cpu.vector_base is not None:
            # The saved state may be older than the table that hardware_enable installed.
            core.write_sysreg(lookup("VBAR_EL2"), cpu.vector_base)
        registers = self.guest_system_regs
        if not self._started:
            registers["HCR_EL2"] = set_traps(core, setup, registers["HCR_EL2"])
        registers.restore(core, self.read_sysreg, self.write_sysreg)
        if not self._started:
            core.pstate_writer()(EL1H_MASKED)
        core.flush_tlb()
        core.saver(self._state)()
        self._started = True
        self._cpu = cpu
        handlers = build_handlers(
            core,
            self._hal,
            self._state,
            self.ctx,
            self._platform,
            self._config.mpidr_el1,
            setup,
            watch=lambda: self.execution_watcher,
            observed=self._observer is not None,
        )
        if self._handlers is not None:
            handlers.take_over(self._handlers)
        self._handlers = handlers
        self._lines.connect(core.sysreg_writer(lookup("HCR_EL2")), registers["HCR_EL2"])
        path = ExitPath(
            cpu=cpu,
            hal=self._hal,
            frame=self.ctx,
            state=self._state,
            handlers=handlers,
            lines=self._lines,
            exits=self._exits,
            recorder=self._recorder,
            vcpu=self._config.number,
        )
        hook, observed = path.function(self._observer), self._observer is not None and self._observer.wants_exceptions
        self.residency = Residency(cpu, self._state, self._lines, registers["VTTBR_EL2"], hook, system_calls=observed)
        self.residency.take()
        if not self._at_reset:
            self._at_reset = self._state.u64.tobytes()

    def unbind(self) -> None:
        """Take the vCPU off its physical CPU; its registers stay readable."""
        cpu = self._bound()
        self.synchronise()
        self.guest_system_regs.store()
        cpu.core.saver(self._state)()
        cpu.core.set_exception_hook(None)
        self._lines.disconnect()
        cpu.loaded = self.residency = self._cpu = None

    def reset(self, entry: int, arg: int) -> None:
        """Reset the registers, except for ``entry``, where the guest starts, and ``arg`` in x0 (as for CPU_ON).

        Raises :class:`VCpuError` while not bound.
        """
        self._bound()
        self._state.u64[:] = memoryview(self._at_reset).cast("Q")
        self.ctx.elr = entry
        self.ctx.set_gpr(0, arg)
        self._require_handlers().start_again(int(EL1H_MASKED))
        if self.residency is not None:
            self.residency.forget()

    def run(self) -> AxVCpuExitReason:
        """Run the guest until an exit that is not completed in place."""
        cpu, handlers, residency = self._bound(), self._handlers, self.residency
        if handlers is None or residency is None:
            raise VCpuError("the vCPU has no exit path")
        if cpu.loaded is not residency:
            residency.take()
        if self.interrupted:
            return self._go_on(cpu)
        again = handlers.resume()
        if again is not None:
            return again
        # Only when the instruction is complete do the registers hold what it read.
        self.close_record()
        self._load()
        self._exits.reason = None
        if self._observer is not None and self._observer.wants_entries:
            frame, lines = self.ctx, self._lines
            self._observer.entry(self._config.number, frame.elr, frame.spsr.el, irq=lines.irq, fiq=lines.fiq)
        return self._execute(cpu)

    def _execute(self, cpu: Aarch64PerCpu) -> AxVCpuExitReason:
        try:
            self.stopped_by = cpu.core.run(self.ctx.elr)
        except EngineError as error:
            cpu.core.saver(self._state)()
            return FailEntry(_ENGINE_FAILURE, str(error))
        if self._exits.reason is not None:
            return self._exits.reason
        cpu.core.saver(self._state)()  # Stopped from outside, between two exits.
        if self.stopped_by is StopReason.BUDGET:
            return preempt(self._hal, self._exits, self._recorder, self.ctx, self._observer, self._config.number)
        self.interrupted = self.stopped_by in FOR_DEBUGGER
        return Nothing()

    def _go_on(self, cpu: Aarch64PerCpu) -> AxVCpuExitReason:
        """Continue after a stop that must be invisible: the work of a new entry waits until there is one."""
        self.interrupted = False
        self._restore_registers()
        self._lines.drive_again()
        return self._execute(cpu)

    def synchronise(self) -> None:
        """Load the edited saved state into the core, and PSTATE if an exception to EL1 has changed it."""
        save = self._present().saver(self._state)
        self._load()
        save()

    def _present(self) -> CpuCore:
        """Return the core, holding this vCPU, in place of another one if necessary."""
        cpu, residency = self._bound(), self.residency
        if residency is not None and not residency.here:
            residency.take()
            self._restore()
        return cpu.core

    def _restore_registers(self) -> None:
        self._restore()
        handlers = self._handlers
        if handlers is not None and handlers.new_pstate is not None:
            self._write_pstate(handlers.new_pstate)
            handlers.new_pstate = None

    def _load(self) -> None:
        self._restore_registers()
        self._lines.drive()

    def save(self) -> dict[str, Any]:
        """Return the state between two exits as plain data. Raises :class:`VCpuError` while not bound."""
        handlers = self._require_handlers()
        return save_vcpu(self._state, self.residency, handlers, self._lines, self._exits, self.interrupted)

    def load(self, state: object) -> None:
        """Restore what :meth:`save` of an equivalent vCPU returned; this one must be bound. Raises ValueError for
        anything else. The caller must make the core discard cached translations and translated code."""
        load_vcpu(state, self._state, self.residency, self._require_handlers(), self._lines, self._exits)

    def _bound(self) -> Aarch64PerCpu:
        if self._cpu is None:
            raise VCpuError("the vCPU is not bound to a physical CPU")
        return self._cpu

    # Operations of the VMM on a stopped vCPU -------------------------------------------------------------------

    def set_gpr(self, reg: int, value: int) -> None:
        """Set X<reg>; register 31 ignores it."""
        self.ctx.set_gpr(reg, value)

    def set_return_value(self, value: int) -> None:
        """Set x0, the register for results of calls."""
        self.ctx.set_gpr(0, value)

    def complete(self, value: int) -> None:
        """Provide the value of the ``MmioRead`` or ``SysRegRead`` returned last; it is truncated and extended
        accordingly."""
        self._require_handlers().complete(value)

    def inject_external_abort(self) -> None:
        """Make the guest take a synchronous external abort instead of completing its access."""
        self._require_handlers().inject_external_abort()

    def inject_undefined(self) -> None:
        """Make the guest take an Undefined Instruction exception instead of completing its instruction."""
        self._require_handlers().inject_undefined()

    def take_exception(self, esr: int, far: int | None = None, kind: TrapKind = TrapKind.SYNCHRONOUS) -> None:
        """Make the guest, stopped between two instructions, take an exception to EL1 in place of the next one."""
        take_exception(self._require_handlers(), self.ctx, esr, far, kind, self._observer, self._config.number)

    def inject_interrupt(self, vector: int) -> None:
        """Raise the virtual IRQ (HCR_EL2.VI). The interrupt controller identifies the interrupt."""
        if vector < 0:
            raise VCpuError(f"interrupt {vector}: expected a number of 0 or more")
        self.set_virtual_irq(pending=True)

    def read_sysreg(self, reg: SysReg) -> int:
        """Return a system register as the core holds it for this guest; 0 if the core has none with that encoding."""
        return self._present().read_sysreg(reg)

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register with its side effects, in the core and in the saved state."""
        core = self._present()
        core.restorer(self._state)()
        core.write_sysreg(reg, value)
        core.saver(self._state)()

    def set_virtual_irq(self, *, pending: bool) -> None:
        """Set HCR_EL2.VI: while this is set, the guest takes an IRQ as soon as it unmasks it."""
        self._lines.set(irq=pending, fiq=self._lines.fiq)
        self._lines.drive()

    def set_interrupt_lines(self, *, irq: bool, fiq: bool) -> None:
        """Set HCR_EL2.VI and VF, at any time: they take effect at the next entry into the guest at the latest.

        Inside the hook of an exit, they take effect at the end of the hook. A :class:`MoveHandler` or a device that the
        guest reaches without an exit must also request a stop, if :attr:`lines_changed` is true.
        """
        self._lines.set(irq=irq, fiq=fiq)

    @property
    def lines_changed(self) -> bool:
        """Whether HCR_EL2.VI or VF changes at the next entry."""
        return self._lines.wanted != self._lines.driven

    @property
    def interrupt_pending(self) -> bool:
        """Whether a virtual interrupt is pending, regardless of the guest's masks."""
        return self._lines.wanted != 0

    def memory(self) -> GuestMemory:
        """The guest's memory as its hypervisor reads it. Raises :class:`VCpuError` while not bound."""
        return GuestMemory(self._present(), self._hal)

    def exception_chain(self) -> Chain:
        """Return the exceptions that EL1 is handling, or handled last: a fault, that of its handler, and so on."""
        return self._require_handlers().entry.story()

    @property
    def el1_repeats(self) -> int:
        """How often the latest of them was taken again, with nothing changed in between."""
        return self._require_handlers().entry.repeats

    def _require_handlers(self) -> SyncHandlers:
        if self._handlers is None:
            raise VCpuError("the vCPU has not been bound yet")
        return self._handlers

    def recent_exits(self) -> tuple[RecentExit, ...]:
        """Return the latest exits, oldest first, without times and results. Raises :class:`VCpuError` while not
        bound."""
        scratch, frame, reasons = exit_reasons(
            self._present(), self._hal, self._platform, self._config.mpidr_el1, self._setup
        )
        return tuple(self._recorder.decode(scratch, frame, reasons, self._exits.count))

    def close_record(self) -> None:
        """Report the exit that was returned last, with the result of the VMM."""
        if self._exits.record is not None and self._observer is not None:
            self._exits.report(self._observer, self.ctx, self._require_handlers().note)
