"""The facts for the report on a failed guest, gathered once when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arm_vcpu_cli.arch.instructions.conditions import branch_target
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.exception_chain import NO_EXCEPTION, Chain, El1Exception
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.arm_vcpu.vectors import TABLE_ALIGNMENT
from arm_vcpu_cli.axvcpu.exit import NestedPageFault
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.inspect.postmortem.changed_code import Changed, changed_at
from arm_vcpu_cli.inspect.postmortem.fault_facts import BEFORE, Fault, fault_of, stage2_fault
from arm_vcpu_cli.inspect.postmortem.kernel_log_lines import log_lines
from arm_vcpu_cli.inspect.postmortem.lost_sgis import LostSgi, lost_sgis
from arm_vcpu_cli.inspect.postmortem.memory_poll import what_is_read
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at, words_before
from arm_vcpu_cli.inspect.postmortem.started_cpus import RefusedStart, refused_starts, start_of
from arm_vcpu_cli.inspect.postmortem.storm_advice import is_in_interrupt_handler
from arm_vcpu_cli.vm.awaited import Awaited
from arm_vcpu_cli.vm.diagnosis import is_vector, vector_failures
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.standing import Standing
from arm_vcpu_cli.vm.watch.hang import are_interrupts_masked
from arm_vcpu_cli.vm.watch.loops import find_loops


@dataclass(frozen=True)
class Evidence:
    """All facts. ``fault`` is the exception that started the failure, ``handler_fault`` the one that its handler took,
    ``vector`` that of the first vector whose own first instruction failed, and ``chain`` are all of them; ``stuck`` is
    whether the guest only takes exceptions, ``vector_changed`` the part of the vector that differs from the file."""

    description: MachineDescription
    ending: Ending | None = None
    message: str = ""
    pc: int = 0
    pstate: Spsr = Spsr(0)  # noqa: RUF009 - an int
    aarch64: bool = True
    registers: tuple[int, ...] = ()
    exits: int = 0
    entry: int = 0
    image_kind: str = "elf"
    printed: int | None = None
    has_symbols: bool = True
    vbar: int = 0
    sctlr: int = 0
    tcr: int = 0
    ttbr: tuple[int, int] = (0, 0)
    cpacr: int = 0
    interrupts_masked: bool = False
    input_ended: bool = False
    instruction: int | None = None
    before: tuple[int, ...] = ()
    fault: Fault | None = None
    handler_fault: Fault | None = None
    stuck: bool = False
    vector: El1Exception | None = None
    vector_changed: Changed | None = None
    chain: Chain = NO_EXCEPTION
    recent: tuple[RecentExit, ...] = ()
    read_in_vain: str | None = None
    """A sentence on the memory that the only CPU reads forever."""
    in_interrupt: bool = False
    """Whether the guest has stopped in the handler of an interrupt."""
    standings: tuple[Standing, ...] = ()
    """The activity of each of several CPUs."""
    log: tuple[str, ...] = ()
    """The last messages of a Linux kernel that has printed nothing, formatted as the kernel would print them."""
    affinities: tuple[int, ...] = (0,)
    """The affinity of each CPU, by number."""
    started_at: int | None = None
    """The address at which CPU_ON started this CPU, if known."""
    refused: tuple[RefusedStart, ...] = ()
    """The calls to CPU_ON that failed."""
    lost_sgis: tuple[LostSgi, ...] = ()
    """The SGIs that went to no CPU."""
    held: tuple[Awaited, ...] = ()
    """The interrupts that are held back, as far as they explain the end."""

    @property
    def handles_failure(self) -> bool:
        """Whether the guest stopped in the handler of an exception. Always false for Linux kernels, which are in
        handlers too often for this to be significant."""
        return self.chain.is_unfinished and self.fault is not None and self.image_kind != "linux"

    @property
    def vectors(self) -> int:
        """The base of the vectors: VBAR_EL1 without its RES0 bits."""
        return self.vbar & -TABLE_ALIGNMENT


def gather(
    machine: Machine,
    result: RunResult | None = None,
    standings: Sequence[Standing] = (),
    held: Sequence[Awaited] = (),
) -> Evidence:
    """Examine a machine whose guest has stopped; everything but ``standings`` and ``held`` describes the current
    CPU."""
    vcpu = machine.current.arch
    frame = vcpu.ctx
    vbar = _sysreg(machine, "VBAR_EL1")
    chain = vcpu.exception_chain()
    exceptions = chain.exceptions
    vectors = vbar & -TABLE_ALIGNMENT
    word = word_at(machine, frame.elr)
    stuck = bool(exceptions) and is_stuck(frame.elr, exceptions[-1], vectors, _sysreg(machine, "ELR_EL1"), word)
    failures = vector_failures(exceptions, vectors) if stuck else 0
    vector = exceptions[-failures] if failures else None
    recent = vcpu.recent_exits()
    return Evidence(
        description=machine.description,
        ending=None if result is None else result.ending,
        message="" if result is None else result.message,
        pc=frame.elr,
        pstate=frame.spsr,
        aarch64=frame.aarch64,
        registers=frame.gprs(),
        exits=vcpu.exits,
        entry=machine.image.entry if machine.description.boot.entry is None else machine.description.boot.entry,
        image_kind=machine.image.kind,
        printed=None if result is None else result.printed,
        has_symbols=len(machine.image.symbols) > 0,
        vbar=vbar,
        sctlr=_sysreg(machine, "SCTLR_EL1"),
        tcr=_sysreg(machine, "TCR_EL1"),
        ttbr=(_sysreg(machine, "TTBR0_EL1"), _sysreg(machine, "TTBR1_EL1")),
        cpacr=_sysreg(machine, "CPACR_EL1"),
        interrupts_masked=are_interrupts_masked(machine),
        input_ended=not machine.console.input_open,
        instruction=word,
        before=words_before(machine, frame.elr, BEFORE),
        fault=_fault(machine, result, chain, recent, failures, stuck=stuck),
        handler_fault=_handler_fault(machine, chain, failures, stuck=stuck),
        stuck=stuck,
        vector=vector,
        vector_changed=None if vector is None else changed_at(machine, vector.pc),
        chain=chain,
        recent=recent,
        read_in_vain=_read_in_vain(machine, result),
        in_interrupt=is_in_interrupt_handler(machine),
        standings=tuple(standings),
        affinities=tuple(cpu.affinity for cpu in machine.cpus),
        started_at=start_of(machine),
        refused=refused_starts(machine),
        lost_sgis=lost_sgis(machine),
        log=_log(machine, result),
        held=tuple(held),
    )


def _log(machine: Machine, result: RunResult | None) -> tuple[str, ...]:
    return log_lines(machine) if result is not None and result.printed == 0 else ()


def _read_in_vain(machine: Machine, result: RunResult | None) -> str | None:
    if result is None or result.ending is not Ending.NO_PROGRESS or len(machine.cpus) > 1:
        return None
    loop = find_loops(machine, [machine.current]).get(machine.current.index)
    return None if loop is None else what_is_read(machine, loop)


def is_stuck(pc: int, last: El1Exception, vbar: int, elr: int, word: int | None) -> bool:
    """Whether the guest has executed nothing since its last exception; ``word`` is the instruction at ``pc``."""
    if not is_vector(pc, vbar):
        return False
    # A vector may also be an endless loop.
    return pc == last.pc or (elr == last.pc and (word is None or branch_target(word, pc) != pc))


def _fault(
    machine: Machine,
    result: RunResult | None,
    chain: Chain,
    recent: Sequence[RecentExit],
    failures: int,
    *,
    stuck: bool,
) -> Fault | None:
    refused = bool(recent) and isinstance(recent[-1].record.reason, NestedPageFault)
    if refused and not stuck and result is not None and result.ending is Ending.FAULT:
        return stage2_fault(machine, recent[-1])
    if not stuck and not chain.is_unfinished:
        return None
    # The first exception caused all others.
    unhandled = stuck and failures >= len(chain.exceptions) - 1 > 0
    return fault_of(machine, chain.exceptions[0], unhandled=unhandled, settled=_is_settled(chain, failures))


def _handler_fault(machine: Machine, chain: Chain, failures: int, *, stuck: bool) -> Fault | None:
    """The exception taken by the first exception's handler; a vector that fails at once is reported elsewhere."""
    if not (stuck or chain.is_unfinished) or len(chain.exceptions) - failures < 2:
        return None
    if chain.exceptions[0].repeats_itself:
        # Its handler takes the same one.
        return None
    return fault_of(machine, chain.exceptions[1], settled=_is_settled(chain, failures))


def _is_settled(chain: Chain, failures: int) -> bool:
    """Whether no handler has run often enough to have overwritten the original state."""
    return all(each.times == 1 for each in chain.exceptions[: len(chain.exceptions) - failures])


def _sysreg(machine: Machine, name: str) -> int:
    try:
        return machine.current.arch.read_sysreg(lookup(name))
    except EngineError:
        return 0
