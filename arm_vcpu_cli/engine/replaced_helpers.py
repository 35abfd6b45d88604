"""Replaces functions that translated code calls by stubs.

These are not called through the library's table (``interposition``): the translator has their addresses, and uses them
to look up the properties of a function. So its function for calls, ``tcg_gen_callN``, is redirected. For a function to
be replaced, the stub has the call emitted as usual, then inserts the replacement's address. To find the emitted
operation, the stub emits one more and removes it again: each is linked to the previous one.

The translator does this once for each place in the guest's code. Executing it afterwards costs no more than the
replacement itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Final

from arm_vcpu_cli.engine.interposition import Interposition, executable, interpose, with_words
from arm_vcpu_cli.engine.unicorn_api import keep, library_function

_CALL: Final = "tcg_gen_callN_aarch64"
_EMIT, _REMOVE = "tcg_emit_op_aarch64", "tcg_op_remove_aarch64"
_CALL_STUB: Final = bytes.fromhex(
    "488b0569000000"  # mov rax, [rip + table]
    "4c8b10"  # next: mov r10, [rax]
    "4939f2"  # cmp r10, rsi
    "740f"  # je found
    "4883c010"  # add rax, 16
    "4d85d2"  # test r10, r10
    "75ef"  # jne next
    "ff254a000000"  # jmp [rip + original]
    "53"  # found: push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4889fb"  # mov rbx, rdi
    "4889f5"  # mov rbp, rsi
    "4c8b6008"  # mov r12, [rax + 8]
    "ff1536000000"  # call [rip + original]
    "4889df"  # mov rdi, rbx
    "31f6"  # xor esi, esi
    "ff153b000000"  # call [rip + emit]
    "488b4810"  # mov rcx, [rax + 16]
    "ba10000000"  # mov edx, 16
    "4883c108"  # other: add rcx, 8
    "ffca"  # dec edx
    "780a"  # js remove
    "48396908"  # cmp [rcx + 8], rbp
    "75f2"  # jne other
    "4c896108"  # mov [rcx + 8], r12
    "4889df"  # remove: mov rdi, rbx
    "4889c6"  # mov rsi, rax
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "ff2518000000"  # jmp [rip + remove_op]
)
"""(translator, function, result, number of arguments, arguments); x86-64, System V. It is followed by the original
function, the address of the table (pairs of a function and its replacement, up to a function of 0), and the
translator's functions of (translator, kind) that emits an operation, and of (translator, operation) that removes it. An
operation begins with its kind, a link to the next one, and the address of the link of the one before; its arguments
follow."""
_ONLY_TEMPORARIES: Final = bytes.fromhex(
    "4885d2"  # test rdx, rdx
    "7423"  # je pass
    "f6420420"  # test byte [rdx + 4], 32
    "751d"  # jne pass
    "0f1f440000"  # nop
)
"""Precedes :data:`_CALL_STUB`, whose jump to the original function is at ``pass``. Bit 5 of that byte of a variable is
set if it outlives the translated block, as registers of the guest do."""


def replace_helpers(stubs: Mapping[str, bytes], *words: int, only_temporaries: bool = False) -> Interposition | None:
    """Replace functions by stubs in all code translated from now on; return None if that is impossible.

    Each stub is followed, at the next multiple of 8, by the address of the function and ``words``. With
    ``only_temporaries``, calls whose result goes into a register of the guest are left alone.
    """
    emit, remove = library_function(_EMIT), library_function(_REMOVE)
    functions = [library_function(name) for name in stubs]
    found = [each for each in functions if each is not None]
    if emit is None or remove is None or len(found) != len(functions):
        return None
    try:
        replacements = executable(
            [with_words(stub, original, *words) for original, stub in zip(found, stubs.values(), strict=True)]
        )
    except (OSError, ValueError):
        return None
    pairs = [word for pair in zip(found, replacements, strict=True) for word in pair]
    table = (ctypes.c_uint64 * (len(pairs) + 1))(*pairs, 0)
    keep(table)
    stub = _ONLY_TEMPORARIES + _CALL_STUB if only_temporaries else _CALL_STUB
    return interpose({_CALL: stub}, (ctypes.addressof(table), emit, remove), again=True)
