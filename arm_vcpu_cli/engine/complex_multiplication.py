"""Corrects the floating-point flags of FCMLA by element on 64-bit vectors of half-precision values.

The engine computes with 128 bits. It clears the upper half of the result, as specified, but the computation of that
half may have set flags in FPSR (DDI 0487, C7.2, FCMLA (by element)). The stub copies the lower half of the operands to
the upper half, which then sets the same flags as the lower one.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.replaced_helpers import replace_helpers

_MULTIPLY: Final = "helper_gvec_fcmlah_idx_aarch64"
_MULTIPLY_STUB: Final = bytes.fromhex(
    "41f6c01f"  # test r8b, 31
    "7525"  # jne pass
    "4883ec18"  # sub rsp, 24
    "488b06"  # mov rax, [rsi]
    "48890424"  # mov [rsp], rax
    "4889442408"  # mov [rsp + 8], rax
    "4889e6"  # mov rsi, rsp
    "488b07"  # mov rax, [rdi]
    "48894708"  # mov [rdi + 8], rax
    "ff1512000000"  # call [rip + original]
    "4883c418"  # add rsp, 24
    "c3"  # ret
    "ff2507000000"  # pass: jmp [rip + original]
)
"""(sum and result, factor, the vector of the other factor, status, description, of which bits 4 to 0 are the vector's
length in units of 8 bytes minus 1); x86-64, System V. It is followed by the original function."""


@cache
def multiply_only_elements() -> bool:
    """Correct the engines of this process from now on; return whether that is possible. Supports known builds only."""
    return known_build() is not None and replace_helpers({_MULTIPLY: _MULTIPLY_STUB}) is not None
