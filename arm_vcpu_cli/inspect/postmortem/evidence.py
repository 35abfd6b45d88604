"""What is known of a guest that went wrong, gathered once at its end: the facts that a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arm_vcpu_cli.arch.identification.features import is_announced
from arm_vcpu_cli.arch.instructions.insn_features import instruction_feature
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    Esr,
    ExceptionClass,
    decode_data_abort,
    decode_instruction_abort,
    exception_class,
)
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.exception_chain import Chain, El1Exception
from arm_vcpu_cli.arm_vcpu.inject import sets_far
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import NestedPageFault
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.schema import CPU_MODELS
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.inspect.tables.both_stages import Translated, translate, translate_ipa
from arm_vcpu_cli.vm.diagnosis import is_vector, vector_failures
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.standing import Standing
from arm_vcpu_cli.vm.timeline import NEVER
from arm_vcpu_cli.vm.watch.hang import are_interrupts_masked

_WORD: Final = 4
_BEFORE: Final = 4
"""Instructions before the one in question that say what the guest was about to do."""
_INSTRUCTION_ABORTS: Final = (ExceptionClass.INSTRUCTION_ABORT_LOWER, ExceptionClass.INSTRUCTION_ABORT)
_DATA_ABORTS: Final = (ExceptionClass.DATA_ABORT_LOWER, ExceptionClass.DATA_ABORT)
_LOWER: Final = (ExceptionClass.INSTRUCTION_ABORT_LOWER, ExceptionClass.DATA_ABORT_LOWER)


@dataclass(frozen=True)
class Fault:
    """The exception at EL1 that the end began with, or what stage 2 was told to stop at; decoded.

    ``far`` is the address that it was about (None where the exception has none), ``access`` what was tried there and
    ``el`` by whom. ``instruction`` is the word at ``pc``, ``before`` those in front of it, the nearest first; None
    and shorter where they cannot be read. ``at_el2``: stage 2 was told to stop there, and
    ``esr`` is ESR_EL2. ``feature`` is what an
    undefined instruction needs, and ``models`` are the CPU models that have it; None where this CPU has it, or nothing
    is known.
    """

    esr: int
    pc: int
    sp: int
    far: int | None = None
    el: int = 1
    access: Access | None = None
    status: int = -1
    instruction: int | None = None
    before: tuple[int, ...] = ()
    translated: Translated | None = None
    at_el2: bool = False
    feature: str = ""
    models: tuple[str, ...] | None = None

    @property
    def exception_class(self) -> int:
        """ESR_ELx.EC."""
        return exception_class(self.esr)

    @property
    def iss(self) -> int:
        """ESR_ELx.ISS."""
        return Esr(self.esr).ISS

    @property
    def is_fetch(self) -> bool:
        """An instruction abort."""
        return self.exception_class in _INSTRUCTION_ABORTS

    @property
    def is_data(self) -> bool:
        """A data abort."""
        return self.exception_class in _DATA_ABORTS


@dataclass(frozen=True)
class Evidence:
    """All facts. ``faults`` is how many exceptions the guest took at the end because its own vector failed, ``vector``
    the exception of that vector, and ``stuck`` whether it takes exceptions only."""

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
    has_symbols: bool = True
    vbar: int = 0
    sctlr: int = 0
    tcr: int = 0
    cpacr: int = 0
    interrupts_masked: bool = False
    timer_armed: bool = False
    input_ended: bool = False
    instruction: int | None = None
    before: tuple[int, ...] = ()
    fault: Fault | None = None
    stuck: bool = False
    vector: El1Exception | None = None
    chain: Chain = Chain()
    recent: tuple[RecentExit, ...] = ()
    standings: tuple[Standing, ...] = ()
    """What each of several CPUs does."""


def gather(machine: Machine, result: RunResult | None = None, standings: Sequence[Standing] = ()) -> Evidence:
    """Look at a machine whose guest has stopped; all is about the current CPU but ``standings``."""
    vcpu = machine.current.arch
    frame = vcpu.ctx
    vbar = _sysreg(machine, "VBAR_EL1")
    chain = vcpu.exception_chain()
    exceptions = chain.exceptions
    failures = vector_failures(exceptions, vbar)
    stuck = bool(exceptions) and is_stuck(frame.elr, exceptions[-1], vbar, _sysreg(machine, "ELR_EL1"))
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
        has_symbols=len(machine.image.symbols) > 0,
        vbar=vbar,
        sctlr=_sysreg(machine, "SCTLR_EL1"),
        tcr=_sysreg(machine, "TCR_EL1"),
        cpacr=_sysreg(machine, "CPACR_EL1"),
        interrupts_masked=are_interrupts_masked(machine),
        timer_armed=_timer_armed(machine),
        input_ended=not machine.console.input_open,
        instruction=word_at(machine, frame.elr),
        before=_words_before(machine, frame.elr),
        fault=_fault(machine, result, chain, recent, stuck=stuck),
        stuck=stuck,
        vector=exceptions[-1] if stuck and failures else None,
        chain=chain,
        recent=recent,
        standings=tuple(standings),
    )


def is_stuck(pc: int, last: El1Exception, vbar: int, elr: int) -> bool:
    """Whether a guest has just taken its last exception and executed nothing since."""
    return is_vector(pc, vbar) and (elr == last.pc or pc == last.pc)


def word_at(machine: Machine, address: int) -> int | None:
    """The instruction at a virtual address; where that is not mapped, the one at the IPA of that number."""
    if address % _WORD:
        return None
    data = machine.core.read_virtual(address, _WORD)
    if data is None:
        view = machine.ram.view(address, _WORD)
        data = None if view is None else bytes(view)
    return None if data is None else int.from_bytes(data, "little")


def _words_before(machine: Machine, address: int) -> tuple[int, ...]:
    words = []
    for place in range(address - _WORD, address - _WORD * (_BEFORE + 1), -_WORD):
        word = word_at(machine, place)
        if word is None:
            break
        words.append(word)
    return tuple(words)


def _timer_armed(machine: Machine) -> bool:
    """Whether a timer of the guest is to go off."""
    if len(machine.cpus) > 1:
        return machine.timeline.due(machine.current.index) < NEVER
    return machine.timeline.next_deadline() is not None and not machine.timeline.next_is_silent()


def _fault(
    machine: Machine,
    result: RunResult | None,
    chain: Chain,
    recent: Sequence[RecentExit],
    *,
    stuck: bool,
) -> Fault | None:
    refused = bool(recent) and isinstance(recent[-1].record.reason, NestedPageFault)
    if refused and not stuck and result is not None and result.ending is Ending.FAULT:
        return _stage2_fault(machine, recent[-1])
    # All others came of the first.
    return fault_of(machine, chain.exceptions[0]) if stuck or chain.is_unfinished else None


def fault_of(machine: Machine, exception: El1Exception) -> Fault:
    """An exception that EL1 has taken, with both stages of the address that it was about as they are now."""
    kind = exception_class(exception.esr)
    far = exception.far if sets_far(kind) else None
    access, status = _access(exception.esr)
    el = 0 if kind in _LOWER else 1
    word = word_at(machine, exception.pc)
    feature = instruction_feature(word) if word is not None and kind == ExceptionClass.UNKNOWN else None
    return Fault(
        esr=exception.esr,
        pc=exception.pc,
        sp=exception.sp,
        far=far,
        el=el,
        access=access,
        status=status,
        instruction=word,
        before=_words_before(machine, exception.pc),
        translated=None if far is None or access is None else translate(machine, far, el=el, access=access),
        feature=feature or "",
        models=None if feature is None else _models_with(machine, feature),
    )


def _models_with(machine: Machine, feature: str) -> tuple[str, ...] | None:
    """The CPU models whose guests are told of a feature; None where this one has it."""
    core = machine.core
    if is_announced(feature, guest_id_registers(core)):
        return None
    found = []
    for model in CPU_MODELS:
        if model == core.model:
            continue
        with Host(model, layout=core.layout) as host:
            if is_announced(feature, guest_id_registers(host.core(0))):
                found.append(model)
    return tuple(found)


def _access(esr: int) -> tuple[Access | None, int]:
    """What an abort's syndrome says was tried, and its fault status code; (None, -1) for other exceptions."""
    kind = exception_class(esr)
    if kind in _INSTRUCTION_ABORTS:
        return Access.EXECUTE, decode_instruction_abort(esr).fault_status
    if kind in _DATA_ABORTS:
        abort = decode_data_abort(esr)
        return Access.WRITE if abort.is_write else Access.READ, abort.fault_status
    return None, -1


def _stage2_fault(machine: Machine, last: RecentExit) -> Fault | None:
    """The exit that the description told to stop at (``on_fault = "stop"``)."""
    record = last.record
    if record.esr is None or not isinstance(record.reason, NestedPageFault):
        return None
    access, status = _access(record.esr)
    frame = machine.current.arch.ctx
    far = record.va
    translated = (
        translate_ipa(machine, record.reason.addr, access=access)
        if far is None
        else translate(machine, far, el=record.el, access=access)
    )
    return Fault(
        esr=record.esr,
        pc=record.pc,
        sp=frame.sp,
        far=far,
        el=record.el,
        access=access,
        status=status,
        instruction=word_at(machine, record.pc),
        before=_words_before(machine, record.pc),
        translated=translated,
        at_el2=True,
    )


def _sysreg(machine: Machine, name: str) -> int:
    try:
        return machine.current.arch.read_sysreg(lookup(name))
    except EngineError:
        return 0
