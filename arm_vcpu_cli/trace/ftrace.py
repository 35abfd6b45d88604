"""Writes traces as the text of the kernel's ftrace, with the events of KVM on arm64, so that scripts for those work on
them.

The formats are those of Linux: ``arch/arm64/kvm/trace_arm.h`` (kvm_entry, kvm_exit, kvm_guest_fault, kvm_irq_line,
kvm_timer_update_irq), ``arch/arm64/kvm/trace_handle_exit.h`` (kvm_wfx_arm64, kvm_hvc_arm64, kvm_handle_sys_reg,
kvm_sys_access), ``arch/arm64/kvm/vgic/trace.h`` (vgic_update_irq_pending), ``include/trace/events/kvm.h`` (kvm_mmio);
their order after an exit is that of KVM's handlers. Events that KVM does not have (the console, exceptions that the
guest takes itself, acknowledgements) are lines of ``tracing_mark_write``, as if written to ``trace_marker``.

A task is a vCPU, and so is the CPU; times are the guest's, to the nanosecond. Lines are in the order of time, as the
kernel's are; :mod:`~arm_vcpu_cli.trace.time_order` sorts those of several vCPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TextIO

from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMoveIss, sysreg_names
from arm_vcpu_cli.arch.syndrome.esr import Esr, ExceptionClass, exception_class
from arm_vcpu_cli.arch.syndrome.iss import HvcSvcSmcIss, WfxIss
from arm_vcpu_cli.printable import LONGEST_LINE, printable
from arm_vcpu_cli.trace.event import CONSOLE, ENTRY, EXIT, IRQ, TraceEnd, TraceEvent, TraceHeader

EC_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        ExceptionClass.UNKNOWN: "UNKNOWN",
        ExceptionClass.WFX: "WFx",
        ExceptionClass.CP15_MCR: "CP15_32",
        ExceptionClass.CP15_MCRR: "CP15_64",
        ExceptionClass.CP14_MCR: "CP14_MR",
        ExceptionClass.CP14_LDC: "CP14_LS",
        ExceptionClass.FP_ACCESS: "FP_ASIMD",
        ExceptionClass.VMRS: "CP10_ID",
        ExceptionClass.POINTER_AUTH: "PAC",
        ExceptionClass.CP14_MRRC: "CP14_64",
        ExceptionClass.SVC64: "SVC64",
        ExceptionClass.HVC64: "HVC64",
        ExceptionClass.SMC64: "SMC64",
        ExceptionClass.SYSTEM: "SYS64",
        ExceptionClass.SVE: "SVE",
        ExceptionClass.ERET: "ERET",
        ExceptionClass.IMPLEMENTATION_DEFINED_EL3: "IMP_DEF",
        ExceptionClass.INSTRUCTION_ABORT_LOWER: "IABT_LOW",
        ExceptionClass.INSTRUCTION_ABORT: "IABT_CUR",
        ExceptionClass.PC_ALIGNMENT: "PC_ALIGN",
        ExceptionClass.DATA_ABORT_LOWER: "DABT_LOW",
        ExceptionClass.DATA_ABORT: "DABT_CUR",
        ExceptionClass.SP_ALIGNMENT: "SP_ALIGN",
        ExceptionClass.FP_EXCEPTION32: "FP_EXC32",
        ExceptionClass.FP_EXCEPTION64: "FP_EXC64",
        ExceptionClass.SERROR: "SERROR",
        ExceptionClass.BREAKPOINT_LOWER: "BREAKPT_LOW",
        ExceptionClass.BREAKPOINT: "BREAKPT_CUR",
        ExceptionClass.SOFTWARE_STEP_LOWER: "SOFTSTP_LOW",
        ExceptionClass.SOFTWARE_STEP: "SOFTSTP_CUR",
        ExceptionClass.WATCHPOINT_LOWER: "WATCHPT_LOW",
        ExceptionClass.WATCHPOINT: "WATCHPT_CUR",
        ExceptionClass.BKPT32: "BKPT32",
        ExceptionClass.VECTOR_CATCH32: "VECTOR32",
        ExceptionClass.BRK64: "BRK64",
    }
)
"""``kvm_arm_exception_class`` of ``arch/arm64/include/asm/kvm_arm.h``; others are printed as numbers."""

_HEADER: Final = """\
# tracer: nop
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
_NS_PER_S: Final = 1_000_000_000
_FIRST_PPI: Final = 16
_FIRST_SPI: Final = 32
_PPI_TYPE: Final = 2
_SPI_TYPE: Final = 1
_HPFAR_LOW: Final = 0xFFF
"""The IPA bits of a fault that are not in HPFAR_EL2, and so not in kvm_guest_fault."""
_EXTERNAL_INTERRUPT: Final = "ExternalInterrupt"


