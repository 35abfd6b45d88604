"""Classifies data aborts to EL2, for the handler, for traces and for the flight recorder alike.

Nearly every one is a plain access: one load or store of a general-purpose register, which a valid syndrome describes
completely (DDI 0487, D24.2, ESR_EL2, ISS encoding of a data abort). One function recognises it and carries it out;
everything that does not change has been worked out for each syndrome and each instruction. All others (pairs, SIMD,
write-back, accesses that began in the page before, accesses that are not to a device) are decoded from the syndrome and
the instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS, extend_load
from arm_vcpu_cli.arch.instructions.loadstore import LoadStore, Unemulated, decode_load_store
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import decode_data_abort
from arm_vcpu_cli.arch.translation.fault_address import FIPA, FIPA_TO_ADDRESS, PAGE_OFFSET, fault_ipa
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.arm_vcpu.reasons import mmio_read, mmio_write
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, MmioRead, MmioWrite
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.record import Record

WIDEST: Final = 8
"""Bytes of the widest access to a device."""
_REMEMBERED: Final = 4096
"""Syndromes and instructions that are remembered: a guest that makes up new ones must not fill the host's memory."""
_DC_ZVA: Final = Unemulated("dc zva")

_decode = lru_cache(maxsize=_REMEMBERED)(decode_load_store)
"""The decoder with a cache: guests use few different instructions on devices."""

Fetch = Callable[[int], int | None]
"""The instruction at a virtual address, None where it cannot be read."""
MmioReason = MmioRead | MmioWrite


class PlainAccess(NamedTuple):
    """What a syndrome says about a load or store. ``size`` is 0 if it does not say everything; ``word`` is the place in
    the state of the register with the number ``register``, -1 for XZR; ``mask`` has all bits of the value."""

    size: int
    is_write: bool
    register: int
    word: int
    mask: int
    sign_extend: bool
    is_64bit: bool


_NOT_SIMPLE: Final = PlainAccess(0, False, ZERO_REGISTER, -1, 0, False, False)
_NOT_PLAIN: Final = (-1, 0, False)


class Element(Record):
    """One access of at most 8 bytes that an instruction makes; ``at`` is the byte inside its register."""

    ipa: int
    size: int
    register: int
    at: int
    vector: bool
    sign_extend: bool
    is_64bit: bool


class PendingAccess:
    """An instruction whose accesses are under way; ``values`` are those of the loads so far."""

    __slots__ = ("base", "elements", "index", "is_load", "values", "writeback")

    def __init__(
        self, elements: tuple[Element, ...], is_load: bool, base: int = ZERO_REGISTER, writeback: int = 0
    ) -> None:
        self.elements = elements
        self.is_load = is_load
        self.base = base
        self.writeback = writeback
        self.index = 0
        self.values: list[int] = []


class AbortKind(Enum):
    """The kinds of data aborts that are not plain accesses."""

    ACCESSES = "accesses"
    """The accesses that the instruction makes, one after the other."""
    PREFETCH = "prefetch"
    UNSUPPORTED = "exclusive or atomic"
    """An access that a device does not support."""
    UNEMULATED = "unemulated"
    MAINTENANCE = "cache maintenance"
    WALK = "stage-1 walk"
    """The walk could not read its table."""
    REFUSED = "refused"
    """Memory that is mapped, without the permission for this access."""


class DecodedAbort(NamedTuple):
    """A data abort that is not a plain access: its IPA, and what makes the access. Only the kind of that name has
    ``accesses``."""

    kind: AbortKind
    ipa: int
    is_write: bool
    what: str = ""
    accesses: PendingAccess | None = None


class PlainForm(Record):
    """How a plain access forms its address: register ``base`` (31 is SP) plus ``offset``.

    ``base`` is None if only the syndrome is used: for a register offset or a literal.
    """

    base: int | None
    offset: int


