"""Corrects what the engine gets wrong about pointer authentication on ``max``: the signing of non-canonical pointers,
and the modifier of authenticated loads.

PACIA and its siblings corrupt the code of a pointer whose extension bits are neither all zeros nor all ones, so that
authentication fails later: bit 62 of the result is inverted, or bit 54 if the top byte is ignored (DDI 0487, J1.1.3,
AddPAC(); no FEAT_PAuth2). The engine inverts the bit above that one, which is lost if the top byte is ignored, and
otherwise yields an address in the other half. The stubs invert the right one.

LDRAA and LDRAB authenticate with a modifier of zero (C6.2, LDRAA), but the translator passes SP. It calls the functions
of AUTDA and AUTDB for them; these are the only calls whose result does not go to a guest register, and the stubs pass
zero in them.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.replaced_helpers import replace_helpers
from arm_vcpu_cli.engine.unicorn_api import library_function

_SIGN: Final = {
    f"helper_{name}_aarch64": (data, int(enabled))
    for name, data, enabled in (
        ("pacia", 0, Sctlr.of(EnIA=1)),
        ("pacib", 0, Sctlr.of(EnIB=1)),
        ("pacda", 1, Sctlr.of(EnDA=1)),
        ("pacdb", 1, Sctlr.of(EnDB=1)),
    )
}
"""Whether the function signs addresses of data, and the bit of SCTLR_EL1 that enables it."""
_AUTHENTICATE: Final = "helper_autda_aarch64", "helper_autdb_aarch64"
_WITH_ZERO: Final = bytes.fromhex(
    "31d2"  # xor edx, edx
    "ff2500000000"  # jmp [rip + original]
)
"""(state, pointer, modifier) -> pointer. It is followed by the original function."""
_FUNCTIONS: Final = "arm_stage1_mmu_idx_aarch64", "aa64_va_parameters_aarch64"
"""(state) returns the index of the translation regime; (state, address, index, whether data) returns the parameters of
an address: TxSZ in bits 7 to 0, in bit 9 whether the top byte is ignored."""
_BEFORE_DATA: Final = bytes.fromhex(
    "53"  # push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4155"  # push r13
    "4156"  # push r14
    "4889fb"  # mov rbx, rdi
    "4889f5"  # mov rbp, rsi
    "4989d4"  # mov r12, rdx
    "ff15a9000000"  # call [rip + regime]
    "4889df"  # mov rdi, rbx
    "4889ee"  # mov rsi, rbp
    "89c2"  # mov edx, eax
    "b9"  # mov ecx, data
)
_BEFORE_ENABLED: Final = bytes.fromhex(
    "ff159e000000"  # call [rip + parameters]
    "4189c6"  # mov r14d, eax
    "41c1ee06"  # shr r14d, 6
    "4183e608"  # and r14d, 8
    "4989ed"  # mov r13, rbp
    "4489f1"  # mov ecx, r14d
    "49d3e5"  # shl r13, cl
    "0fb6c8"  # movzx ecx, al
    "f7d9"  # neg ecx
    "428d4c3140"  # lea ecx, [rcx + r14 + 64]
    "49d3fd"  # sar r13, cl
    "498d4501"  # lea rax, [r13 + 1]
    "4883f801"  # cmp rax, 1
    "4889df"  # mov rdi, rbx
    "4889ee"  # mov rsi, rbp
    "4c89e2"  # mov rdx, r12
    "7645"  # jbe pass
    "488b056b000000"  # mov rax, [rip + sctlr]
    "8b0403"  # mov eax, [rbx + rax]
    "a9"  # test eax, enabled
)
_REST: Final = bytes.fromhex(
    "7434"  # je pass
    "488b0562000000"  # mov rax, [rip + hcr]
    "480fba240329"  # bt qword [rbx + rax], 41
    "7325"  # jnc pass
    "ff1534000000"  # call [rip + original]
    "b93e000000"  # mov ecx, 62
    "4429f1"  # sub ecx, r14d
    "480fbbc8"  # btc rax, rcx
    "4585f6"  # test r14d, r14d
    "7505"  # jne done
    "480fbaf83f"  # btc rax, 63
    "415e"  # done: pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # ret
    "415e"  # pass: pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "ff2507000000"  # jmp [rip + original]
)
"""(state, pointer, modifier) -> signed pointer; x86-64, System V. It is followed by the original function, those of
:data:`_FUNCTIONS`, and the offsets in the state of SCTLR_EL1 and HCR_EL2 (of which bit 41 is API)."""


@cache
def sign_as_specified() -> bool:
    """Make the engines of this process sign and load as specified from now on; return whether that is possible.
    Supports known builds only."""
    if known_build() is None:
        return False
    functions = [function for function in map(library_function, _FUNCTIONS) if function is not None]
    if len(functions) != len(_FUNCTIONS):
        return False
    layout = known_layout()
    offsets = (register_address(0, layout, layout.sysregs[lookup(name)]) for name in ("SCTLR_EL1", "HCR_EL2"))
    stubs = {
        name: _BEFORE_DATA + data.to_bytes(4, "little") + _BEFORE_ENABLED + enabled.to_bytes(4, "little") + _REST
        for name, (data, enabled) in _SIGN.items()
    }
    loads = dict.fromkeys(_AUTHENTICATE, _WITH_ZERO)
    return (
        replace_helpers(stubs, *functions, *offsets) is not None
        and replace_helpers(loads, only_temporaries=True) is not None
    )
