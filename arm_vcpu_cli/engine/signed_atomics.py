"""Corrects LDSMAX and LDSMIN of bytes, halfwords and words, which the engine compares as unsigned numbers.

The engine implements an atomic operation as a load, an operation on 64 bits, and a store. It extends the loaded value
and the operand from the size of the access, and for the signed minimum and maximum (DDI 0487, C6.2, LDSMAX) it wrongly
extends them as unsigned values. One function of its translator, which emits a conditional move, emits both operations.
It is redirected (``interposition``): when called for the minimum or the maximum of such an operation, the stub
sign-extends the operands first. The low bits of the result are stored and returned, as before.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.unicorn_api import library_function

_SELECT: Final = "tcg_gen_movcond_i64_aarch64"
_OPERATION: Final = "tcg_gen_atomic_fetch_smin_i64_aarch64"
_EXTEND: Final = ("tcg_gen_ext8s_i64_aarch64", "tcg_gen_ext16s_i64_aarch64", "tcg_gen_ext32s_i64_aarch64")
"""(translator, result, operand), for sizes of 1, 2 and 4 bytes."""
_SELECT_STUB: Final = bytes.fromhex(
    "83fe02"  # cmp esi, 2 (signed, less than)
    "7558"  # jne pass
    "488b442420"  # mov rax, [rsp + 32]
    "483b055f000000"  # cmp rax, [rip + back]
    "754a"  # jne pass
    "4489e0"  # mov eax, r12d
    "83e003"  # and eax, 3
    "83f803"  # cmp eax, 3
    "743f"  # je pass
    "57"  # push rdi
    "56"  # push rsi
    "52"  # push rdx
    "51"  # push rcx
    "4150"  # push r8
    "4151"  # push r9
    "50"  # push rax
    "4889ce"  # mov rsi, rcx
    "4889ca"  # mov rdx, rcx
    "4c8d1544000000"  # lea r10, [rip + extend]
    "41ff14c2"  # call [r10 + rax * 8]
    "488b0424"  # mov rax, [rsp]
    "488b7c2430"  # mov rdi, [rsp + 48]
    "488b742410"  # mov rsi, [rsp + 16]
    "4889f2"  # mov rdx, rsi
    "4c8d1528000000"  # lea r10, [rip + extend]
    "41ff14c2"  # call [r10 + rax * 8]
    "58"  # pop rax
    "4159"  # pop r9
    "4158"  # pop r8
    "59"  # pop rcx
    "5a"  # pop rdx
    "5e"  # pop rsi
    "5f"  # pop rdi
    "ff2505000000"  # pass: jmp [rip + original]
)
"""(translator, condition, result, compared, compared, value if it holds, value if not); x86-64, System V. If the caller
is the function for the minimum, called by the one for atomic operations, the low bits of r12 contain the logarithm of
the size of the access in bytes. It is followed by the original function, the return address in the function for the
minimum, and the addresses of :data:`_EXTEND`."""

_CALL_AT: Final = 0x30
_CALL: Final = b"\xe8"
_RETURN_AT: Final = 0xB3
_AROUND_RETURN: Final = bytes.fromhex("41ffd24589e0")  # call r10; mov r8d, r12d
"""In the function for atomic operations, which :data:`_OPERATION` calls at :data:`_CALL_AT`."""


@cache
def compare_signed() -> bool:
    """Correct the comparisons in the engines of this process from now on; return whether that is possible. Supports
    known builds only."""
    operation, extend = library_function(_OPERATION), [library_function(name) for name in _EXTEND]
    found = [each for each in extend if each is not None]
    if known_build() is None or operation is None or len(found) != len(extend):
        return False
    call = ctypes.string_at(operation + _CALL_AT, 5)
    if not call.startswith(_CALL):
        return False
    back = operation + _CALL_AT + len(call) + int.from_bytes(call[1:], "little", signed=True) + _RETURN_AT
    if ctypes.string_at(back - 3, len(_AROUND_RETURN)) != _AROUND_RETURN:
        return False
    return interpose({_SELECT: _SELECT_STUB}, (back, *found), again=True) is not None