class FtraceSink:
    """A :class:`~arm_vcpu_cli.trace.sinks.TraceSink`: all lines of an event are one write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._heads: dict[int, str] = {}

    def header(self, header: TraceHeader) -> None:
        """Write the facts about the trace as a line of ``tracing_mark_write``."""
        self._stream.write(_HEADER)
        about = f"guest {header.guest}, machine {header.machine}, cpu {header.cpu}, clock {header.clock}"
        self._stream.write(self._line(0, 0, "tracing_mark_write", printable(f"{header.tool}: {about}", LONGEST_LINE)))

    def event(self, event: TraceEvent) -> None:
        """Write an event as the kernel's KVM events for it."""
        kind = event.type
        if kind == EXIT:
            lines = _exit(event)
        elif kind == ENTRY and event.pc is not None:
            lines = [("kvm_entry", f"PC: 0x{event.pc:016x}")]
        elif kind == IRQ:
            lines = _irq(event)
        else:
            lines = _marker(event)
        head = self._heads.get(event.vcpu) or self._head(event.vcpu)
        seconds, rest = divmod(event.time, _NS_PER_S)
        stamp = f"{head} {seconds:5d}.{rest:09d}: "
        self._stream.write("".join([f"{stamp}{name}: {text}\n" for name, text in lines]))

    def end(self, end: TraceEnd) -> None:
        """Write the end of the run as a line of ``tracing_mark_write``."""
        self._stream.write(
            self._line(0, end.time, "tracing_mark_write", printable(f"armvcpu: ended: {end.message}", LONGEST_LINE))
        )

    def summary(self, counts: Mapping[str, int], total: int) -> None:  # noqa: ARG002
        """Write nothing: ftrace has no counts."""
        self._stream.flush()

    def _head(self, vcpu: int) -> str:
        # 0 is the idle task's number.
        head = self._heads[vcpu] = f"{f'kvm-vcpu-{vcpu}':>16}-{vcpu + 1:<7d} [{vcpu:03d}] ....."
        return head

    def _line(self, vcpu: int, time: int, name: str, text: str) -> str:
        seconds, rest = divmod(time, _NS_PER_S)
        return f"{self._head(vcpu)} {seconds:5d}.{rest:09d}: {name}: {text}\n"


Lines = list[tuple[str, str]]
"""Names and texts of events."""


def _exit(event: TraceEvent) -> Lines:
    name, pc, esr = event.name, event.pc, event.esr
    if pc is None or (esr is None and name != _EXTERNAL_INTERRUPT):
        return _marker(event)
    if esr is None:
        # ESR_EL2 is not set for an interrupt; KVM prints a class of 0.
        return [("kvm_exit", f"IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x{pc:016x}")]
    lines: Lines = [("kvm_exit", _trap(esr, pc))]
    ec = exception_class(esr)
    if ec in _DECODERS:
        lines += _DECODERS[ec](event, dict(event.fields), pc, esr)
    return lines


def _abort(_event: TraceEvent, fields: Mapping[str, object], pc: int, esr: int) -> Lines:
    ipa, va, width = (fields.get(name) for name in ("ipa", "va", "width"))
    if not isinstance(ipa, int):
        return []
    lines: Lines = []
    if isinstance(va, int):
        fault = f"ipa {ipa & ~_HPFAR_LOW:#x}, hsr {esr:#08x}, hxfar {va:#08x}, pc {pc:#016x}"
        lines.append(("kvm_guest_fault", fault))
    data, value = fields.get("data"), fields.get("value")
    if isinstance(data, int):
        lines.append(("kvm_mmio", f"mmio write len {width} gpa 0x{ipa:x} val 0x{data:x}"))
    elif width is not None:
        # KVM reports a read twice: before and after it has a value.
        lines.append(("kvm_mmio", f"mmio unsatisfied-read len {width} gpa 0x{ipa:x} val 0x0"))
        if isinstance(value, int):
            lines.append(("kvm_mmio", f"mmio read len {width} gpa 0x{ipa:x} val 0x{value:x}"))
    return lines


