"""One exception of a failed guest, with every fact that can be recovered afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from arm_vcpu_cli.arch.fault import is_external, is_translation
from arm_vcpu_cli.arch.identification.features import is_announced
from arm_vcpu_cli.arch.instructions.insn_features import instruction_feature
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.syndrome.esr import (
    DATA_ABORTS,
    INSTRUCTION_ABORTS,
    Esr,
    ExceptionClass,
    decode_data_abort,
    decode_instruction_abort,
    exception_class,
)
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.arm_vcpu.exception_chain import El1Exception
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.inject import sets_far
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import NestedPageFault
from arm_vcpu_cli.board.schema import CPU_MODELS
from arm_vcpu_cli.host.machine_host import Host
from arm_vcpu_cli.inspect.postmortem.call_site import call_site
from arm_vcpu_cli.inspect.postmortem.changed_code import Changed, changed_at
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at, words_before
from arm_vcpu_cli.inspect.postmortem.stack_end import StackEnd, stack_end
from arm_vcpu_cli.inspect.tables.both_stages import Translated, translate, translate_ipa
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine

BEFORE: Final = 4
"""The number of preceding instructions examined for the guest's intention."""
_TRANSLATION_FAULTS: Final = 4
"""The fault status codes below are address size faults."""
_BESIDE: Final = 4096
"""An access within this distance of SP counts as a stack access."""


@dataclass(frozen=True)
class Fault:
    """The exception at EL1 that started the failure, or the access at which stage 2 stopped the run; decoded.

    ``far`` is the faulting address (None where the exception has none), ``access`` the kind of access and ``el`` its
    Exception level. ``instruction`` is the word at ``pc``, ``before`` those before it, the nearest first, and ``after``
    the one behind it; None and shorter where they cannot be read. ``at_el2``: stage 2 stopped the run there, ``esr``
    is ESR_EL2. ``feature`` is the feature that an undefined instruction needs, and ``models`` are the CPU models that
    have it; None if this CPU has it, or if it is unknown.

    ``registers`` are x0 to x30, None if a handler has used them since. ``caller`` is how the guest reached ``pc``, as
    far as they show it; ``changed`` is the code there that differs from the file; ``stack`` is the end of the stack, if
    the access lay beyond it; ``place`` is ``pc`` with its symbol.
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
    after: int | None = None
    translated: Translated | None = None
    at_el2: bool = False
    feature: str = ""
    models: tuple[str, ...] | None = None
    registers: tuple[int, ...] | None = None
    caller: str = ""
    changed: Changed | None = None
    stack: StackEnd | None = None
    place: str = ""

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
        """Whether it is an instruction abort."""
        return self.exception_class in INSTRUCTION_ABORTS

    @property
    def is_data(self) -> bool:
        """Whether it is a data abort."""
        return self.exception_class in DATA_ABORTS


def fault_of(machine: Machine, exception: El1Exception, *, unhandled: bool = False, settled: bool = False) -> Fault:
    """An exception taken to EL1, with the present translation of its address through both stages.

    ``unhandled``: nothing has been executed since. ``settled``: so little has that the code is unchanged.
    """
    kind = exception_class(exception.esr)
    far = exception.far if sets_far(kind) else None
    access, status = _access(exception.esr)
    el = Spsr(exception.spsr).el
    word = word_at(machine, exception.pc)
    feature = instruction_feature(word) if word is not None and kind == ExceptionClass.UNKNOWN else None
    fault = Fault(
        esr=exception.esr,
        pc=exception.pc,
        sp=exception.sp,
        far=far,
        el=el,
        access=access,
        status=status,
        instruction=word,
        before=words_before(machine, exception.pc, BEFORE),
        after=word_at(machine, exception.pc + INSTRUCTION_SIZE),
        translated=None if far is None or access is None else translate(machine, far, el=el, access=access),
        feature=feature or "",
        models=None if feature is None else _models_with(machine, feature),
        registers=machine.current.arch.ctx.gprs() if unhandled else None,
        caller=call_site(machine, exception.pc) if unhandled else "",
        changed=changed_at(machine, exception.pc) if settled and kind not in INSTRUCTION_ABORTS else None,
        place=with_symbol(machine, exception.pc),
    )
    if far is None or not reaches_past_stack(fault):
        return fault
    return replace(fault, stack=stack_end(machine, far, exception.sp if settled else None))


def is_missing(fault: Fault) -> bool:
    """Whether an abort's address is unmapped, as far as the access showed."""
    return is_translation(fault.status) or is_external(fault.status) or 0 <= fault.status < _TRANSLATION_FAULTS


def reaches_past_stack(fault: Fault) -> bool:
    """Whether a load or store to an unmapped address was a stack access: through SP, or close to it."""
    if not fault.is_data or not is_missing(fault):
        return False
    found = None if fault.instruction is None else decode_load_store(fault.instruction)
    uses_sp = isinstance(found, LoadStore) and found.base == SP and found.offset is not None
    return uses_sp or (fault.far is not None and fault.sp != 0 and abs(fault.far - fault.sp) < _BESIDE)


def _models_with(machine: Machine, feature: str) -> tuple[str, ...] | None:
    """The CPU models that show a feature to their guests; None if this one has it."""
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
    """The kind of access and the fault status code in an abort's syndrome; (None, -1) for other exceptions."""
    kind = exception_class(esr)
    if kind in INSTRUCTION_ABORTS:
        return Access.EXECUTE, decode_instruction_abort(esr).fault_status
    if kind in DATA_ABORTS:
        abort = decode_data_abort(esr)
        return Access.WRITE if abort.is_write else Access.READ, abort.fault_status
    return None, -1


def stage2_fault(machine: Machine, last: RecentExit) -> Fault | None:
    """The exit at which the description ends the run (``on_fault = "stop"``)."""
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
        before=words_before(machine, record.pc, BEFORE),
        translated=translated,
        at_el2=True,
        registers=frame.gprs(),
        caller=call_site(machine, record.pc),
        place=with_symbol(machine, record.pc),
    )
