"""Executes plain accesses to devices, with or without traces and the flight recorder.

Nearly every access is plain: one load or store of a general-purpose register, which a valid syndrome describes
completely (DDI 0487, D24.2, ESR_EL2, ISS encoding of a data abort). One function recognises and executes it; everything
constant is computed once for each syndrome and each instruction. All others (pairs, SIMD, write-back, unaligned
accesses, accesses to memory) are left to ``abort_decoder.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS, extend_load
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore
from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import decode_data_abort
from arm_vcpu_cli.arch.translation.fault_address import FIPA, FIPA_TO_ADDRESS, PAGE_OFFSET
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.arm_vcpu.reasons import mmio_read, mmio_write
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, MmioRead, MmioWrite
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.record import Record

_REMEMBERED: Final = 4096
"""The number of syndromes and instructions cached, limited because a guest may keep creating new ones."""
decode = lru_cache(maxsize=_REMEMBERED)(decode_load_store)
"""The decoder with a cache: guests use few different instructions on devices."""

Fetch = Callable[[int], int | None]
"""Returns the instruction at a virtual address, None if it cannot be read."""
MmioReason = MmioRead | MmioWrite


class PlainAccess(NamedTuple):
    """A load or store as described by a syndrome. ``size`` is 0 if the description is incomplete; ``word`` is the place
    in the state of the register with the number ``register``, -1 for XZR; ``mask`` has all bits of the value."""

    size: int
    is_write: bool
    register: int
    word: int
    mask: int
    sign_extend: bool
    is_64bit: bool


_BIG_ENDIAN: Final = int(Sctlr.of(EE=1, E0E=1))
_Plan = tuple[int, bool, int, int, int, bool, bool, int]
"""The fields of a :class:`PlainAccess`, and the address bits that are zero if it is aligned. A plain tuple, because
others are slow to unpack."""
_NOT_SIMPLE: Final[_Plan] = (0, False, ZERO_REGISTER, -1, 0, False, False, 0)
_NOT_PLAIN: Final = (-1, 0, -1, -1)
_UNKNOWN_ADDRESS: Final = (-1, 0, -1, 0)
"""Of an instruction that cannot be read, or that authenticates its pointer. Such accesses are assumed to be aligned."""


class PlainForm(Record):
    """How a plain access forms its address: register ``base`` (31 is SP) plus ``offset``.

    ``base`` is None for a register offset or a literal, where only the syndrome is used.
    """

    base: int | None
    offset: int


@lru_cache(maxsize=_REMEMBERED)
def plain_form(word: int | None) -> PlainForm | None:
    """Return the form of an instruction that a valid syndrome describes completely, else None.

    Such an instruction has one general-purpose register and no write-back. ``word`` is the instruction, None if it
    cannot be read.
    """
    instruction = None if word is None else decode(word)
    if instruction is None:
        return PlainForm(None, 0)
    if (
        not isinstance(instruction, LoadStore)
        or instruction.writes_base
        or len(instruction.transfers) != 1
        or instruction.transfers[0].vector
    ):
        return None
    return PlainForm(None, 0) if instruction.offset is None else PlainForm(instruction.base, instruction.offset)


def data_abort_handler(
    state: CpuState,
    frame: TrapFrame,
    fetch: Fetch,
    *,
    read: Callable[[int, int], int | Outcome],
    write: Callable[[int, int, int], Outcome],
    refused: Callable[[PlainAccess, MmioReason, Outcome], AxVCpuExitReason | None],
    other: Callable[[int], AxVCpuExitReason | None],
    tell: Callable[[MmioReason], object] | None = None,
) -> Callable[[int], AxVCpuExitReason | None]:
    """Return a function from the syndrome of the data abort in ``state`` to None, once it has completed the access.

    ``read(ipa, size)`` and ``write(ipa, size, value)`` execute a plain access. If their outcome is not DONE nothing has
    changed, and ``refused(access, reason, outcome)`` decides what happens. Other aborts are passed to ``other(esr)``.
    ``tell`` is called with the reason of a plain access before it is made.
    """
    u64, layout = state.u64, state.layout
    x0, pc = layout.x0 // 8, layout.pc // 8
    sctlr = layout.sysregs[lookup("SCTLR_EL1")] // 8
    hpfar, far = layout.sysregs[lookup("HPFAR_EL2")] // 8, layout.fault_address // 8
    advance, done = frame.advance, Outcome.DONE
    plans: dict[int, _Plan] = {}
    forms: dict[int | None, tuple[int, int, int, int]] = {}
    not_plain, big_endian = _NOT_PLAIN, _BIG_ENDIAN

    def plan_of(esr: int) -> _Plan:
        abort = decode_data_abort(esr)
        simple = abort.is_translation and abort.valid and not abort.stage1_walk and not abort.cache_maintenance
        word = x0 + abort.register if abort.register != ZERO_REGISTER else -1
        mask = VALUE_MASKS[abort.size]
        plan = PlainAccess(abort.size, abort.is_write, abort.register, word, mask, abort.sign_extend, abort.is_64bit)
        if len(plans) >= _REMEMBERED:
            plans.clear()
        plans[esr] = (*plan, abort.size - 1) if simple else _NOT_SIMPLE
        return plans[esr]

    def form_of(instruction: int | None) -> tuple[int, int, int, int]:
        """Return how the address is formed: word of the base register, offset, word of a register that is added, its
        shift; -1 is none."""
        access = None if instruction is None else decode(instruction)
        found = _UNKNOWN_ADDRESS
        if plain_form(instruction) is None:
            found = _NOT_PLAIN
        elif isinstance(access, LoadStore) and access.literal is not None:
            found = (pc, access.literal, -1, 0)
        elif isinstance(access, LoadStore) and access.base == ZERO_REGISTER:
            # SP may have to be aligned.
            found = _NOT_PLAIN
        elif isinstance(access, LoadStore) and access.offset is not None:
            found = (x0 + access.base, access.offset, -1, 0)
        elif isinstance(access, LoadStore) and access.index is not None:
            # The offset inside the page does not depend on the register's extension.
            number, shift = access.index.register, access.index.shift
            found = (x0 + access.base, 0, x0 + number if number != ZERO_REGISTER else -1, shift)
        if len(forms) >= _REMEMBERED:
            forms.clear()
        forms[instruction] = found
        return found

    def data_abort(esr: int) -> AxVCpuExitReason | None:
        plan = plans.get(esr) or plan_of(esr)
        size, is_write, register, word, mask, sign_extend, is_64bit, low_bits = plan
        if not size:
            return other(esr)
        instruction = fetch(u64[pc])
        form = forms.get(instruction) or form_of(instruction)
        if form is not_plain:
            return other(esr)
        low = u64[far] & PAGE_OFFSET
        if low & low_bits or u64[sctlr] & big_endian:
            return other(esr)
        if not low and size > 1:
            base, offset, index, shift = form
            if base >= 0 and u64[base] + offset + (u64[index] << shift if index >= 0 else 0) & PAGE_OFFSET:
                # The access began in the previous page, which the syndrome does not show.
                return other(esr)
        ipa = (u64[hpfar] & FIPA) << FIPA_TO_ADDRESS | low
        if is_write:
            value = u64[word] & mask if word >= 0 else 0
            if tell is not None:
                tell(mmio_write(ipa, size, value))
            outcome = write(ipa, size, value)
            if outcome is not done:
                return refused(PlainAccess(*plan[:-1]), mmio_write(ipa, size, value), outcome)
        else:
            if tell is not None:
                tell(mmio_read(ipa, size, register, is_64bit, sign_extend))
            answer = read(ipa, size)
            if not isinstance(answer, int):
                return refused(PlainAccess(*plan[:-1]), mmio_read(ipa, size, register, is_64bit, sign_extend), answer)
            if word >= 0:
                u64[word] = extend_load(answer, size, sign_extend, is_64bit) if sign_extend else answer & mask
        advance()
        return None

    return data_abort
