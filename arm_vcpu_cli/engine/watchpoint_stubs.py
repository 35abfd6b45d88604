"""Machine code for watchpoints: it takes the place of functions that the engine has and that do nothing.

The engine's core is made for watchpoints: when it fills an entry of the TLB it asks ``cpu_watchpoint_address_matches``
about the page, and if that says yes, each access through the entry calls ``cpu_check_watchpoint`` first. Both functions
are empty. The stubs here compare addresses with the ranges that an engine has (``watchpoints``), so pages without one
cost nothing. An access that hits leaves the translated code by the engine's own way for exceptions, before anything of
it has happened. Two more stubs note which block of code was left.

The calls are redirected (``interposition``) by the first engine that wants a watchpoint, and not before.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.unicorn_api import WORD, library_function
from arm_vcpu_cli.record import Record

_MATCHES, _CHECK = "cpu_watchpoint_address_matches_aarch64", "cpu_check_watchpoint_aarch64"
_RESTORE, _LOOKUP = "cpu_restore_state_aarch64", "tcg_tb_lookup_aarch64"
_RAISE: Final = "raise_exception_aarch64"

_MATCHES_STUB: Final = bytes.fromhex(
    "4c8b1561000000"  # mov r10, [rip + table]
    "498b02"  # next: mov rax, [r10]
    "4885c0"  # test rax, rax
    "7448"  # je none
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe7"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "48c1e608"  # shl rsi, 8
    "48c1fe08"  # sar rsi, 8
    "488d5416ff"  # lea rdx, [rsi + rdx - 1]
    "418b0a"  # mov ecx, [r10]
    "4981c2a0000000"  # add r10, 160
    "83e901"  # again: sub ecx, 1
    "7817"  # js none
    "493b12"  # cmp rdx, [r10]
    "720c"  # jb other
    "493b7208"  # cmp rsi, [r10 + 8]
    "7706"  # ja other
    "b803000000"  # mov eax, 3
    "c3"  # ret
    "4983c220"  # other: add r10, 32
    "ebe4"  # jmp again
    "31c0"  # none: xor eax, eax
    "c3"  # ret
)
"""(CPU, address, size) -> 3 if a range has bytes there: loads and stores are to be checked. The top byte of an address
may be a tag, and if not it has what bit 55 has."""
_CHECK_STUB: Final = bytes.fromhex(
    "4d85c9"  # test r9, r9
    "0f84f2010000"  # je none
    "4c8b15f8010000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "0f84df010000"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe0"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "498b4208"  # mov rax, [r10 + 8]
    "8b00"  # mov eax, [rax]
    "c1e802"  # shr eax, 2
    "83e003"  # and eax, 3
    "8d0c00"  # lea ecx, [rax + rax]
    "41d3e0"  # shl r8d, cl
    "53"  # push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4155"  # push r13
    "4156"  # push r14
    "4157"  # push r15
    "4883ec08"  # sub rsp, 8
    "4889fd"  # mov rbp, rdi
    "48c1e608"  # shl rsi, 8
    "48c1fe08"  # sar rsi, 8
    "4989f4"  # mov r12, rsi
    "4c8d6c16ff"  # lea r13, [rsi + rdx - 1]
    "4d89ce"  # mov r14, r9
    "458b3a"  # mov r15d, [r10]
    "4c89d3"  # mov rbx, r10
    "4981c2a0000000"  # add r10, 160
    "4183ef01"  # again: sub r15d, 1
    "0f886c010000"  # js out
    "4d3b2a"  # cmp r13, [r10]
    "0f825a010000"  # jb other
    "4d3b6208"  # cmp r12, [r10 + 8]
    "0f8750010000"  # ja other
    "45854210"  # test r8d, [r10 + 16]
    "0f8446010000"  # je other
    "41837a1400"  # cmp dword [r10 + 20], 0
    "0f85c6000000"  # jne guests
    "48837b2800"  # cmp qword [rbx + 40], 0
    "0f8499000000"  # je hit
    "4c894378"  # mov [rbx + 120], r8
    "48898380000000"  # mov [rbx + 128], rax
    "4152"  # push r10
    "4153"  # push r11
    "4889ef"  # mov rdi, rbp
    "4c89f6"  # mov rsi, r14
    "31d2"  # xor edx, edx
    "ff153f010000"  # call [rip + restore]
    "415b"  # pop r11
    "415a"  # pop r10
    "4c8b4378"  # mov r8, [rbx + 120]
    "488b5318"  # mov rdx, [rbx + 24]
    "488b12"  # mov rdx, [rdx]
    "483b5330"  # cmp rdx, [rbx + 48]
    "7558"  # jne stale
    "488b4b20"  # mov rcx, [rbx + 32]
    "488b01"  # mov rax, [rcx]
    "480fbaf03f"  # btr rax, 63
    "482b4118"  # sub rax, [rcx + 24]
    "48837b2801"  # cmp qword [rbx + 40], 1
    "7408"  # je learn
    "483b4338"  # cmp rax, [rbx + 56]
    "753b"  # jne stale
    "eb1c"  # jmp pass
    "488b5338"  # learn: mov rdx, [rbx + 56]
    "4829c2"  # sub rdx, rax
    "4881fa00040000"  # cmp rdx, 1024
    "7729"  # ja stale
    "48894338"  # mov [rbx + 56], rax
    "48c7432802000000"  # mov qword [rbx + 40], 2
    "4883bb8800000000"  # pass: cmp qword [rbx + 136], 0
    "7407"  # je passed
    "41837a1800"  # cmp dword [r10 + 24], 0
    "740c"  # je stale
    "488b8380000000"  # passed: mov rax, [rbx + 128]
    "e9a6000000"  # jmp other
    "48c7432800000000"  # stale: mov qword [rbx + 40], 0
    "488b8380000000"  # mov rax, [rbx + 128]
    "4c896348"  # hit: mov [rbx + 72], r12
    "4c894358"  # mov [rbx + 88], r8
    "4c895360"  # mov [rbx + 96], r10
    "4d29e5"  # sub r13, r12
    "49ffc5"  # inc r13
    "4c896b50"  # mov [rbx + 80], r13
    "be1e000000"  # mov esi, 30
    "b902000000"  # mov ecx, 2
    "eb29"  # jmp raise
    "85c0"  # guests: test eax, eax
    "740a"  # je unmasked
    "488b5310"  # mov rdx, [rbx + 16]
    "f6420102"  # test byte [rdx + 1], 2
    "7567"  # jne other
    "498b12"  # unmasked: mov rdx, [r10]
    "4c39e2"  # cmp rdx, r12
    "490f42d4"  # cmovb rdx, r12
    "488b4b40"  # mov rcx, [rbx + 64]
    "488911"  # mov [rcx], rdx
    "be04000000"  # mov esi, 4
    "b901000000"  # mov ecx, 1
    "4489c2"  # raise: mov edx, r8d
    "81e2aa000000"  # and edx, 0xaa
    "f7da"  # neg edx
    "19d2"  # sbb edx, edx
    "83e240"  # and edx, 0x40
    "83c034"  # add eax, 0x34
    "c1e01a"  # shl eax, 26
    "448dac0222000002"  # lea r13d, [rdx + rax + 0x2000022]
    "4189f4"  # mov r12d, esi
    "4c897368"  # mov [rbx + 104], r14
    "89cb"  # mov ebx, ecx
    "4d89df"  # mov r15, r11
    "4889ef"  # mov rdi, rbp
    "4c89f6"  # mov rsi, r14
    "ba01000000"  # mov edx, 1
    "ff153d000000"  # call [rip + restore]
    "4c89ff"  # mov rdi, r15
    "4489e6"  # mov esi, r12d
    "4489ea"  # mov edx, r13d
    "89d9"  # mov ecx, ebx
    "ff1534000000"  # call [rip + raise_it]
    "4983c220"  # other: add r10, 32
    "e98afeffff"  # jmp again
    "4883c408"  # out: add rsp, 8
    "415f"  # pop r15
    "415e"  # pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # none: ret
)
"""(CPU, address, size, attributes, 1 for a load or 2 for a store, address in the translated code).

