"""Checks the alignment of LDAR, STLR, LDAPR and other loads and stores with acquire or release, which the engine omits.

Their address must be a multiple of the size, regardless of SCTLR_EL1.A: there is no FEAT_LSE2 (DDI 0487, B2.5.2). The
engine checks only exclusives and atomics, for which it translates with a size that requests the check. Three of its
functions are redirected (``interposition``):

``cpu_ldl_code``
    reads the words to translate. The stub records in a word of the engine's state that has no use in AArch64 whether
    the instruction is one of those.

``tcg_gen_qemu_ld_i64``, ``st``
    translate a load or store. After such a word, the stub adds the check to the size.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.unicorn_api import library_function

_READ_CODE: Final = "cpu_ldl_code_aarch64"
_ACCESSES: Final = ("tcg_gen_qemu_ld_i64_aarch64", "tcg_gen_qemu_st_i64_aarch64")
_READ_CODE_STUB: Final = bytes.fromhex(
    "57"  # push rdi
    "ff1549000000"  # call [rip + original]
    "5f"  # pop rdi
    "89c1"  # mov ecx, eax
    "81e10000a03f"  # and ecx, 0x3fa00000
    "81f900008008"  # cmp ecx, 0x08800000 (LDAR, LDLAR, STLR, STLLR)
    "0f94c2"  # sete dl
    "89c1"  # mov ecx, eax
    "81e100fcff3f"  # and ecx, 0x3ffffc00
    "81f900c0bf38"  # cmp ecx, 0x38bfc000 (LDAPR)
    "0f94c1"  # sete cl
    "08ca"  # or dl, cl
    "89c1"  # mov ecx, eax
    "81e1000c203f"  # and ecx, 0x3f200c00
    "81f900000019"  # cmp ecx, 0x19000000 (LDAPUR, STLUR)
    "0f94c1"  # sete cl
    "08ca"  # or dl, cl
    "0fb6d2"  # movzx edx, dl
    "488b0d0f000000"  # mov rcx, [rip + note]
    "89140f"  # mov [rdi + rcx], edx
    "c3"  # ret
)
"""(state, address) -> the word there; x86-64, System V. It is followed by the original function and the offset of the
32-bit note in the state."""
_ACCESS_STUB: Final = bytes.fromhex(
    "488b0539000000"  # mov rax, [rip + engine]
    "488b0407"  # mov rax, [rdi + rax]
    "4c8b1536000000"  # mov r10, [rip + pointer]
    "4a8b0410"  # mov rax, [rax + r10]
    "4c8b1533000000"  # mov r10, [rip + note]
    "42833c1000"  # cmp dword [rax + r10], 0
    "740c"  # je pass
    "42c7041000000000"  # mov dword [rax + r10], 0
    "4183c870"  # or r8d, 0x70
    "ff2502000000"  # pass: jmp [rip + original]
)
"""(translator, register, address, MMU index, size with byte order, sign, and the alignment in bits 4 to 6). It is
followed by the original function, the offset in the translator of the address of the engine's structure, the offset
there of a pointer, and the distance of the note from its target."""
_CHECK: Final = "check_exit_request_aarch64"
_LOADS_STRUCTURE: Final = bytes.fromhex("488bb7")  # mov rsi, [rdi + ...]
_NOTE_BEFORE_EVENT: Final = 4
"""R11 of FIQ mode; the event register is R12."""


@cache
def check_ordered() -> bool:
    """Add the check to the engines of this process from now on; return whether that is possible. Supports known builds
    only."""
    build, check = known_build(), library_function(_CHECK)
    if build is None or check is None:
        return False
    code = ctypes.string_at(check, 7)
    if not code.startswith(_LOADS_STRUCTURE):
        return False
    structure = int.from_bytes(code[len(_LOADS_STRUCTURE) :], "little")
    layout = known_layout()
    note = register_address(0, layout, layout.event - _NOTE_BEFORE_EVENT)
    pointer, distance = build.state
    words = interpose({_READ_CODE: _READ_CODE_STUB}, (note,), again=True)
    if words is None:
        return False
    places = (structure, pointer, distance + note)
    if interpose(dict.fromkeys(_ACCESSES, _ACCESS_STUB), places, again=True) is not None:
        return True
    words.undo()
    return False
