"""The exit that guests make most: one plain load or store of a device register, completed in place.

Everything about it that does not change is worked out once for each syndrome and each instruction. What is not that
simple (the syndrome says nothing or not all, or the access began in the page before) is decoded from the instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.esr import decode_data_abort
from arm_vcpu_cli.arch.extend import VALUE_MASKS, extend_load
from arm_vcpu_cli.arch.fault_address import FIPA, FIPA_TO_ADDRESS, PAGE_OFFSET
from arm_vcpu_cli.arch.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exit_reason import mmio_read, mmio_write
from arm_vcpu_cli.arm_vcpu.mmio import plain_form
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.axvcpu.exit import MmioRead, MmioWrite
from arm_vcpu_cli.engine.layout import CpuState

_REMEMBERED: Final = 4096
"""Syndromes and instructions that are remembered: a guest that makes up new ones must not fill the host's memory."""


class _Plan(NamedTuple):
    """What a syndrome asks for. ``size`` is 0 where it is not that simple; ``register`` is a word of the state, -1 for
    XZR."""

    size: int
    is_write: bool
    register: int
    mask: int
    sign_extend: bool
    is_64bit: bool


_NOT_SIMPLE: Final = _Plan(0, False, -1, 0, False, False)
_NOT_PLAIN: Final = (-1, 0, False)


def quick_access(
    state: CpuState,
    frame: TrapFrame,
    platform: Platform,
    fetch: Callable[[int], int | None],
    tell: Callable[[MmioRead | MmioWrite], object] | None = None,
) -> Callable[[int], Outcome | None]:
    """A function that completes the data abort with the syndrome it is given (DONE), or has not tried (None).

    Any other outcome is the platform's, which has not done anything. ``tell`` hears of the access before it is made.
    """
    u64, layout = state.u64, state.layout
    x0, sp, pc = layout.x0 // 8, layout.sp // 8, layout.pc // 8
    hpfar, far = layout.sysregs[lookup("HPFAR_EL2")] // 8, layout.fault_address // 8
    read, write, advance, done = platform.mmio_read, platform.mmio_write, frame.advance, Outcome.DONE
    plans: dict[int, _Plan] = {}
    forms: dict[int | None, tuple[int, int, bool]] = {}

    def plan_of(esr: int) -> _Plan:
        abort = decode_data_abort(esr)
        simple = abort.is_translation and abort.valid and not abort.stage1_walk and not abort.cache_maintenance
        word = x0 + abort.register if abort.register != ZERO_REGISTER else -1
        mask = VALUE_MASKS[abort.size]
        plan = _Plan(abort.size, abort.is_write, word, mask, abort.sign_extend, abort.is_64bit)
        if len(plans) >= _REMEMBERED:
            plans.clear()
        plans[esr] = plan if simple else _NOT_SIMPLE
        return plans[esr]

    def form_of(instruction: int | None) -> tuple[int, int, bool]:
        """(word of the base register or -1, offset, whether the form is plain)."""
        form = plain_form(instruction)
        if form is None:
            found = _NOT_PLAIN
        elif form.base is None:
            found = (-1, 0, True)
        else:
            found = (sp if form.base == ZERO_REGISTER else x0 + form.base, form.offset, True)
        if len(forms) >= _REMEMBERED:
            forms.clear()
        forms[instruction] = found
        return found

    def complete(esr: int) -> Outcome | None:
        size, is_write, register, mask, sign_extend, is_64bit = plans.get(esr) or plan_of(esr)
        if not size:
            return None
        instruction = fetch(u64[pc])
        base, offset, plain = forms.get(instruction) or form_of(instruction)
        if not plain:
            return None
        ipa = (u64[hpfar] & FIPA) << FIPA_TO_ADDRESS | u64[far] & PAGE_OFFSET
        if not ipa & PAGE_OFFSET and base >= 0 and size > 1 and (u64[base] + offset) & PAGE_OFFSET:
            # It began in the page before.
            return None
        if is_write:
            value = u64[register] & mask if register >= 0 else 0
            if tell is not None:
                tell(mmio_write(ipa, size, value))
            outcome = write(ipa, size, value)
            if outcome is not done:
                return outcome
        else:
            if tell is not None:
                number = register - x0 if register >= 0 else ZERO_REGISTER
                tell(mmio_read(ipa, size, number, is_64bit, sign_extend))
            answer = read(ipa, size)
            if isinstance(answer, Outcome):
                return answer
            if register >= 0:
                u64[register] = extend_load(answer, size, sign_extend, is_64bit) if sign_extend else answer & mask
        advance()
        return done

    return complete
