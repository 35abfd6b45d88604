"""Detects stores to code through a virtual address other than the one it executes from, which the engine misses.

The engine notices a store to translated code if the store's TLB entry is marked. The first store through an entry
clears the mark, even if the page still contains code; and translating more code marks only entries with the virtual
address of that code. So a guest that patches code through an alias (as Linux does, through its linear map) may continue
to execute the old code until something else drops the translation, even after IC and ISB. The result depends on the
history of the translations, so a run continued from a saved state may differ.

Two calls inside the engine's library are redirected (``interposition``):

``tlb_protect_code``
    is called for the first block of a page. It should set the marks, but does nothing in this engine. The stub
    calls the engine's own ``tlb_reset_dirty``, which compares where entries lead.

``tlb_set_dirty``
    clears the mark of a store's entry. If the page still has code, the stub discards all of it first: the next block
    translated from the page is then its first again. The stub reads the engine's internal structures, so it supports
    known builds only; elsewhere the limit remains.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.unicorn_api import library_function

_PROTECT, _SET_DIRTY = "tlb_protect_code_aarch64", "tlb_set_dirty_aarch64"
_FIND_MEMORY, _RESET_DIRTY = "qemu_map_ram_ptr_aarch64", "tlb_reset_dirty_aarch64"
_FORGET: Final = "tb_invalidate_phys_range_aarch64"
_PROTECT_STUB: Final = bytes.fromhex(
    "53"  # push rbx
    "4889fb"  # mov rbx, rdi
    "4889f2"  # mov rdx, rsi
    "31f6"  # xor esi, esi
    "ff1521000000"  # call [rip + find_memory]
    "4889c6"  # mov rsi, rax
    "488bbbb8010000"  # mov rdi, [rbx + CPU]
    "ba00100000"  # mov edx, 4096
    "5b"  # pop rbx
    "ff2513000000"  # jmp [rip + reset_dirty]
)
"""(engine, address in its RAM); x86-64, System V. ``find_memory`` takes the engine, a block (0: any) and that address,
and returns a host address; ``reset_dirty`` takes the CPU, a host address and a size. It is followed by the original
function, ``find_memory`` and ``reset_dirty``."""
_SET_DIRTY_STUB: Final = bytes.fromhex(
    "4c8b5c24b8"  # mov r11, [rsp - 72]
    "4c8b87a8810000"  # mov r8, [rdi + engine]
    "498b80a8020000"  # mov rax, [r8 + page]
    "8b4804"  # mov ecx, [rax + 4]
    "4d89da"  # mov r10, r11
    "49d3ea"  # shr r10, cl
    "4c89d0"  # mov rax, r10
    "418b88f4020000"  # mov ecx, [r8 + shift of the first level]
    "48d3e8"  # shr rax, cl
    "418b90f0020000"  # mov edx, [r8 + size of the first level]
    "ffca"  # dec edx
    "4821d0"  # and rax, rdx
    "498b90e0020000"  # mov rdx, [r8 + first level]
    "488d14c2"  # lea rdx, [rdx + 8 * rax]
    "416b88f80200000a"  # imul ecx, [r8 + levels below], 10
    "85c9"  # test ecx, ecx
    "7e1c"  # jle last
    "488b12"  # next: mov rdx, [rdx]
    "4885d2"  # test rdx, rdx
    "744e"  # je none
    "4c89d0"  # mov rax, r10
    "48d3e8"  # shr rax, cl
    "25ff030000"  # and eax, 1023
    "488d14c2"  # lea rdx, [rdx + 8 * rax]
    "83e90a"  # sub ecx, 10
    "75e4"  # jne next
    "488b12"  # last: mov rdx, [rdx]
    "4885d2"  # test rdx, rdx
    "7432"  # je none
    "4181e2ff030000"  # and r10d, 1023
    "4b8d0452"  # lea rax, [r10 + 2 * r10]
    "48833cc200"  # cmp qword [rdx + 8 * rax], 0
    "7420"  # je none
    "57"  # push rdi
    "56"  # push rsi
    "56"  # push rsi
    "4c89c7"  # mov rdi, r8
    "4c89de"  # mov rsi, r11
    "4881e600f0ffff"  # and rsi, -4096
    "488d9600100000"  # lea rdx, [rsi + 4096]
    "ff1511000000"  # call [rip + forget]
    "5e"  # pop rsi
    "5e"  # pop rsi
    "5f"  # pop rdi
    "ff2500000000"  # none: jmp [rip + original]
)
"""(CPU, virtual address); x86-64, System V. The caller jumps here at its very end, so the address in the engine's RAM
is still in its frame, below the stack and within the 128 bytes that signals leave intact. The stub looks up the page's
first block (24 bytes for each page, the block first). ``forget`` takes the engine and two addresses in its RAM. It is
followed by the original function and ``forget``."""


@cache
def notices_aliased_stores() -> bool:
    """Return whether this process's engine notices all stores to code, from the first call on."""
    find_memory, reset_dirty, forget = (library_function(name) for name in (_FIND_MEMORY, _RESET_DIRTY, _FORGET))
    if known_build() is None or find_memory is None or reset_dirty is None or forget is None:
        return False
    protects = interpose({_PROTECT: _PROTECT_STUB}, (find_memory, reset_dirty))
    return protects is not None and interpose({_SET_DIRTY: _SET_DIRTY_STUB}, (forget,)) is not None
