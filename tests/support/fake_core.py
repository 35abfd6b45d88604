"""A CPU core without an engine: it plays a list of exceptions into the hook, and keeps its state in a bytearray.

Its layout differs from the engine's on purpose, so that code which assumes an offset instead of using the layout breaks
here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, lookup, sysregs
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, system_trap_esr
from arm_vcpu_cli.engine.layout import CpuState, StateLayout
from arm_vcpu_cli.engine.port import (
    CounterReads,
    ExceptionHook,
    ExecutionControl,
    HitHandler,
    MmioWindow,
    MoveHandler,
    StopReason,
    WatchedRange,
)
from arm_vcpu_cli.errors import EngineError, MemoryMapError, VCpuError

IL: Final = 1 << 25
EL1H_MASKED: Final = 0x3C5
_SIGN32: Final = 1 << 31

_SAVED: Final = (
    "SP_EL1",
    "VBAR_EL1",
    "HPFAR_EL2",
    "SP_EL0",
    "FAR_EL1",
    "ESR_EL1",
    "SPSR_EL1",
    "ELR_EL1",
    "SCTLR_EL1",
    "TTBR1_EL1",
    "TTBR0_EL1",
    "TCR_EL1",
    "MDSCR_EL1",
)
_SYSREGS_AT: Final = 64
_X0_AT: Final = 1600

LAYOUT: Final = StateLayout(
    size=2048,
    x0=_X0_AT,
    sp=_X0_AT + 31 * 8,
    pc=16,
    pstate=44,
    aarch64=24,
    v0=512,
    vector_stride=32,
    n=52,
    z=28,
    c=32,
    v=36,
    daif=40,
    btype=56,
    syndrome=8,
    fault_address=0,
    target_el=48,
    exclusive=480,
    sysregs={lookup(name): _SYSREGS_AT + 8 * n for n, name in enumerate(_SAVED)},
)

CORTEX_A72: Final[Mapping[str, int]] = {
    "ID_AA64PFR0_EL1": 0x2222,
    "ID_AA64MMFR0_EL1": 0x1124,
    "ID_AA64DFR0_EL1": 0x1030_5106,
    "MIDR_EL1": 0x410F_D083,
}


@dataclass
class Trap:
    """One exception of a script: what the core's state is when it is taken.

    ``step`` is added to the PC first (4 for an instruction that was executed, such as HVC); ``pc`` sets it.
    """

    esr: int
    kind: int = 0
    target_el: int = 2
    far: int = 0
    hpfar: int = 0
    regs: Mapping[int, int] = field(default_factory=dict)
    vectors: Mapping[int, int] = field(default_factory=dict)
    pc: int | None = None
    step: int = 0
    pstate: int | None = None
    aarch64: bool = True


def hvc(*registers: int) -> Trap:
    """HVC #0 with x0, x1 ...; the PC is past it."""
    return Trap(ExceptionClass.HVC64 << EC_SHIFT | IL, regs=dict(enumerate(registers)), step=4)


def smc(*registers: int) -> Trap:
    """SMC #0 trapped by HCR_EL2.TSC; the PC is at it."""
    return Trap(ExceptionClass.SMC64 << EC_SHIFT | IL, regs=dict(enumerate(registers)))


def wfi() -> Trap:
    """WFI trapped by HCR_EL2.TWI."""
    return Trap(ExceptionClass.WFX << EC_SHIFT | IL | 0x1E << 20)


def system_move(name: str, rt: int, *, is_read: bool, regs: Mapping[int, int] | None = None) -> Trap:
    """MRS or MSR trapped to EL2."""
    return Trap(system_trap_esr(SystemMove(lookup(name), rt, is_read)), regs=regs or {})


def data_abort(
    ipa: int,
    *,
    is_write: bool,
    size: int = 4,
    register: int = 1,
    sign_extend: bool = False,
    is_64bit: bool = False,
    valid: bool = True,
    status: int = 0b000111,
    va: int | None = None,
    s1ptw: bool = False,
    cache_maintenance: bool = False,
    regs: Mapping[int, int] | None = None,
) -> Trap:
    """A stage-2 data abort with the syndrome that a core gives: translation fault, level 3, unless told."""
    iss = status | is_write << 6 | s1ptw << 7 | cache_maintenance << 8
    if valid:
        iss |= 1 << 24 | (size.bit_length() - 1) << 22 | sign_extend << 21 | register << 16 | is_64bit << 15
    return Trap(
        ExceptionClass.DATA_ABORT_LOWER << EC_SHIFT | IL | iss,
        far=ipa if va is None else va,
        hpfar=ipa >> 12 << 4,
        regs=regs or {},
    )


