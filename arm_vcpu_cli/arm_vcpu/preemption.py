"""Preempts a guest whose budget is used up, with the host's timer: an exit that the guest did not cause."""

from __future__ import annotations

from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exit_state import ExitState
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver, ExitRecord
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, ExternalInterrupt, Nothing


def preempt(
    hal: Aarch64Hal,
    exits: ExitState,
    recorder: FlightRecorder,
    frame: TrapFrame,
    observer: ExitObserver | None,
    vcpu: int,
) -> AxVCpuExitReason:
    """Take a physical IRQ, which HCR_EL2.IMO routes to EL2; do nothing if the host's timer is not involved."""
    vector = hal.irq_fetch()
    if not vector:
        return Nothing()
    exits.count += 1
    frame.set_event()
    exits.reason = reason = ExternalInterrupt(vector)
    recorder.append((recorder.snapshot(), exits.count, reason))
    if observer is not None:
        record = ExitRecord(observer.now(), reason, None, frame.elr, frame.spsr.el, vcpu=vcpu)
        record.take_callers(frame)
        observer.exit(record)
    return reason
