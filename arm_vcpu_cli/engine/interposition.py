"""Redirects calls inside the engine's library to machine code of ours.

This is the last resort against deviations and slowness of the engine that no switch can change. The library calls its
own exported functions through its global offset table, whose entries can be changed. The redirected functions are
listed here, each with the reason; ``levers`` verifies by experiment that a stub works before using it. If the host is
not the one that the code is written for, or the entry is not found, nothing changes and the limit remains.
``inline_counting``, ``code_writes``, ``refusals``, ``walk_checks`` and ``yields`` redirect more functions.

``get_phys_addr``
    walks both stages of translation. The engine uses the size of stage 2's leaf as that of the translation, and TLBI
    by address for an entry larger than a page empties the whole TLB: with stage-2 blocks of 2 MiB, every TLBI does.
    With stage-2 pages, the rest of a stage-1 block would stay in the TLB instead, which violates the architecture
    (DDI 0487, D8.17: TLBI by VA applies to the entry for that VA, whatever its size). TLBI at EL1 concerns the leaf of
    stage 1; the hypervisor empties the TLB when it changes stage 2. So after walking both stages, the stub walks
    stage 1 alone, and returns the size of its leaf. (The stubs of ``walk_checks`` know it without another walk.)

``float64_add``, ``sub``, ``mul``, ``div``
    have a fast path that uses the host's arithmetic for numbers without special cases, but call the C library three
    times to recognise them, which takes two thirds of the time of a guest that computes. The stubs check the exponents
    instead: two normal operands with a normal result above the smallest, rounding to nearest, with the inexact flag
    already set. For these IEEE 754 defines a unique result and no flag changes; all others take the engine's path.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.engine.host_cpu import is_linux, is_x86
from arm_vcpu_cli.engine.search import places_of
from arm_vcpu_cli.engine.unicorn_api import WORD, keep, library_function, loaded_library

WALK: Final = "get_phys_addr_aarch64"
ADD, SUB, MUL, DIV = (f"float64_{name}_aarch64" for name in ("add", "sub", "mul", "div"))

_WALK_STUB: Final = bytes.fromhex(
    "53"  # push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4155"  # push r13
    "4156"  # push r14
    "4889fb"  # mov rbx, rdi
    "4889f5"  # mov rbp, rsi
    "4189d4"  # mov r12d, edx
    "4189cd"  # mov r13d, ecx
    "4c8b742438"  # mov r14, [rsp + 56]
    "ff742448"  # push qword [rsp + 72]
    "ff742448"  # push qword [rsp + 72]
    "ff742448"  # push qword [rsp + 72]
    "ff742448"  # push qword [rsp + 72]
    "ff15c1000000"  # call qword [rip + original]
    "4883c420"  # add rsp, 32
    "84c0"  # test al, al
    "0f85a5000000"  # jne out
    "418d45f0"  # lea eax, [r13 - 0x10]
    "83f803"  # cmp eax, 3
    "0f8796000000"  # ja found
    "83f801"  # cmp eax, 1
    "0f848d000000"  # je found
    "8d481f"  # lea ecx, [rax + 0x1f]
    "83f801"  # cmp eax, 1
    "83d100"  # adc ecx, 0
    "4881ec90000000"  # sub rsp, 144
    "31c0"  # xor eax, eax
    "4889442418"  # mov [rsp + 24], rax
    "4889442420"  # mov [rsp + 32], rax
    "4889442440"  # mov [rsp + 64], rax
    "4889442448"  # mov [rsp + 72], rax
    "4889442450"  # mov [rsp + 80], rax
    "4889442458"  # mov [rsp + 88], rax
    "4889442460"  # mov [rsp + 96], rax
    "4889442468"  # mov [rsp + 104], rax
    "4889442470"  # mov [rsp + 112], rax
    "4889442478"  # mov [rsp + 120], rax
    "488d442430"  # lea rax, [rsp + 48]
    "48890424"  # mov [rsp], rax
    "488d442438"  # lea rax, [rsp + 56]
    "4889442408"  # mov [rsp + 8], rax
    "488d442440"  # lea rax, [rsp + 64]
    "4889442410"  # mov [rsp + 16], rax
    "4889df"  # mov rdi, rbx
    "4889ee"  # mov rsi, rbp
    "4489e2"  # mov edx, r12d
    "4c8d442428"  # lea r8, [rsp + 40]
    "4c8d4c2420"  # lea r9, [rsp + 32]
    "ff1525000000"  # call qword [rip + original]
    "488b542438"  # mov rdx, [rsp + 56]
    "4881c490000000"  # add rsp, 144
    "84c0"  # test al, al
    "7503"  # jne found
    "498916"  # mov [r14], rdx
    "31c0"  # found: xor eax, eax
    "415e"  # out: pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # ret
)
"""(env, address, access type, MMU index, address of the PA, of the attributes, of the permissions, of the size, of the
fault, of the cacheability) -> whether it faults; x86-64, System V. MMU indices of EL1&0 are 0x10, 0x12 and 0x13, those
of their stage 1 alone 0x20 to 0x22. The address of the original function follows at the next multiple of 8."""

_FLOAT_TEST: Final = bytes.fromhex(
    "807a0100"  # cmp byte [rdx + 1], 0
    "755c"  # jne slow
    "f6420220"  # test byte [rdx + 2], 32
    "7456"  # je slow
    "4889f8"  # mov rax, rdi
    "48c1e834"  # shr rax, 52
    "25ff070000"  # and eax, 2047
    "ffc8"  # dec eax
    "3dfd070000"  # cmp eax, 2045
    "7741"  # ja slow
    "4889f0"  # mov rax, rsi
    "48c1e834"  # shr rax, 52
    "25ff070000"  # and eax, 2047
    "ffc8"  # dec eax
    "3dfd070000"  # cmp eax, 2045
    "772c"  # ja slow
    "66480f6ec7"  # movq xmm0, rdi
    "66480f6ece"  # movq xmm1, rsi
)
_FLOAT_RESULT: Final = bytes.fromhex(
    "66480f7ec0"  # movq rax, xmm0
    "4889c1"  # mov rcx, rax
    "48c1e934"  # shr rcx, 52
    "81e1ff070000"  # and ecx, 2047
    "83e902"  # sub ecx, 2
    "81f9fc070000"  # cmp ecx, 2044
    "7701"  # ja slow
    "c3"  # ret
    "ff2500000000"  # slow: jmp [rip + original]
)
FLOAT_STUBS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        ADD: _FLOAT_TEST + bytes.fromhex("f20f58c1") + _FLOAT_RESULT,  # addsd xmm0, xmm1
        SUB: _FLOAT_TEST + bytes.fromhex("f20f5cc1") + _FLOAT_RESULT,  # subsd xmm0, xmm1
        MUL: _FLOAT_TEST + bytes.fromhex("f20f59c1") + _FLOAT_RESULT,  # mulsd xmm0, xmm1
        DIV: _FLOAT_TEST + bytes.fromhex("f20f5ec1") + _FLOAT_RESULT,  # divsd xmm0, xmm1
    }
)
"""(operand, operand, address of the status) -> result, the operands as words of 64 bits. In the status, byte 1 is the
rounding mode, 0 for the nearest, and byte 2 the flags, of which 32 is inexact."""


class Interposition:
    """Functions of the library that are redirected to stubs. :meth:`undo` restores the originals."""

    def __init__(self, entries: Mapping[int, tuple[int, bytes]], words: Sequence[int] = ()) -> None:
        """``entries`` maps the address of each word of the table to its function and the stub for it. Each stub is
        followed by that function and ``words``."""
        self.switches: Final[list[ctypes.c_uint64]] = []
        """The first of the ``words`` after each stub, which may control it."""
        self._originals: list[tuple[ctypes.c_uint64, int]] = []
        contents = [with_words(stub, original, *words) for original, stub in entries.values()]
        stubs = executable(contents)
        for (address, (original, _)), stub, content in zip(entries.items(), stubs, contents, strict=True):
            entry = ctypes.c_uint64.from_address(address)
            self._originals.append((entry, original))
            entry.value = stub
            if words:
                self.switches.append(ctypes.c_uint64.from_address(stub + len(content) - len(words) * WORD))

    def undo(self) -> None:
        """Restore the original functions."""
        for entry, original in self._originals:
            entry.value = original


def interpose_walk() -> Interposition | None:
    """Redirect walks of both stages to their stub; return None if that is impossible or already done."""
    return interpose({WALK: _WALK_STUB})


def interpose_arithmetic() -> Interposition | None:
    """Redirect the arithmetic of doubles in the same way."""
    return interpose(FLOAT_STUBS)


def interpose(stubs: Mapping[str, bytes], words: Sequence[int] = (), *, again: bool = False) -> Interposition | None:
    """Redirect functions of the library, given by symbol, to stubs; return None if that is impossible.

    Each stub is followed, at the next multiple of 8, by the address of the function and ``words``. With ``again`` the
    function may be redirected already; then the earlier stub is redirected, and called.
    """
    if not (is_linux() and is_x86()):
        return None
    entries: dict[int, tuple[int, bytes]] = {}
    for name, stub in stubs.items():
        original, address = library_function(name), _entry(name)
        if original is None or address is None:
            return None
        called = ctypes.c_uint64.from_address(address).value
        if called != original and not again:
            return None
        entries[address] = called, stub
    try:
        return Interposition(entries, words)
    except (OSError, ValueError):
        return None


def called_function(name: str) -> int | None:
    """Return the address of what the library calls by this symbol: a function, or the stub it is redirected to."""
    address = _entry(name)
    return library_function(name) if address is None else ctypes.c_uint64.from_address(address).value


def with_words(stub: bytes, *words: int) -> bytes:
    """Return a stub followed by words, at the next multiple of 8."""
    return stub.ljust(-(-len(stub) // WORD) * WORD, b"\0") + b"".join(word.to_bytes(WORD, "little") for word in words)


def executable(contents: Sequence[bytes]) -> list[int]:
    """Copy code to executable memory for the lifetime of the process; return the addresses. Raises OSError if the
    system refuses."""
    page = mmap.mmap(-1, sum(map(len, contents)), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    anchor = ctypes.c_char.from_buffer(page)
    keep(anchor)
    addresses = []
    for content in contents:
        addresses.append(ctypes.addressof(anchor) + page.tell())
        page.write(content)
    return addresses


@cache
def _entry(name: str) -> int | None:
    """Return the address of the table's word for a function that has not been redirected; None if there is none."""
    library, original = loaded_library(), library_function(name)
    if library is None or original is None:
        return None
    found = places_of(original, ctypes.string_at(library.calls, library.words * WORD), WORD)
    return library.calls + found[0] if len(found) == 1 else None
