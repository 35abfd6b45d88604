"""A guest that repeats the same call to the firmware or the hypervisor."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.smccc import SMC64, PsciFunction, function_name
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass, exception_class
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import ExternalInterrupt, Hypercall, Nothing
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import CpuPower

_LEAST: Final = 12
_WORD: Final = 0xFFFF_FFFF


def repeated_call(machine: Machine) -> Advice | None:
    """Advice on the current CPU, if its last exits are one call with the same arguments, other than semihosting."""
    kept = [
        each
        for each in machine.current.arch.recent_exits()
        if not isinstance(each.record.reason, (ExternalInterrupt, Nothing))
    ][-_LEAST:]
    if len(kept) < _LEAST or len({_key(each) for each in kept}) > 1:
        return None
    record = kept[0].record
    if not isinstance(record.reason, Hypercall) or record.esr is None:
        return None
    number = record.reason.nr & _WORD
    conduit = "SMC" if exception_class(record.esr) == ExceptionClass.SMC64 else "HVC"
    said = f"The guest calls {function_name(number)} ({conduit}) over and over at {with_symbol(machine, record.pc)}"
    if number & ~SMC64 != PsciFunction.AFFINITY_INFO or not record.reason.args:
        return Advice(f"{said}.", "")
    asked = next((cpu for cpu in machine.cpus if cpu.affinity == record.reason.args[0]), None)
    if asked is None:
        return Advice(f"{said}, and there is no CPU {record.reason.args[0]:#x}: it returns INVALID_PARAMETERS.", "")
    if machine.power.state(asked.affinity) is not CpuPower.OFF:
        return Advice(f"{said}, and cpu{asked.index} is on: it returns 0.", "")
    return Advice(
        f"{said}, and cpu{asked.index} is off: it returns 1.",
        "only CPU_ON (x0 = 0xC4000003) switches a CPU on; AFFINITY_INFO tells of it",
    )


def _key(exit_: RecentExit) -> tuple[object, ...]:
    reason = exit_.record.reason
    return exit_.record.pc, reason if isinstance(reason, Hypercall) else None