For a debugger's range: note the access, and raise exception :data:`HIT` to EL2. For a guest's: set the fault address,
and raise a data abort to EL1, unless PSTATE.D masks it. Both with the syndrome of a watchpoint. Behind it lie the
original function, the address of the table, ``cpu_restore_state`` and ``raise_exception``, which does not return."""
_RESTORE_STUB: Final = bytes.fromhex(
    "4c8b1531000000"  # mov r10, [rip + table]
    "498b02"  # next: mov rax, [r10]
    "4885c0"  # test rax, rax
    "7419"  # je pass
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe7"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "49897268"  # mov [r10 + 104], rsi
    "ff2502000000"  # pass: jmp [rip + original]
)
"""(CPU, address in the translated code, whether it is left): note the address."""
_LOOKUP_STUB: Final = bytes.fromhex(
    "56"  # push rsi
    "ff1529000000"  # call [rip + original]
    "5e"  # pop rsi
    "4c8b1529000000"  # mov r10, [rip + table]
    "49833a00"  # next: cmp qword [r10], 0
    "7417"  # je none
    "498b4a08"  # mov rcx, [r10 + 8]
    "4983c210"  # add r10, 16
    "4885c9"  # test rcx, rcx
    "74ed"  # je next
    "48397168"  # cmp [rcx + 104], rsi
    "75e7"  # jne next
    "48894170"  # mov [rcx + 112], rax
    "c3"  # none: ret
)
"""(translator, address in the translated code) -> block. Note the block where the address was noted."""

HIT: Final = 30
"""The number of an exception that the engine does not have."""

RANGES: Final = 128
"""How many ranges an engine may have."""
(
    COUNT,
    PSTATE,
    DAIF,
    PC,
    BLOCK_WORDS,
    PASSING,
    PASSING_PC,
    PASSING_AT,
    FAULT_ADDRESS,
    ADDRESS,
    SIZE,
    KIND,
    RANGE,
    CODE_ADDRESS,
    BLOCK,
) = range(15)
"""The words of an engine. How many ranges it has; where PSTATE, DAIF and the PC are in its state; the words of its
block stub. ``PASSING`` is 1 if the first hit at ``PASSING_PC`` is to be let pass: that of the instruction that hit
last. It must come within 1024 instructions after ``-PASSING_AT``, the moment before it. Then it is 2, and the other is
the moment by the end of its block, which no other execution of the instruction has. ``FAULT_ADDRESS`` is where that
of an exception goes. ``ADDRESS``, ``SIZE``, ``KIND`` (a store: & 0xAA is not 0) and ``RANGE`` (where it is) are those
of the last hit. ``CODE_ADDRESS`` and ``BLOCK`` are where the translated code was left last. The rest up to the ranges
is the stub's own, but for ``PASSING_EARLY``: whether only hits of early ranges pass."""
PASSING_EARLY: Final = 17
FIRST_RANGE: Final = 20
RANGE_WORDS: Final = 4
"""A range: its first and last byte; which accesses count, and 1 for a guest's; 1 for an early one. Bit 2n
of the accesses is for loads at ELn, the next one for stores."""
WORDS: Final = FIRST_RANGE + RANGES * RANGE_WORDS
_ENTRIES: Final = 64
_FREE: Final = 1