def instruction_abort(ipa: int, *, status: int = 0b000111, s1ptw: bool = False) -> Trap:
    """A stage-2 instruction abort."""
    esr = ExceptionClass.INSTRUCTION_ABORT_LOWER << EC_SHIFT | IL | status | s1ptw << 7
    return Trap(esr, far=ipa, hpfar=ipa >> 12 << 4)


class FakeCore:
    """Implements :class:`~arm_vcpu_cli.engine.port.CpuCore`. ``log`` holds the calls that change the core.

    ``run`` plays ``script`` until :meth:`stop`, and returns when it is at its end, as if stopped from outside; an
    :class:`EngineError` in it is raised. ``instructions`` is what lies at virtual addresses for a fetch,
    ``missing`` the registers that this core does not have.
    """

    def __init__(self, script: Iterable[Trap | EngineError] = (), *, model: str = "fake") -> None:
        self.script = list(script)
        self.log: list[str] = []
        self.live = bytearray(LAYOUT.size)
        self.registers: dict[SysReg, int] = {lookup(name): value for name, value in CORTEX_A72.items()}
        self.missing: set[SysReg] = set()
        self.instructions: dict[int, int] = {}
        self.memory: dict[int, bytes] = {}
        self.pstates: list[int] = []
        self.started_at: list[int] = []
        self.resumed_at: list[int] = []
        self.hook: ExceptionHook | None = None
        self.move_handler: MoveHandler | None = None
        self.watches: list[tuple[int, int, Callable[[int], None]]] = []
        self.executed = 0
        self.budget = 0
        self.requests = 0
        self.ends_by = StopReason.REQUEST
        """What :meth:`run` returns at the end of the script."""
        self._model = model
        self._view = CpuState(LAYOUT, memoryview(self.live), self.live)
        self._view.u32[LAYOUT.aarch64 // 4] = 1
        self._running = False
        self.spent = 0
        self.counter_reads: CounterReads | None = None
        self.counter_offset = 0
        self.el0_counters = (False, False)
        self._decompose(EL1H_MASKED)

    @property
    def model(self) -> str:
        return self._model

    @property
    def guest_watchpoints(self) -> bool:
        return False

    @property
    def prefers_execute_on_demand(self) -> bool:
        return False

    def expect_user_code_everywhere(self) -> None:
        self.log.append("expect_user_code_everywhere")

    @property
    def tlbi_heeds_stage1(self) -> bool:
        return False

    @property
    def layout(self) -> StateLayout:
        return LAYOUT

    def new_state(self) -> CpuState:
        memory = bytearray(self.live)
        return CpuState(LAYOUT, memoryview(memory), memory)

    def saver(self, state: CpuState) -> Callable[[], object]:
        memory = _memory_of(state)

        def save() -> None:
            memory[:] = self.live

        return save

    def restorer(self, state: CpuState) -> Callable[[], object]:
        memory = _memory_of(state)

        def restore() -> None:
            self.live[:] = memory

        return restore

    def pstate_writer(self) -> Callable[[int], object]:
        def write(value: int) -> None:
            self.pstates.append(int(value))
            self._decompose(value)

        return write

    def read_sysreg(self, reg: SysReg) -> int:
        self._check(reg)
        if reg in LAYOUT.sysregs:
            return self._view.u64[LAYOUT.sysregs[reg] // 8]
        return self.registers.get(reg, 0)

    def has_sysreg(self, reg: SysReg) -> bool:
        return reg in LAYOUT.sysregs or reg in self.registers

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        self._check(reg)
        self.log.append(f"{reg.name}={value:#x}")
        if reg in LAYOUT.sysregs:
            self._view.u64[LAYOUT.sysregs[reg] // 8] = value
        else:
            self.registers[reg] = int(value)

    def set_exception_hook(self, hook: ExceptionHook | None, *, system_calls: bool = True) -> None:
        self.hook, self.system_calls = hook, system_calls

    def sysreg_writer(self, reg: SysReg) -> Callable[[int], object]:
        return lambda value: self.write_sysreg(reg, value)

    def current_el(self) -> int:
        return self._view.u32[LAYOUT.pstate // 4] >> 2 & 3

    def set_flags(self, nzcv: int) -> None:
        self.log.append(f"flags {nzcv:#x}")

    def set_move_hook(self, crns: Collection[int], handler: MoveHandler) -> None:
        self.move_handler = handler

    def watch_code(self, first: int, last: int, callback: Callable[[int], None]) -> Callable[[], None]:
        watch = (first, last, callback)
        self.watches.append(watch)
        return lambda: self.watches.remove(watch)

    def stop_before(self, vaddr: int, wanted: Callable[[], bool]) -> None:
        self.log.append(f"stop_before {vaddr:#x}")

    def set_watchpoints(self, ranges: Sequence[WatchedRange], hit: HitHandler) -> None:
        self.log.append(f"set_watchpoints {len(ranges)}")
        self.hit = hit

    def stop_at_wait(self, stop: bool) -> None:
        self.log.append(f"stop_at_wait {stop}")

    def hush(self, quiet: bool) -> None:
        self.log.append(f"hush {quiet}")

    def go_on_from(self, unfinished: int, requested: int) -> None:
        if unfinished or requested:
            self.control()

    def control(self) -> ExecutionControl:
        raise EngineError("this core has no exact control")

    def count_instructions(self) -> None:
        self.log.append("count_instructions")

    def instruction_count(self) -> int:
        return self.executed

    def elapsed(self) -> int:
        return self.executed + self.spent

    def elapsed_plus(self, ahead: list[int]) -> Callable[[], int]:
        return lambda: self.elapsed() + ahead[0]

    def spend(self, nanoseconds: int) -> None:
        self.spent += nanoseconds
        self.set_budget(max(self.budget_left() - nanoseconds, 0))

    def answer_counters(self, reads: CounterReads) -> None:
        self.counter_reads = reads

    def set_counter_offset(self, nanoseconds: int) -> None:
        self.counter_offset = nanoseconds

    def set_el0_counters(self, *, physical: bool, virtual: bool) -> None:
        self.el0_counters = (physical, virtual)

    def set_budget(self, instructions: int) -> None:
        self.budget = instructions

    def budget_left(self) -> int:
        return self.budget

    def request_stop(self) -> None:
        self.requests += 1

    def map_device(self, paddr: int, size: int, device: MmioWindow) -> None:
        self.log.append(f"map device {paddr:#x} {size:#x}")

    def run(self, pc: int) -> StopReason:
        self.started_at.append(pc)
        self._view.u64[LAYOUT.pc // 8] = pc
        self._running = True
        while self._running and self.script:
            trap = self.script.pop(0)
            if isinstance(trap, EngineError):
                self._running = False
                raise trap
            self._raise(trap)
            self.resumed_at.append(self._view.u64[LAYOUT.pc // 8])
        reason = self.ends_by if self._running else StopReason.STOP
        self._running = False
        return reason

    def stop(self) -> None:
        self._running = False

    def map_memory(self, paddr: int, size: int, host_address: int) -> None:
        self.log.append(f"map {paddr:#x} {size:#x}")

    def flush_tlb(self) -> None:
        self.log.append("flush_tlb")

    def forget_code(self, paddr: int, size: int) -> None:
        self.log.append(f"forget_code {paddr:#x} {size:#x}")

    def flush_code(self) -> None:
        self.log.append("flush_code")

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        for base, block in self.memory.items():
            if base <= vaddr and vaddr + size <= base + len(block):
                return block[vaddr - base : vaddr - base + size]
        return None

    def fetcher(self) -> Callable[[int], int | None]:
        return self.instructions.get

    def translate(self, vaddr: int) -> int | None:
        return vaddr

    def close(self) -> None:
        self.hook = None

    # What a test looks at ----------------------------------------------------------------------------------

    def gpr(self, number: int) -> int:
        """X<number> as the core has it."""
        return self._view.u64[LAYOUT.x0 // 8 + number]

    @property
    def pc(self) -> int:
        """The PC of the core."""
        return self._view.u64[LAYOUT.pc // 8]

    def sysreg(self, name: str) -> int:
        """A system register by name."""
        return self.read_sysreg(lookup(name))

    def execute(self, vaddr: int) -> None:
        """Execute the instruction at an address, for those who watch it."""
        for first, last, callback in list(self.watches):
            if first <= vaddr <= last:
                callback(vaddr)

    def _check(self, reg: SysReg) -> None:
        if reg in self.missing or reg not in sysregs().values():
            raise EngineError(f"{reg.name} is not there")

    def _raise(self, trap: Trap) -> None:
        u32, u64 = self._view.u32, self._view.u64
        for number, value in trap.regs.items():
            u64[LAYOUT.x0 // 8 + number] = value
        for word, value in trap.vectors.items():
            u64[LAYOUT.v0 // 8 + word] = value
        if trap.pc is not None:
            u64[LAYOUT.pc // 8] = trap.pc
        u64[LAYOUT.pc // 8] += trap.step
        if trap.pstate is not None:
            self._decompose(trap.pstate)
        u32[LAYOUT.aarch64 // 4] = int(trap.aarch64)
        u32[LAYOUT.syndrome // 4] = trap.esr
        u32[LAYOUT.target_el // 4] = trap.target_el
        u64[LAYOUT.fault_address // 8] = trap.far
        u64[LAYOUT.sysregs[lookup("HPFAR_EL2")] // 8] = trap.hpfar
        if self.hook is None:
            raise AssertionError("an exception that nothing handles")
        self.hook(trap.kind)

    def _decompose(self, value: int) -> None:
        write_pstate(self._view, value)


def write_pstate(state: CpuState, value: int) -> None:
    """Put a PSTATE (in the form of an SPSR) into the parts in which a saved state holds it."""
    pstate, u32 = Spsr(value), state.u32
    u32[LAYOUT.n // 4] = _SIGN32 if pstate.N else 0
    u32[LAYOUT.z // 4] = 0 if pstate.Z else 1
    u32[LAYOUT.c // 4] = pstate.C
    u32[LAYOUT.v // 4] = _SIGN32 if pstate.V else 0
    u32[LAYOUT.daif // 4] = int(Spsr.of(D=pstate.D, A=pstate.A, I=pstate.I, F=pstate.F))
    u32[LAYOUT.btype // 4] = pstate.BTYPE
    u32[LAYOUT.pstate // 4] = int(pstate.replace(N=0, Z=0, C=0, V=0, D=0, A=0, I=0, F=0, BTYPE=0))


def _memory_of(state: CpuState) -> bytearray:
    assert isinstance(state.owner, bytearray)
    return state.owner


class FakeHal:
    """The host of fake cores: frames from a pool of ``frames``, and no other memory."""

    FRAMES_AT: Final = 0x10_0000

    def __init__(self, *cores: FakeCore, frames: int = 16) -> None:
        self._cores = cores
        self._pool = bytearray(frames * 0x1000)
        self.free = [self.FRAMES_AT + n * 0x1000 for n in reversed(range(frames))]
        self.irqs_handled = 0
        self.pending_irq = 0

    def core(self, cpu_id: int) -> FakeCore:
        if not 0 <= cpu_id < len(self._cores):
            raise VCpuError(f"physical CPU {cpu_id}: there are {len(self._cores)}")
        return self._cores[cpu_id]

    def flush_tlbs(self) -> None:
        for core in self._cores:
            core.flush_tlb()

    def alloc_frame(self) -> int | None:
        return self.free.pop() if self.free else None

    def alloc_frames(self, count: int) -> int | None:
        return self.alloc_frame() if count == 1 else None

    def dealloc_frame(self, paddr: int) -> None:
        self.free.append(paddr)

    def memory(self, paddr: int, size: int) -> memoryview:
        offset = paddr - self.FRAMES_AT
        if not 0 <= offset <= len(self._pool) - size:
            raise MemoryMapError(f"PA {paddr:#x} is not memory")
        return memoryview(self._pool)[offset : offset + size]

    def phys_to_virt(self, paddr: int) -> int:
        return paddr + 0x7F00_0000_0000

    def virt_to_phys(self, vaddr: int) -> int:
        return vaddr - 0x7F00_0000_0000

    def irq_fetch(self) -> int:
        return self.pending_irq

    def irq_handler(self) -> None:
        self.irqs_handled += 1
