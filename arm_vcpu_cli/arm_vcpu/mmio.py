"""Completing device accesses: from a stage-2 data abort to reads and writes of a platform.

Most accesses are one load or store with a valid syndrome, and take the short way. Pairs, SIMD, and the forms with
write-back (for which this core reports a syndrome it should not) are decoded from the instruction.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.extend import extend_load
from arm_vcpu_cli.arch.fault_address import PAGE_OFFSET
from arm_vcpu_cli.arch.loadstore import LoadStore, Unemulated, decode_load_store
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.axvcpu.exit import AccessWidth, MmioRead, MmioWrite
from arm_vcpu_cli.engine.layout import CpuState

_WIDEST: Final = 8
DC_ZVA: Final = Unemulated("dc zva")

decode_cached = lru_cache(maxsize=4096)(decode_load_store)
"""The decoder behind a cache: guests use few different instructions on devices."""


class Element(NamedTuple):
    """One access of at most 8 bytes that an instruction makes; ``at`` is the byte inside its register."""

    ipa: int
    size: int
    register: int
    at: int
    vector: bool
    sign_extend: bool
    is_64bit: bool


class Pending(Enum):
    """What is left to do for an exit that ``run()`` returned, when there is no access under way."""

    NOTHING = "nothing"
    ADVANCE = "advance"


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


class DeviceAccess:
    """Carries accesses out on a platform and writes their results into the saved state."""

    def __init__(self, state: CpuState, frame: TrapFrame, platform: Platform) -> None:
        self._u64 = state.u64
        self._sp = state.layout.sp // 8
        self._v0 = state.layout.v0 // 8
        self._stride = state.layout.vector_stride // 8
        self._frame = frame
        self._platform = platform

    def elements(self, access: LoadStore, far: int, ipa: int) -> tuple[Element, ...] | None:
        """The accesses of an instruction that faulted at ``far``/``ipa``; None if they are not all in that page."""
        first = far
        if access.offset is not None:
            first = self._base(access.base) + (0 if access.post_index else access.offset)
        found = []
        for transfer in access.transfers:
            for at in range(0, transfer.size, _WIDEST):
                delta = _distance(far, first + transfer.offset + at)
                if not 0 <= (far & PAGE_OFFSET) + delta <= PAGE_OFFSET:
                    return None
                found.append(
                    Element(
                        ipa=ipa + delta,
                        size=min(transfer.size, _WIDEST),
                        register=transfer.register,
                        at=at,
                        vector=transfer.vector,
                        sign_extend=transfer.sign_extend,
                        is_64bit=transfer.is_64bit,
                    )
                )
        return tuple(found)

    def began_before(self, form: PlainForm) -> bool:
        """Whether a plain access that faulted at the first byte of a page began in the page before it.

        The syndrome does not tell. The address of a register offset or of a literal is not looked at: those are
        taken to be aligned.
        """
        return form.base is not None and bool(self._base(form.base) + form.offset & PAGE_OFFSET)

    def proceed(self, access: PendingAccess) -> MmioRead | MmioWrite | Outcome:
        """Carry out what is left. DONE: committed. ABORT: nothing was changed. An exit: the caller completes it."""
        elements = access.elements
        while access.index < len(elements):
            element = elements[access.index]
            if access.is_load:
                value = self._platform.mmio_read(element.ipa, element.size)
                if isinstance(value, Outcome):
                    return self.reason(access) if value is Outcome.EXIT else Outcome.ABORT
                access.values.append(value)
            else:
                outcome = self._platform.mmio_write(element.ipa, element.size, self.store_value(element))
                if outcome is not Outcome.DONE:
                    return self.reason(access) if outcome is Outcome.EXIT else Outcome.ABORT
            access.index += 1
        self._commit(access)
        return Outcome.DONE

    def reason(self, access: PendingAccess) -> MmioRead | MmioWrite:
        """The exit for the access that is next."""
        element = access.elements[access.index]
        if not access.is_load:
            return MmioWrite(element.ipa, AccessWidth(element.size), self.store_value(element))
        width = AccessWidth.QWORD if element.is_64bit or element.vector else AccessWidth.DWORD
        return MmioRead(element.ipa, AccessWidth(element.size), element.register, width, element.sign_extend)

    def store_value(self, element: Element) -> int:
        """What a store writes."""
        if element.vector:
            value = self._u64[self._v0 + element.register * self._stride + element.at // _WIDEST]
        else:
            value = self._frame.gpr(element.register)
        return value & ((1 << 8 * element.size) - 1)

    def _base(self, register: int) -> int:
        return self._u64[self._sp] if register == ZERO_REGISTER else self._frame.gpr(register)

    def _commit(self, access: PendingAccess) -> None:
        for element, value in zip(access.elements, access.values, strict=False):
            if not element.vector:
                extended = extend_load(value, element.size, element.sign_extend, element.is_64bit)
                self._frame.set_gpr(element.register, extended)
                continue
            word = self._v0 + element.register * self._stride
            if element.at == 0:
                # A write to part of a vector register clears the rest of it.
                for n in range(self._stride):
                    self._u64[word + n] = 0
            self._u64[word + element.at // _WIDEST] = value & ((1 << 8 * element.size) - 1)
        self.write_back(access.base, access.writeback)

    def write_back(self, base: int, delta: int) -> None:
        """Add to a base register, 31 being SP; the last thing that an instruction does."""
        if delta:
            value = self._base(base) + delta
            if base == ZERO_REGISTER:
                self._frame.sp = value
            else:
                self._frame.set_gpr(base, value)


def _distance(start: int, end: int) -> int:
    """Bytes from one address to another near it; the address space wraps."""
    half = MASK64 // 2 + 1
    return (end - start + half & MASK64) - half


class PlainForm(NamedTuple):
    """How a plain access forms its address: register ``base`` (31 is SP) plus ``offset``.

    ``base`` is None where the syndrome's own word has to do: a register offset, a literal.
    """

    base: int | None
    offset: int


@lru_cache(maxsize=4096)
def plain_form(word: int | None) -> PlainForm | None:
    """The form of an instruction of which a valid syndrome says all there is to say, else None.

    That is one general-purpose register and no write-back. ``word`` is the instruction, None where it cannot be read.
    """
    instruction = None if word is None else decode_cached(word)
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