@lru_cache(maxsize=_REMEMBERED)
def plain_form(word: int | None) -> PlainForm | None:
    """The form of an instruction that a valid syndrome describes completely, else None.

    That is one general-purpose register and no write-back. ``word`` is the instruction, None if it cannot be read.
    """
    instruction = None if word is None else _decode(word)
    if instruction is None:
        return PlainForm(None, 0)
    if (
        not isinstance(instruction, LoadStore)
        or instruction.writeback is not None
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
    """A function from the syndrome of the data abort in ``state`` to None, once it has completed it.

    ``read(ipa, size)`` and ``write(ipa, size, value)`` carry a plain access out. Where their outcome is another than
    DONE nothing has been changed, and ``refused(access, reason, outcome)`` decides what happens. What is not a plain
    access is left to ``other(esr)``. ``tell`` is called with the reason of a plain access before it is made.
    """
    u64, layout = state.u64, state.layout
    x0, sp, pc = layout.x0 // 8, layout.sp // 8, layout.pc // 8
    hpfar, far = layout.sysregs[lookup("HPFAR_EL2")] // 8, layout.fault_address // 8
    advance, done = frame.advance, Outcome.DONE
    plans: dict[int, PlainAccess] = {}
    forms: dict[int | None, tuple[int, int, bool]] = {}

    def plan_of(esr: int) -> PlainAccess:
        abort = decode_data_abort(esr)
        simple = abort.is_translation and abort.valid and not abort.stage1_walk and not abort.cache_maintenance
        word = x0 + abort.register if abort.register != ZERO_REGISTER else -1
        mask = VALUE_MASKS[abort.size]
        plan = PlainAccess(abort.size, abort.is_write, abort.register, word, mask, abort.sign_extend, abort.is_64bit)
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

    def data_abort(esr: int) -> AxVCpuExitReason | None:
        plan = plans.get(esr) or plan_of(esr)
        size, is_write, register, word, mask, sign_extend, is_64bit = plan
        if not size:
            return other(esr)
        instruction = fetch(u64[pc])
        base, offset, plain = forms.get(instruction) or form_of(instruction)
        if not plain:
            return other(esr)
        ipa = (u64[hpfar] & FIPA) << FIPA_TO_ADDRESS | u64[far] & PAGE_OFFSET
        if not ipa & PAGE_OFFSET and base >= 0 and size > 1 and (u64[base] + offset) & PAGE_OFFSET:
            # The access began in the page before, which the syndrome does not say. The address of a register offset or
            # of a literal is not checked: those are assumed to be aligned.
            return other(esr)
        if is_write:
            value = u64[word] & mask if word >= 0 else 0
            if tell is not None:
                tell(mmio_write(ipa, size, value))
            outcome = write(ipa, size, value)
            if outcome is not done:
                return refused(plan, mmio_write(ipa, size, value), outcome)
        else:
            if tell is not None:
                tell(mmio_read(ipa, size, register, is_64bit, sign_extend))
            answer = read(ipa, size)
            if not isinstance(answer, int):
                return refused(plan, mmio_read(ipa, size, register, is_64bit, sign_extend), answer)
            if word >= 0:
                u64[word] = extend_load(answer, size, sign_extend, is_64bit) if sign_extend else answer & mask
        advance()
        return None

    return data_abort


class AbortDecoder:
    """Decodes the data aborts of one saved state that are not plain accesses. ``correct`` corrects a syndrome."""

    def __init__(self, state: CpuState, fetch: Fetch, correct: Callable[[int], int]) -> None:
        layout = state.layout
        self._u64 = state.u64
        self._x0 = layout.x0 // 8
        self._sp = layout.sp // 8
        self._pc = layout.pc // 8
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._fetch = fetch
        self._correct = correct

    def decode(self, esr: int) -> DecodedAbort:
        """Classify the abort with the core's syndrome ``esr``, and correct the syndrome in the state."""
        abort = decode_data_abort(self._correct(esr))
        ipa = fault_ipa(self._u64[self._hpfar], self._u64[self._far])
        if abort.stage1_walk:
            return DecodedAbort(AbortKind.WALK, ipa, abort.is_write)
        if not abort.is_translation:
            return DecodedAbort(AbortKind.REFUSED, ipa, abort.is_write)
        if abort.cache_maintenance:
            return DecodedAbort(AbortKind.MAINTENANCE, ipa, abort.is_write)
        # ISV = 0, or a form whose syndrome this core gets wrong: the instruction decides.
        return self._instruction(ipa, abort.is_write, self._word())

    def refused_store(self, ipa: int) -> DecodedAbort | None:
        """What else a store that is dropped does, such as write-back; None if nothing."""
        word = self._word()
        if word is None or word == _DC_ZVA:
            return None
        return self._instruction(ipa, True, word)

    def _word(self) -> LoadStore | Unemulated | None:
        word = self._fetch(self._u64[self._pc])
        return None if word is None else _decode(word)

    def _instruction(self, ipa: int, is_write: bool, word: LoadStore | Unemulated | None) -> DecodedAbort:
        if isinstance(word, LoadStore):
            elements = self._elements(word, ipa)
            if elements is not None:
                accesses = PendingAccess(elements, word.is_load, word.base, word.writeback or 0)
                return DecodedAbort(AbortKind.ACCESSES, ipa, is_write, "", accesses)
        what = word.kind if isinstance(word, Unemulated) else "page-crossing"
        if what == "prefetch":
            kind = AbortKind.PREFETCH
        else:
            kind = AbortKind.UNSUPPORTED if what in ("exclusive", "atomic") else AbortKind.UNEMULATED
        return DecodedAbort(kind, ipa, is_write, what)

    def _elements(self, access: LoadStore, ipa: int) -> tuple[Element, ...] | None:
        """The accesses of an instruction that faulted at ``ipa``; None if they are not all in that page."""
        first = far = self._u64[self._far]
        if access.offset is not None:
            base = self._sp if access.base == ZERO_REGISTER else self._x0 + access.base
            first = self._u64[base] + (0 if access.post_index else access.offset)
        found = []
        for transfer in access.transfers:
            for at in range(0, transfer.size, WIDEST):
                delta = _distance(far, first + transfer.offset + at)
                if not 0 <= (far & PAGE_OFFSET) + delta <= PAGE_OFFSET:
                    return None
                found.append(
                    Element(
                        ipa=ipa + delta,
                        size=min(transfer.size, WIDEST),
                        register=transfer.register,
                        at=at,
                        vector=transfer.vector,
                        sign_extend=transfer.sign_extend,
                        is_64bit=transfer.is_64bit,
                    )
                )
        return tuple(found)


def _distance(start: int, end: int) -> int:
    """Bytes from one address to another near it; the address space wraps."""
    half = MASK64 // 2 + 1
    return (end - start + half & MASK64) - half