class StubRange(Record):
    """A range as the stub has it. See :data:`RANGE_WORDS`."""

    first: int
    last: int
    accesses: int
    guest: bool = False
    early: bool = False


class Table:
    """The table that the stubs look in: pairs of an engine's state and its words. A state of 0 is the end."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_uint64 * (2 * _ENTRIES + 2))(*([_FREE, 0] * _ENTRIES))
        self._unused = list(range(_ENTRIES))
        # The library still calls the stubs while the interpreter destroys its objects.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))

    @property
    def address(self) -> int:
        """Where it is."""
        return ctypes.addressof(self._memory)

    def take(self, state: int) -> Words | None:
        """Words for the engine whose state is at this address; None if all entries are taken."""
        if not self._unused:
            return None
        number = self._unused.pop()
        words = Words(self, number)
        self._memory[2 * number + 1] = words.address
        self._memory[2 * number] = state
        return words

    def give_back(self, number: int) -> None:
        """An engine is gone."""
        self._memory[2 * number : 2 * number + 2] = [_FREE, 0]
        self._unused.append(number)


class Words:
    """The words of one engine, by the numbers above."""

    def __init__(self, table: Table, number: int) -> None:
        self._memory = (ctypes.c_uint64 * WORDS)()
        self.words = memoryview(self._memory).cast("B").cast("Q")
        self.halves = memoryview(self._memory).cast("B").cast("I")
        self._table = table
        self._number = number

    @property
    def address(self) -> int:
        """Where they are."""
        return ctypes.addressof(self._memory)

    def set_ranges(self, ranges: Sequence[StubRange]) -> None:
        """Have these ranges and no others."""
        for number, each in enumerate(ranges):
            at = FIRST_RANGE + number * RANGE_WORDS
            self.words[at], self.words[at + 1], self.words[at + 3] = each.first, each.last, each.early
            self.halves[2 * at + 4], self.halves[2 * at + 5] = each.accesses, each.guest
        self.words[COUNT] = len(ranges)

    def hit_early(self) -> bool:
        """Whether the range that was hit last is an early one."""
        return bool(ctypes.c_uint64.from_address(self.words[RANGE] + 3 * WORD).value)

    def give_back(self) -> None:
        """The engine is gone."""
        self._table.give_back(self._number)


@cache
def watchpoint_table() -> Table | None:
    """The table of this process. The first call redirects the functions; None if that is not possible."""
    restore, raising = library_function(_RESTORE), library_function(_RAISE)
    if restore is None or raising is None:
        return None
    table = Table()
    redirected = interpose(
        {_MATCHES: _MATCHES_STUB, _CHECK: _CHECK_STUB, _RESTORE: _RESTORE_STUB, _LOOKUP: _LOOKUP_STUB},
        (table.address, restore, raising),
    )
    return None if redirected is None else table
