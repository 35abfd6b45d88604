"""The stage-2 address space of a VM: tables in frames of host-physical memory (DDI 0487, D8.2 and D8.3).

The tables have the format that the modelled core walks: 4 KiB granule, output addresses of up to 48 bits. An operation
either happens as a whole or, if it is refused, leaves every table unchanged. The caller invalidates the core's TLB
after an operation that removed something (unmap, protect).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import PA_RANGE_BITS
from arm_vcpu_cli.arch.registers.el2regs import Vtcr, Vttbr
from arm_vcpu_cli.arch.registers.fieldvalues import INNER_SHAREABLE, WRITE_BACK
from arm_vcpu_cli.arch.translation.descriptor import (
    DESCRIPTOR_BYTES,
    ENTRIES,
    LAST_LEVEL,
    PAGE_SIZE,
    TABLE,
    LeafDescriptor,
    Stage2Attributes,
    TableDescriptor,
    decode_stage2,
    leaf_size,
    stage2_leaf,
    stage2_leaves,
    stage2_table,
)
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.stage2walk import MAX_INPUT_BITS, START_LEVELS, input_size_fits, walk_stage2
from arm_vcpu_cli.arch.translation.walk import Walk
from arm_vcpu_cli.arm_vcpu.stage2_transaction import DESCRIPTOR, EMPTY_TABLE, FrameMemory, Slot, Transaction
from arm_vcpu_cli.errors import Stage2Error
from arm_vcpu_cli.record import Record, replace

MIN_BITS: Final = 32
FIRST_BLOCK_LEVEL: Final = 1


class Stage2Region(Record):
    """A run of mapped memory, contiguous in IPA and PA and with the same attributes. Sizes are in bytes."""

    ipa: int
    pa: int
    size: int
    attributes: Stage2Attributes


def stage2_control(pa_bits: int, ipa_bits: int | None = None) -> Vtcr:
    """Return VTCR_EL2 for a physical address width and an IPA width, by default min(``pa_bits``, 48).

    4 KiB granule, inner shareable, write-back. The walk has as few levels as suffice, 2 to 4. Raises ValueError if a
    width is out of range.
    """
    if pa_bits not in PA_RANGE_BITS:
        raise ValueError(f"physical addresses of {pa_bits} bits: PARange has no such value")
    largest = min(pa_bits, MAX_INPUT_BITS)
    ipa_bits = largest if ipa_bits is None else ipa_bits
    if not MIN_BITS <= ipa_bits <= largest:
        raise ValueError(f"IPAs of {ipa_bits} bits: the core supports {MIN_BITS} to {largest}")
    return Vtcr.of(
        RES1=1,
        PS=PA_RANGE_BITS.index(pa_bits),
        SH0=INNER_SHAREABLE,
        ORGN0=WRITE_BACK,
        IRGN0=WRITE_BACK,
        SL0=START_LEVELS.index(_start_level(ipa_bits)),
        T0SZ=64 - ipa_bits,
    )


def _start_level(ipa_bits: int) -> int:
    # Fewer levels make each walk cheaper: a walk of stage 1 passes through stage 2 for every one of its tables.
    return next(level for level in START_LEVELS if input_size_fits(level, ipa_bits))


class Stage2AddressSpace:
    """IPAs of one VM, mapped to host-physical addresses in the largest blocks that fit.

    ``pa_bits`` is the core's physical address width (a PARange: 32, 36, 40, 42, 44, 48 or 52) and ``ipa_bits`` the
    guest's, at most min(``pa_bits``, 48), which is its default. Raises ValueError if one is out of range, and
    Stage2Error if there are no frames for the root: up to 34 bits the walk has 2 levels and up to 43 bits 3, with 1 to
    16 concatenated root tables, above that 4 levels.
    """

    def __init__(self, frames: FrameMemory, *, pa_bits: int, ipa_bits: int | None = None) -> None:
        control = stage2_control(pa_bits, ipa_bits)
        self.vtcr: Final = int(control)
        self._frames = frames
        self._pa_limit = 1 << min(pa_bits, MAX_INPUT_BITS)
        self.ipa_bits: Final = 64 - control.T0SZ
        self._start_level = _start_level(self.ipa_bits)
        self.levels: Final = LAST_LEVEL - self._start_level + 1
        self._root_frames = -(-(1 << self.ipa_bits) // (leaf_size(self._start_level) * ENTRIES))
        self.root: Final = self._allocate_root()
        self._alive = True

    @property
    def vttbr(self) -> int:
        """VTTBR_EL2 for these tables with VMID 0."""
        return int(Vttbr.of(BADDR=self.root >> 1))

    def map(
        self, ipa: int, pa: int, size: int, attributes: Stage2Attributes, *, execute_on_demand: bool = False
    ) -> None:
        """Map ``size`` bytes at ``ipa`` to ``pa``, all multiples of 4 KiB.

        ``execute_on_demand``: the first permitted execution faults, and :meth:`make_executable` handles it. All results
        of this class show such memory as executable.

        Raises Stage2Error: misaligned, beyond the address widths, something is mapped there already, or no frames left.
        """
        transaction = self._begin(ipa, size)
        if pa % PAGE_SIZE or pa < 0:
            raise transaction.refuse(f"PA {pa:#x} is not page aligned")
        if pa + size > self._pa_limit:
            raise transaction.refuse(f"PA {pa:#x} and {size:#x} bytes are beyond the physical address width")
        with transaction:
            self._map(
                transaction, self.root, self._start_level, ipa, ipa + size, pa - ipa, attributes, execute_on_demand
            )

    def unmap(self, ipa: int, size: int) -> None:
        """Unmap ``size`` bytes at ``ipa``; blocks are split where needed, and empty tables freed.

        Raises Stage2Error: misaligned, beyond the address width, part of it is not mapped, or no frame to split a
        block.
        """
        transaction = self._begin(ipa, size)
        with transaction:
            self._change(transaction, self.root, self._start_level, ipa, ipa + size, None)

    def protect(self, ipa: int, size: int, attributes: Stage2Attributes) -> None:
        """Change the attributes of the ``size`` bytes at ``ipa``; the mapping stays.

        Raises Stage2Error as :meth:`unmap` does.
        """
        transaction = self._begin(ipa, size)
        with transaction:
            self._change(transaction, self.root, self._start_level, ipa, ipa + size, attributes)

    def is_on_demand(self, ipa: int) -> bool:
        """Return whether an execution from ``ipa`` faults only because it would be the first one."""
        found = self._leaf(ipa)
        return found is not None and found[1].on_demand

    def make_executable(self, ipa: int, *, page_only: bool) -> range:
        """Make ``ipa`` executable on its first permitted execution; return the IPAs that have become executable.

        With ``page_only`` that is the page of 4 KiB, and blocks are split for it as long as there are frames; otherwise
        it is the surrounding memory in the same 2 MiB. Raises Stage2Error unless :meth:`is_on_demand` is true for
        ``ipa``.
        """
        transaction = self._begin(ipa & -PAGE_SIZE, PAGE_SIZE)
        wanted = LAST_LEVEL if page_only else LAST_LEVEL - 1
        with transaction:
            slot, leaf = self._on_demand_leaf(transaction, ipa)
            while leaf.level < wanted:
                try:
                    self._split(transaction, slot, leaf, on_demand=True)
                except Stage2Error:
                    # No frame for a table: more than necessary becomes executable, which is slower but equally correct.
                    break
                slot, leaf = self._on_demand_leaf(transaction, ipa)
            if leaf.level == LAST_LEVEL and not page_only:
                return self._make_table_executable(transaction, slot.frame, ipa)
            transaction.write(slot, stage2_leaf(leaf.level, leaf.pa, leaf.attributes))
        start = ipa & -leaf.size
        return range(start, start + leaf.size)

    def executed(self) -> Iterator[range]:
        """Yield the IPAs that the guest has executed from, as far as known: in pages, or in whole blocks if it has
        executed some of them. Neighbours are merged."""
        last = range(0)
        for ipa, leaf in self._leaves(self.root, self._start_level, 0):
            if leaf.on_demand or not leaf.attributes.execute:
                continue
            if last and last.stop == ipa:
                last = range(last.start, ipa + leaf.size)
                continue
            if last:
                yield last
            last = range(ipa, ipa + leaf.size)
        if last:
            yield last

    def translate(self, ipa: int, access: Access | None = None) -> Walk:
        """Walk the tables for an IPA as the core does."""
        return walk_stage2(self._read_u64, self.vttbr, self.vtcr, ipa, access)

    def regions(self) -> Iterator[Stage2Region]:
        """Yield the mapped memory by IPA, with neighbours merged."""
        last: Stage2Region | None = None
        for ipa, leaf in self._leaves(self.root, self._start_level, 0):
            if (
                last is not None
                and last.ipa + last.size == ipa
                and last.pa + last.size == leaf.pa
                and last.attributes == leaf.attributes
            ):
                last = replace(last, size=last.size + leaf.size)
                continue
            if last is not None:
                yield last
            last = Stage2Region(ipa, leaf.pa, leaf.size, leaf.attributes)
        if last is not None:
            yield last

    def destroy(self) -> None:
        """Free all frames. The address space cannot be used afterwards; a second call does nothing."""
        if not self._alive:
            return
        tables = list(self._tables(self.root, self._start_level))
        self._alive = False
        for frame in tables:
            self._frames.dealloc_frame(frame)

    def _allocate_root(self) -> int:
        count = self._root_frames
        root = self._frames.alloc_frame() if count == 1 else self._frames.alloc_frames(count)
        if root is None:
            raise Stage2Error(f"no {count} contiguous frame(s) for the root", ipa=0, size=1 << self.ipa_bits)
        if root % (count * PAGE_SIZE):
            for index in range(count):
                self._frames.dealloc_frame(root + index * PAGE_SIZE)
            raise Stage2Error(f"root tables at {root:#x} are misaligned", ipa=0, size=1 << self.ipa_bits)
        self._frames.memory(root, count * PAGE_SIZE)[:] = bytes(count * PAGE_SIZE)
        return root

    def _begin(self, ipa: int, size: int) -> Transaction:
        transaction = Transaction(self._frames, ipa=ipa, size=size)
        if not self._alive:
            raise transaction.refuse("the address space is destroyed")
        if size <= 0 or ipa < 0 or (ipa | size) % PAGE_SIZE:
            raise transaction.refuse("not a positive number of whole 4 KiB pages")
        if ipa + size > 1 << self.ipa_bits:
            raise transaction.refuse(f"beyond the {self.ipa_bits} bits of the guest's addresses")
        return transaction

    def _slot(self, table: int, level: int, ipa: int) -> Slot:
        index = ipa // leaf_size(level)
        if level != self._start_level:
            index %= ENTRIES
        frame, entry = divmod(index, ENTRIES)
        return Slot(table + frame * PAGE_SIZE, entry * DESCRIPTOR_BYTES)

    def _map(
        self,
        transaction: Transaction,
        table: int,
        level: int,
        ipa: int,
        end: int,
        to_pa: int,
        attributes: Stage2Attributes,
        on_demand: bool,
    ) -> None:
        span = leaf_size(level)
        while ipa < end:
            stop = min(end, ipa - ipa % span + span)
            slot = self._slot(table, level, ipa)
            entry = decode_stage2(level, transaction.read(slot))
            pa = ipa + to_pa
            if isinstance(entry, LeafDescriptor):
                raise transaction.refuse(f"IPA {ipa:#x} is mapped already")
            if level >= FIRST_BLOCK_LEVEL and stop - ipa == span and pa % span == 0:
                if entry is not None:
                    raise transaction.refuse(f"part of IPA {ipa:#x} to {stop:#x} is mapped already")
                transaction.write(slot, stage2_leaf(level, pa, attributes, on_demand=on_demand))
            else:
                if entry is None:
                    below = leaf_size(level + 1)
                    whole = level + 1 >= FIRST_BLOCK_LEVEL and not (ipa | stop | pa) % below
                    first, count = ipa // below % ENTRIES, (stop - ipa) // below if whole else 0
                    leaves = stage2_leaves(level + 1, first, count, pa, attributes, on_demand=on_demand)
                    entry = TableDescriptor(transaction.new_table(leaves))
                    transaction.write(slot, stage2_table(entry.address))
                    if whole:
                        ipa = stop
                        continue
                self._map(transaction, entry.address, level + 1, ipa, stop, to_pa, attributes, on_demand)
            ipa = stop

    def _change(
        self,
        transaction: Transaction,
        table: int,
        level: int,
        ipa: int,
        end: int,
        attributes: Stage2Attributes | None,
    ) -> None:
        """Unmap (``attributes`` is None) or protect the IPAs from ``ipa`` to ``end`` under ``table``."""
        span = leaf_size(level)
        while ipa < end:
            stop = min(end, ipa - ipa % span + span)
            slot = self._slot(table, level, ipa)
            entry = decode_stage2(level, transaction.read(slot))
            if entry is None:
                raise transaction.refuse(f"IPA {ipa:#x} is not mapped")
            if isinstance(entry, LeafDescriptor) and stop - ipa == span:
                new = 0 if attributes is None else stage2_leaf(level, entry.pa, attributes)
                transaction.write(slot, new)
            else:
                if isinstance(entry, LeafDescriptor):
                    entry = self._split(transaction, slot, entry)
                else:
                    # It no longer stands for a block.
                    transaction.write(slot, stage2_table(entry.address))
                self._change(transaction, entry.address, level + 1, ipa, stop, attributes)
                if self._frames.memory(entry.address, PAGE_SIZE) == EMPTY_TABLE:
                    transaction.write(slot, 0)
                    transaction.retire(entry.address)
            ipa = stop

    def _split(
        self, transaction: Transaction, slot: Slot, block: LeafDescriptor, *, on_demand: bool = False
    ) -> TableDescriptor:
        """Replace a block by a table of 512 entries that map the same memory."""
        level = block.level + 1
        leaves = stage2_leaves(level, 0, ENTRIES, block.pa, block.attributes, on_demand=block.on_demand)
        table = transaction.new_table(leaves)
        transaction.write(slot, stage2_table(table, on_demand=on_demand))
        return TableDescriptor(table)

    def _make_table_executable(self, transaction: Transaction, table: int, ipa: int) -> range:
        """Make all on-demand pages of one table executable; return the affected pages around ``ipa``."""
        first = ipa & -leaf_size(LAST_LEVEL - 1)
        changed = []
        for index, descriptor in enumerate(TABLE.unpack(self._frames.memory(table, PAGE_SIZE))):
            leaf = decode_stage2(LAST_LEVEL, descriptor)
            if isinstance(leaf, LeafDescriptor) and leaf.on_demand:
                slot = Slot(table, index * DESCRIPTOR_BYTES)
                transaction.write(slot, stage2_leaf(LAST_LEVEL, leaf.pa, leaf.attributes))
                changed.append(first + index * PAGE_SIZE)
        return range(changed[0], changed[-1] + PAGE_SIZE)

    def _on_demand_leaf(self, transaction: Transaction, ipa: int) -> tuple[Slot, LeafDescriptor]:
        found = self._leaf(ipa)
        if found is None or not found[1].on_demand:
            raise transaction.refuse(f"IPA {ipa:#x} is not executable on demand")
        return found

    def _leaf(self, ipa: int) -> tuple[Slot, LeafDescriptor] | None:
        """Return the block or page of an IPA and its place; None where nothing is mapped."""
        if not self._alive or not 0 <= ipa < 1 << self.ipa_bits:
            return None
        table, level = self.root, self._start_level
        while True:
            slot = self._slot(table, level, ipa)
            entry = decode_stage2(level, self._read_u64(slot.frame + slot.offset) or 0)
            if entry is None:
                return None
            if isinstance(entry, LeafDescriptor):
                return slot, entry
            table, level = entry.address, level + 1

    def _entries(self, table: int, level: int) -> Iterator[tuple[int, int]]:
        """Yield the non-zero descriptors of a table with their indices, which are continuous in the root."""
        frames = self._root_frames if level == self._start_level else 1
        for frame in range(frames):
            view = self._frames.memory(table + frame * PAGE_SIZE, PAGE_SIZE)
            for index, descriptor in enumerate(TABLE.unpack(view)):
                if descriptor:
                    yield frame * ENTRIES + index, descriptor

    def _leaves(self, table: int, level: int, base: int) -> Iterator[tuple[int, LeafDescriptor]]:
        for index, descriptor in self._entries(table, level):
            ipa = base + index * leaf_size(level)
            entry = decode_stage2(level, descriptor)
            if isinstance(entry, TableDescriptor):
                yield from self._leaves(entry.address, level + 1, ipa)
            elif entry is not None:
                yield ipa, entry

    def _tables(self, table: int, level: int) -> Iterator[int]:
        """Yield all frames that hold tables."""
        for index in range(self._root_frames if level == self._start_level else 1):
            yield table + index * PAGE_SIZE
        for _, descriptor in self._entries(table, level):
            entry = decode_stage2(level, descriptor)
            if isinstance(entry, TableDescriptor):
                yield from self._tables(entry.address, level + 1)

    def _read_u64(self, address: int) -> int | None:
        if not self._alive:
            return None
        page = address & -PAGE_SIZE
        word: int = DESCRIPTOR.unpack_from(self._frames.memory(page, PAGE_SIZE), address - page)[0]
        return word
