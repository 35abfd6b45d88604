"""Adds PC alignment faults, which the engine lacks: it executes code at a misaligned address.

DDI 0487, D1.3.5 and D1.4.2, "PC alignment checking": fetching an instruction from an address that is not a multiple of
4 causes an exception with EC 0x22; FAR_EL1 and ELR_EL1 are that address. It takes priority over an instruction abort
for the address, but not over a software step exception.

The check costs nothing while a guest runs: code at such an address is never translated. The engine's function that
translates a block is redirected (``interposition``) to a stub that raises the exception instead, and its function that
raises exceptions to a stub that turns an instruction abort into a PC alignment fault.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import Interposition, interpose
from arm_vcpu_cli.engine.refusals import register_address, state_place
from arm_vcpu_cli.engine.unicorn_api import library_function

_TRANSLATE, _RAISE = "tb_gen_code_aarch64", "raise_exception_aarch64"
_TRANSLATE_STUB: Final = bytes.fromhex(
    "40f6c603"  # test sil, 3
    "7506"  # jne misaligned
    "ff253c000000"  # pass: jmp [rip + original]
    "89c8"  # misaligned: mov eax, ecx
    "c1e81d"  # shr eax, 29
    "83e804"  # sub eax, 4
    "78f0"  # js pass
    "83f802"  # cmp eax, 2
    "74eb"  # je pass
    "48033d2e000000"  # add rdi, [rip + state]
    "488b052f000000"  # mov rax, [rip + fault]
    "48893407"  # mov [rdi + rax], rsi
    "be01000000"  # mov esi, 1
    "ba0000008a"  # mov edx, 0x8a000000
    "b901000000"  # mov ecx, 1
    "ff2526000000"  # jmp [rip + raise]
)
"""(CPU, PC, base, flags, flags of the translation), x86-64, System V. In the flags, bit 31 is set in AArch64, and
bits 30 and 29 are 0b10 while a software step exception is pending: the block will raise it without fetching an
instruction."""
_RAISE_STUB: Final = bytes.fromhex(
    "89d0"  # mov eax, edx
    "c1e81b"  # shr eax, 27
    "83f810"  # cmp eax, 16
    "7529"  # jne pass
    "488b053f000000"  # mov rax, [rip + fault]
    "f6040703"  # test byte [rdi + rax], 3
    "741c"  # je pass
    "488b053a000000"  # mov rax, [rip + aarch64]
    "833c0700"  # cmp dword [rdi + rax], 0
    "740f"  # je pass
    "be01000000"  # mov esi, 1
    "ba0000008a"  # mov edx, 0x8a000000
    "b901000000"  # mov ecx, 1
    "ff2507000000"  # pass: jmp [rip + original]
)
"""(state, exception, syndrome, Exception level). EC 0x20 and 0x21 are instruction aborts.

Each stub is followed by the original function, the distance of the state from the CPU, the offsets in the state of the
fault address and the AArch64 flag, and the engine's function that raises exceptions."""


def take_pc_alignment_faults() -> Interposition | None:
    """Make the engines of this process take them from now on; return None if that is impossible."""
    place, raising = state_place(), library_function(_RAISE)
    if place is None or raising is None:
        return None
    layout = known_layout()
    offsets = (register_address(0, layout, each) for each in (layout.fault_address, layout.aarch64))
    return interpose({_TRANSLATE: _TRANSLATE_STUB, _RAISE: _RAISE_STUB}, (place[1], *offsets, raising), again=True)
