"""Classifies data aborts to EL2 that are not plain accesses, by the syndrome and the instruction.

It also checks alignment, which this core does only for exclusives and atomics (DDI 0487, B2.5.2): an alignment fault is
a fault of stage 1, and takes priority over the fault of stage 2 that caused the exit.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.fault import FSC_ALIGNMENT, fault_status_name
from arm_vcpu_cli.arch.instructions.transfers import LoadStore, Transfer, Unemulated
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import decode_data_abort
from arm_vcpu_cli.arch.translation.fault_address import PAGE_OFFSET, fault_ipa
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.access import decode
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.record import Record

WIDEST: Final = 8
"""The widest access to a device, in bytes."""
_PAGE: Final = PAGE_OFFSET + 1
_DC_ZVA: Final = Unemulated("dc zva")
_EXCLUSIVE_OR_ATOMIC: Final = ("exclusive", "atomic")
_STACK_ALIGNMENT: Final = 16
_EL1: Final = 1
_UNIT_OF_EL: Final = int(Spsr.of(M=0b0100))
_EL: Final = 0b11
_PAN: Final = int(Spsr.of(PAN=1))
_SA, _SA0, _A, _EE, _E0E = (int(Sctlr.of(**{name: 1})) for name in ("SA", "SA0", "A", "EE", "E0E"))


class Element(Record):
    """One access of at most 8 bytes that an instruction makes; ``at`` is the byte offset in its register."""

    ipa: int
    address: int
    """The virtual address."""
    size: int
    register: int
    at: int
    vector: bool
    sign_extend: bool
    is_64bit: bool
    lane: bool = False
    """Whether the other bytes of the SIMD register are preserved."""
    copies: int = 1
    """The number of copies that a load writes to its register."""
    swapped: bool = False
    """Whether the guest is big-endian, so that the bytes of the value are in reverse order."""

    def in_register(self, value: int) -> int:
        """Convert a value between bus and register; the conversion is its own inverse."""
        return int.from_bytes(value.to_bytes(self.size, "little"), "big") if self.swapped else value


class PendingAccess:
    """An instruction whose accesses are in progress; ``values`` are those of the loads so far."""

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
    """The accesses that the instruction makes, in order."""
    PREFETCH = "prefetch"
    UNSUPPORTED = "exclusive or atomic"
    """An access that a device does not support."""
    UNEMULATED = "unemulated"
    MAINTENANCE = "cache maintenance"
    WALK = "stage-1 walk"
    """The walk could not read a table."""
    REFUSED = "refused"
    """Mapped memory without the permission for this access."""
    STAGE1 = "stage 1"
    """A fault of stage 1, which EL1 takes: alignment, or the translation of another page of the access."""
    STACK_ALIGNMENT = "stack alignment"


class DecodedAbort(Record):
    """A data abort that is not a plain access: its IPA and its kind. Only the kind ACCESSES has ``accesses``, and only
    STAGE1 an ``address`` with a fault status code."""

    kind: AbortKind
    ipa: int
    is_write: bool
    what: str = ""
    accesses: PendingAccess | None = None
    address: int = 0
    fault: int = 0


class _Stage1FaultError(Exception):
    """An access faults at stage 1, with this address and status."""

    def __init__(self, address: int, status: int) -> None:
        self.address = address
        self.status = status


class AbortDecoder:
    """Decodes data aborts of one saved state that are not plain accesses. ``correct`` corrects a syndrome."""

    def __init__(
        self,
        state: CpuState,
        frame: TrapFrame,
        fetch: Callable[[int], int | None],
        correct: Callable[[int], int],
        memory: GuestMemory,
    ) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._frame = frame
        self._pc = layout.pc // 8
        self._pstate = layout.pstate // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._sctlr = layout.sysregs[lookup("SCTLR_EL1")] // 8
        self._fetch = fetch
        self._correct = correct
        self._memory = memory

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
        word = self._word()
        instruction = None if word is None else decode(word)
        if word is not None and self._is_stack_misaligned(word, instruction):
            return DecodedAbort(AbortKind.STACK_ALIGNMENT, ipa, abort.is_write, "SP alignment fault")
        misaligned = self._misaligned(instruction)
        if misaligned is not None:
            return _stage1(ipa, misaligned, FSC_ALIGNMENT, is_write=abort.is_write)
        return self._instruction(ipa, abort.is_write, instruction)

    def refused_store(self, ipa: int) -> DecodedAbort | None:
        """Return the further effects of a dropped store, such as write-back; None if it has none."""
        word = self._word()
        instruction = None if word is None else decode(word)
        if instruction is None or instruction == _DC_ZVA:
            return None
        store = self._instruction(ipa, True, instruction)
        if store.accesses is not None and any((each.ipa ^ ipa) & ~PAGE_OFFSET for each in store.accesses.elements):
            # The part for the other page is not dropped.
            return DecodedAbort(AbortKind.UNEMULATED, ipa, True, "page-crossing")
        return store

    def _word(self) -> int | None:
        return self._fetch(self._u64[self._pc])

    def _instruction(self, ipa: int, is_write: bool, instruction: LoadStore | Unemulated | None) -> DecodedAbort:
        if isinstance(instruction, LoadStore):
            try:
                elements = self._elements(instruction, ipa)
            except _Stage1FaultError as fault:
                return _stage1(ipa, fault.address, fault.status, is_write=is_write)
            if elements is not None:
                accesses = PendingAccess(elements, instruction.is_load, instruction.base, self._added(instruction))
                return DecodedAbort(AbortKind.ACCESSES, ipa, is_write, "", accesses)
        what = instruction.kind if isinstance(instruction, Unemulated) else "page-crossing"
        if what == "prefetch":
            kind = AbortKind.PREFETCH
        else:
            kind = AbortKind.UNSUPPORTED if what in _EXCLUSIVE_OR_ATOMIC else AbortKind.UNEMULATED
        return DecodedAbort(kind, ipa, is_write, what)

    # Addresses -------------------------------------------------------------------------------------------------

    def _elements(self, access: LoadStore, ipa: int) -> tuple[Element, ...] | None:
        """Return the accesses of an instruction that faulted at ``ipa``; None if one crosses a page, or is to
        memory."""
        far, first = self._u64[self._far], self._first(access)
        swapped = bool(self._u64[self._sctlr] & (_EE if self._el() == _EL1 else _E0E))
        pages = {far & ~PAGE_OFFSET: ipa & ~PAGE_OFFSET}
        found = []
        for transfer in access.transfers:
            for at in range(0, transfer.size, WIDEST):
                address = first + transfer.offset + at & MASK64
                width = min(transfer.size, WIDEST)
                page = address & ~PAGE_OFFSET
                if page not in pages:
                    place = self._place(page, access)
                    if place is None:
                        return None
                    pages[page] = place
                if address % _PAGE + width > _PAGE:
                    return None
                # In a big-endian guest, the upper half of a quadword comes first.
                byte = transfer.size - width - at if swapped and transfer.size > WIDEST else transfer.at + at
                found.append(_element(transfer, pages[page] | address & PAGE_OFFSET, address, width, byte, swapped))
        return tuple(found)

    def _first(self, access: LoadStore) -> int:
        """Return the access address; for an authenticated pointer only the core knows it."""
        address = access.address(self._frame.gpr, self._frame.sp, self._u64[self._pc])
        return self._u64[self._far] if address is None else address

    def _place(self, page: int, access: LoadStore) -> int | None:
        """Return the IPA of another page that an instruction accesses; None if that is memory."""
        kind = Access.READ if access.is_load else Access.WRITE
        el = 0 if access.unprivileged else self._el()
        translation = self._memory.translate(page, el=el, access=kind, pan=bool(self._u32[self._pstate] & _PAN))
        fault = translation.stage1.fault
        if fault is not None:
            raise _Stage1FaultError(page, fault.fault_status)
        return translation.stage1.output if translation.paddr is None else None

    def _added(self, access: LoadStore) -> int:
        """Return the amount by which the instruction finally changes the base register."""
        if access.added_register is not None:
            return self._frame.gpr(access.added_register)
        if access.writes_address:
            base = self._frame.sp if access.base == ZERO_REGISTER else self._frame.gpr(access.base)
            return self._u64[self._far] - base
        return access.writeback or 0

    # Alignment -------------------------------------------------------------------------------------------------

    def _el(self) -> int:
        return self._u32[self._pstate] // _UNIT_OF_EL & _EL

    def _is_stack_misaligned(self, word: int, instruction: LoadStore | Unemulated | None) -> bool:
        """Return whether SP is the base, must be aligned and is not."""
        if self._frame.sp % _STACK_ALIGNMENT == 0:
            return False
        if isinstance(instruction, LoadStore):
            uses_sp = instruction.base == ZERO_REGISTER and instruction.literal is None
        else:
            uses_sp = instruction is not None and instruction.kind in _EXCLUSIVE_OR_ATOMIC and word >> 5 & 31 == 31
        return uses_sp and bool(self._u64[self._sctlr] & (_SA if self._el() == _EL1 else _SA0))

    def _misaligned(self, instruction: LoadStore | Unemulated | None) -> int | None:
        """Return the address of an access that must be aligned and is not; None for any other."""
        if not isinstance(instruction, LoadStore):
            far = self._u64[self._far]
            return far if instruction == _DC_ZVA and self._is_device(far) else None
        first = self._first(instruction)
        if first % instruction.transfers[0].size == 0:
            return None
        # No CPU model has FEAT_LSE2.
        faults = instruction.ordered or self._u64[self._sctlr] & _A or self._is_device(self._u64[self._far])
        return first if faults else None

    def _is_device(self, address: int) -> bool:
        """Return whether stage 1 makes an address Device memory, as it makes all with the MMU off."""
        attributes = self._memory.translate(address, el=self._el()).stage1.attributes
        return attributes is not None and attributes.memory.is_device


def _stage1(ipa: int, address: int, status: int, *, is_write: bool) -> DecodedAbort:
    what = fault_status_name(status)
    return DecodedAbort(AbortKind.STAGE1, ipa, is_write, what, address=address, fault=status)


def _element(transfer: Transfer, ipa: int, address: int, size: int, at: int, swapped: bool) -> Element:
    return Element(
        ipa=ipa,
        address=address,
        size=size,
        register=transfer.register,
        at=at,
        vector=transfer.vector,
        sign_extend=transfer.sign_extend,
        is_64bit=transfer.is_64bit,
        lane=transfer.lane,
        copies=transfer.copies,
        swapped=swapped,
    )
