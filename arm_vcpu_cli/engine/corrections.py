"""Corrects deviations of the engine from the architecture in the engine's own code. Unlike ``levers``, corrections
change what a guest sees, so they have no switch. Where a correction is impossible, the deviation is a limit."""

from __future__ import annotations

from arm_vcpu_cli.engine.complex_multiplication import multiply_only_elements
from arm_vcpu_cli.engine.events import take_events
from arm_vcpu_cli.engine.fp_traps import take_fp_traps
from arm_vcpu_cli.engine.hidden_registers import hide_registers
from arm_vcpu_cli.engine.missing_exceptions import take_missing_exceptions
from arm_vcpu_cli.engine.ordered_alignment import check_ordered
from arm_vcpu_cli.engine.os_lock import heed_os_lock
from arm_vcpu_cli.engine.pointer_signing import sign_as_specified
from arm_vcpu_cli.engine.signed_atomics import compare_signed
from arm_vcpu_cli.engine.walk_checks import take_walk_checks


def correct_engine() -> None:
    """Correct the engines of this process, as far as possible."""
    take_walk_checks()
    take_fp_traps()
    heed_os_lock()
    if take_missing_exceptions():
        take_events()
    sign_as_specified()
    check_ordered()
    compare_signed()
    multiply_only_elements()
    hide_registers()
