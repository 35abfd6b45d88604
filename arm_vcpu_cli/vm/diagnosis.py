"""Describes why a guest made no progress, from its last exceptions at EL1."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    DATA_ABORTS,
    EC_SHIFT,
    INSTRUCTION_ABORTS,
    Esr,
    ExceptionClass,
    decode_data_abort,
    describe_esr,
)
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE
from arm_vcpu_cli.arm_vcpu.exception_chain import El1Exception
from arm_vcpu_cli.arm_vcpu.vectors import ENTRY_SIZE, TABLE_ALIGNMENT, TABLE_SIZE, TrapKind
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_LINUX: Final = "linux"
_KERNEL_SYMBOLS: Final = "arm_vcpu_cli.vm.kernel_symbols"
"""Loaded only for kernels."""
_KINDS: Final = MappingProxyType({TrapKind.IRQ: "IRQ", TrapKind.FIQ: "FIQ", TrapKind.SERROR: "SError"})
_FAULT_STATUS_BITS: Final = 0x3F
_NAMES: Final = MappingProxyType(
    {
        ExceptionClass.UNKNOWN: "undefined instruction",
        ExceptionClass.ILLEGAL_STATE: "illegal execution state",
        ExceptionClass.PC_ALIGNMENT: "misaligned PC",
        ExceptionClass.SP_ALIGNMENT: "misaligned stack pointer",
        ExceptionClass.BRK64: "BRK instruction",
        ExceptionClass.SERROR: "SError",
        ExceptionClass.FP_ACCESS: "trapped floating-point or SIMD instruction",
        ExceptionClass.SVE: "trapped SVE instruction",
        ExceptionClass.SME: "trapped SME instruction",
        ExceptionClass.BRANCH_TARGET: "branch target exception (BTI)",
        ExceptionClass.POINTER_AUTH_FAIL: "pointer authentication failure",
    }
)


def with_symbol(machine: Machine, address: int) -> str:
    """An address with its symbol, if the guest has one for it."""
    if machine.image.kind == _LINUX:
        import_module(_KERNEL_SYMBOLS).name_kernel(machine)
    symbol = machine.image.symbols.format(address)
    return f"{address:#x}" + (f" <{symbol}>" if symbol else "")


def on_cpu(machine: Machine) -> str:
    """The current CPU, as a suffix to a place; empty if there is only one."""
    return f" on cpu{machine.current.index}" if len(machine.cpus) > 1 else ""


def place_of(machine: Machine) -> str:
    """Where the guest is, in words."""
    return with_symbol(machine, machine.current.arch.ctx.elr) + on_cpu(machine)


def in_words(exception: El1Exception) -> str:
    """An exception, such as ``data abort on a write to 0xdead0000 (synchronous external abort)``."""
    exception_class = exception.esr >> EC_SHIFT
    status = fault_status_name(exception.esr & _FAULT_STATUS_BITS)
    if exception_class in INSTRUCTION_ABORTS:
        return f"instruction abort ({status})"
    if exception_class in DATA_ABORTS:
        direction = "write to" if decode_data_abort(exception.esr).is_write else "read of"
        return f"data abort on a {direction} {exception.far:#x} ({status})"
    for known, name in _NAMES.items():
        if exception_class == known:
            return name
    return f"exception of the class {describe_esr(exception.esr)}"


def vector_base(machine: Machine) -> int:
    """The base of the EL1 vectors: VBAR_EL1 without its RES0 bits."""
    return machine.current.arch.read_sysreg(lookup("VBAR_EL1")) & -TABLE_ALIGNMENT


def is_vector(address: int, vbar: int) -> bool:
    """Whether an address is the start of one of the sixteen vectors."""
    return 0 <= address - vbar < TABLE_SIZE and (address - vbar) % ENTRY_SIZE == 0


def vector_failures(exceptions: Sequence[El1Exception], vbar: int) -> int:
    """The number of final exceptions that the first instruction of a vector raised.

    A first exception at address 0 is a stray jump, not a failed vector, even if VBAR_EL1 is 0.
    """
    count = 0
    for exception in reversed(exceptions):
        if not is_vector(exception.pc, vbar) or (not exception.pc and exception is exceptions[0]):
            break
        count += 1
    return count


def explain_stuck(machine: Machine) -> str:
    """One line on a guest that takes the same exception over and over."""
    exceptions = machine.current.arch.exception_chain().exceptions
    stuck = f"the guest is stuck{on_cpu(machine)}"
    if not exceptions:
        return f"{stuck}: it takes the same exception over and over"
    vbar = vector_base(machine)
    failures = vector_failures(exceptions, vbar)
    first, last = exceptions[0], exceptions[-1]
    place = with_symbol(machine, last.pc)
    if failures:
        vector = f"the vector at {place} (VBAR_EL1 is {vbar:#x}) {_why_useless(last)}"
        if failures == len(exceptions):
            before = interrupted_by(first, vbar)
            after = "" if before is None else f" after {before[0]} at {with_symbol(machine, before[1])}"
            return f"{stuck}{after}: {vector}"
        missing = (
            "its handler is missing" if failures == len(exceptions) - 1 else "its handler faults, and for that fault"
        )
        return f"{_after(machine, stuck, first)}: {missing}, {vector}"
    if len(exceptions) > 1:
        how = "over and over" if last.repeats_itself else "and goes back there"
        return f"{_after(machine, stuck, first)}: its handler takes {_with_article(in_words(last))} at {place}, {how}"
    if last.repeats_itself:
        return (
            f"{stuck}: it takes the same exception over and over, {in_words(last)} at {place}, which its handler "
            "executes as well"
        )
    return (
        f"{stuck}: it takes the same exception over and over, {in_words(last)} at {place}, and its handler goes back "
        "there"
    )


def in_handler(machine: Machine, cpu: Cpu | None = None) -> str:
    """A suffix stating that a CPU (by default the current one) is in an exception handler; empty if it is not.

    It is empty for Linux kernels, which are in handlers too often for it to matter.
    """
    chain = (machine.current if cpu is None else cpu).arch.exception_chain()
    if not chain.is_unfinished or machine.image.kind == "linux":
        return ""
    first, *others = chain.exceptions
    more = f" and {len(others)} more inside" if others else ""
    return f", in the handler of {_with_article(in_words(first))} at {with_symbol(machine, first.pc)}{more}"


def interrupted_by(exception: El1Exception, vbar: int) -> tuple[str, int] | None:
    """The kind and origin of the unrecorded event (a system call or an interrupt) that entered a vector whose first
    instruction raises the first known exception. None if it is no vector."""
    if not is_vector(exception.pc, vbar):
        return None
    kind = TrapKind((exception.pc - vbar) // ENTRY_SIZE % len(TrapKind))
    if kind is not TrapKind.SYNCHRONOUS:
        return f"an interrupt ({_KINDS[kind]})", exception.elr
    if exception.cause >> EC_SHIFT != ExceptionClass.SVC64:
        return None
    return f"a system call (SVC #{Esr(exception.cause).ISS:#x})", exception.elr - INSTRUCTION_SIZE


def _after(machine: Machine, stuck: str, first: El1Exception) -> str:
    return f"{stuck} after {_with_article(in_words(first))} at {with_symbol(machine, first.pc)}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _why_useless(exception: El1Exception) -> str:
    exception_class = Esr(exception.esr).EC
    if exception_class in INSTRUCTION_ABORTS:
        return f"cannot be fetched ({fault_status_name(exception.esr & _FAULT_STATUS_BITS)})"
    if exception_class == ExceptionClass.UNKNOWN:
        return "holds no valid instruction"
    return f"fails itself with {in_words(exception)}"
