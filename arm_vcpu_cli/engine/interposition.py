"""Calls inside the engine's library that are led through a few machine instructions of ours.

A lever of last resort, for what the engine gets wrong or makes slow and offers no switch for. The library calls its own
exported functions through its global offset table; an entry there can be made to point elsewhere. Who interposes is
listed here, each with its reason, and checked by what it does before it is relied on (``levers``). Where the host is
not the one that the code is written for, or the entry is not found, nothing is changed and the limit stays.

``get_phys_addr``
    walks both stages of translation. The engine takes the size of stage 2's leaf for that of the translation, and
    TLBI by address for an entry that is larger than a page empties the whole TLB: under stage-2 blocks of 2 MiB every
    TLBI does. With stage-2 pages the rest of a stage-1 block would stay in the TLB instead, against the architecture
    (DDI 0487, D8.17: TLBI by VA applies to the entry for that VA, whatever its size). What TLBI of EL1 is about is the
    leaf of stage 1; the hypervisor empties the TLB when it changes stage 2. So the stub asks for stage 1 alone, once
    both stages have been walked, and gives the size of its leaf.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from pathlib import Path
from typing import Final

from arm_vcpu_cli.engine.unicorn_api import library_function, library_path

WALK: Final = "get_phys_addr_aarch64"
_WORD: Final = 8
_MAPS: Final = Path("/proc/self/maps")

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


class Interposition:
    """One function of the library, led through a stub. :meth:`undo` puts the original back."""

    def __init__(self, entry: int, original: int, stub: bytes) -> None:
        self._entry = ctypes.c_uint64.from_address(entry)
        self._original = original
        size = -(-len(stub) // _WORD) * _WORD
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page[: size + _WORD] = stub.ljust(size, b"\0") + original.to_bytes(_WORD, "little")
        anchor = ctypes.c_char.from_buffer(page)
        # The library goes on calling it when the interpreter takes its objects down.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(anchor))
        self._entry.value = ctypes.addressof(anchor)

    def undo(self) -> None:
        """Call the function itself again."""
        self._entry.value = self._original


def interpose_walk() -> Interposition | None:
    """Lead the library's walks through the stub, None where that cannot be done or has been done already."""
    if platform.system() != "Linux" or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    original = library_function(WALK)
    if original is None:
        return None
    try:
        entries = [place for start, end in _writable_ranges(library_path()) for place in _find(start, end, original)]
        return Interposition(entries[0], original, _WALK_STUB) if len(entries) == 1 else None
    except (OSError, ValueError):
        return None


def _writable_ranges(path: str) -> list[tuple[int, int]]:
    """Where the writable parts of a library lie in this process. OSError if the host does not tell."""
    name = str(Path(path).resolve())
    found = []
    for line in _MAPS.read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1].startswith("rw") and fields[5] == name:
            start, end = fields[0].split("-")
            found.append((int(start, 16), int(end, 16)))
    return found


def _find(start: int, end: int, value: int) -> list[int]:
    """The addresses of words with that value."""
    memory, pattern = ctypes.string_at(start, end - start), value.to_bytes(_WORD, "little")
    places, at = [], memory.find(pattern)
    while at >= 0:
        if at % _WORD == 0:
            places.append(start + at)
        at = memory.find(pattern, at + 1)
    return places