def _wfx(_event: TraceEvent, _fields: Mapping[str, object], pc: int, esr: int) -> Lines:
    # KVM looks at the low bit of TI: WFET counts as a WFE.
    letter = "e" if WfxIss(Esr(esr).ISS).TI & 1 else "i"
    return [("kvm_wfx_arm64", f"guest executed wf{letter} at: 0x{pc:016x}")]


def _hvc(_event: TraceEvent, fields: Mapping[str, object], pc: int, esr: int) -> Lines:
    function = fields.get("nr")
    if not isinstance(function, int):
        return []
    immediate = HvcSvcSmcIss(Esr(esr).ISS).imm16
    return [("kvm_hvc_arm64", f"HVC at 0x{pc:016x} (r0: 0x{function:016x}, imm: 0x{immediate:x})")]


def _system_move(_event: TraceEvent, _fields: Mapping[str, object], pc: int, esr: int) -> Lines:
    return [("kvm_handle_sys_reg", f"HSR 0x{esr:08x}"), ("kvm_sys_access", f"PC: {pc:x} {_system_register(esr)}")]


_DECODERS: Final = MappingProxyType(
    {
        int(ExceptionClass.WFX): _wfx,
        int(ExceptionClass.HVC64): _hvc,
        int(ExceptionClass.SYSTEM): _system_move,
        int(ExceptionClass.INSTRUCTION_ABORT_LOWER): _abort,
        int(ExceptionClass.DATA_ABORT_LOWER): _abort,
    }
)
"""Exception class -> KVM's events besides the exit."""


_LEVELS: Final = MappingProxyType({"raised": 1, "withdrawn": 0})


def _irq(event: TraceEvent) -> Lines:
    fields = dict(event.fields)
    intid = fields.get("intid")
    # KVM has no event for an SGI, nor for the steps of an interrupt once it is pending.
    if event.name not in _LEVELS or not isinstance(intid, int) or intid < _FIRST_PPI:
        return _marker(event)
    vcpu, private, level = event.vcpu, intid < _FIRST_SPI, _LEVELS[event.name]
    pending = ("vgic_update_irq_pending", f"VCPU: {vcpu}, IRQ {intid}, level: {level}")
    if private and "timer" in str(fields.get("source_name", "")):
        return [("kvm_timer_update_irq", f"VCPU: {vcpu}, IRQ {intid}, level {level}"), pending]
    kind = f"VGIC PPI interrupt ({_PPI_TYPE})" if private else f"VGIC SPI interrupt ({_SPI_TYPE})"
    return [("kvm_irq_line", f"Inject {kind}, vcpu->idx: {vcpu}, num: {intid}, level: {level}"), pending]


def _marker(event: TraceEvent) -> Lines:
    """Return an event that KVM does not have."""
    words = [event.type, *([event.name] if event.name else [])]
    if event.pc is not None:
        words.append(f"pc={event.pc:#x}")
    if event.symbol:
        words.append(f"<{event.symbol}>")
    if event.type == CONSOLE:
        words += [str(value) for name, value in event.fields if name == "text"]
    else:
        words += [f"{name}={value}" for name, value in event.fields]
    return [("tracing_mark_write", printable("armvcpu: " + " ".join(words), LONGEST_LINE))]


@lru_cache(maxsize=1 << 14)
def _trap(esr: int, pc: int) -> str:
    ec = exception_class(esr)
    return f"TRAP: HSR_EC: 0x{ec:04x} ({EC_NAMES.get(ec, hex(ec))}), PC: 0x{pc:016x}"


@lru_cache(maxsize=4096)
def _system_register(esr: int) -> str:
    """Return the register of a syndrome as kvm_sys_access prints it."""
    register = SysReg.from_iss(esr)
    name = sysreg_names().get(register)
    known = "UNKN" if name is None else f"SYS_{name.replace(' ', '_')}"
    direction = "read" if SystemMoveIss(Esr(esr).ISS).Direction else "write"
    return f"{known} ({','.join(map(str, register))}) {direction}"
