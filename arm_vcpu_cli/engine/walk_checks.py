"""Completes the engine's walk of stage 1, by redirecting functions of its library (``interposition``).

- An output address beyond TCR_EL1.IPS or the implemented width must cause an address size fault at its level, and a
  block at a level that has none a translation fault; the engine accepts both.
- Bits of a block's address that are part of the offset are RES0; the engine adds them to the address.
- The engine applies TCR_EL1.HPDn, TBIDn and the 16 KiB granule on every model, even if no ID register announces them;
  and where TBIDn is announced, it uses a TLB entry for data for instructions as well.
- PAR_EL1.SH must be 0b10 for Device and non-cacheable memory.

The walk calls three exported functions. ``get_phys_addr`` is the whole of it: its stub prepares a word in the engine's
state and turns a fault caused by the others into an address size fault. ``aa64_va_parameters`` decodes TCR_EL1: its
stub removes what the CPU lacks, and records in the word where the walk starts, and the width of output addresses.
``address_space_ldq`` loads a descriptor: its stub makes the walk read zero, which is invalid, where it must not
continue. The tables of stage 2, which the walk of stage 1 reads for each of its own, are below 4 GiB and guests' memory
is above (``host.machine_host``), so the address distinguishes their descriptors.

The word is the fault status for AArch32, which no guest uses; it is restored after each walk.

The stubs depend on offsets in the engine's state, so they support known builds only. Other builds walk as the engine
does.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import WALK, Interposition, interpose
from arm_vcpu_cli.engine.known_builds import known_build

_PARAMETERS: Final = "aa64_va_parameters_aarch64"
_LOADS: Final = ("address_space_ldq_le_aarch64", "address_space_ldq_be_aarch64")

# In the engine's state, TTBR0_EL1 is at 776, TTBR1_EL1 at 808, TCR_EL1 at 856, the word at 3028, ID_AA64MMFR0_EL1 at
# 12960 and ID_AA64MMFR1_EL1 at 12968. The latter is zero for an Armv8.0 CPU. In the word, bits 7:0 are the width of
# output addresses, 9:8 the level of the next descriptor, 11:10 the first level with blocks, 16:12 log2 of their size at
# level 2; bit 18 means that the table's base is too wide, 19 that the walk has ended, 20 that the address has a tag,
# which only data accesses may have, 21 that both stages are walked, and 31 that the walk is in progress.

_WALK_STUB: Final = bytes.fromhex(
    "41ba00000080"  # mov r10d, 0x80000000
    "8d41e0"  # lea eax, [rcx - 32]
    "83f802"  # cmp eax, 2
    "761b"  # jbe mine
    "8d41f0"  # lea eax, [rcx - 16]
    "83f803"  # cmp eax, 3
    "0f8764010000"  # ja pass
    "83f801"  # cmp eax, 1
    "0f845b010000"  # je pass
    "41ba00002080"  # mov r10d, 0x80200000
    "53"  # mine: push rbx
    "55"  # push rbp
    "4889fb"  # mov rbx, rdi
    "8bafd40b0000"  # mov ebp, dword [rdi + 3028]
    "4883ec08"  # sub rsp, 8
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "448997d40b0000"  # mov dword [rdi + 3028], r10d
    "4889f0"  # mov rax, rsi
    "48c1f837"  # sar rax, 55
    "48ffc0"  # inc rax
    "4883f801"  # cmp rax, 1
    "0f87de000000"  # ja tagged
    "ff151f010000"  # go: call qword [rip + original]
    "4883c420"  # add rsp, 32
    "8b8bd40b0000"  # mov ecx, dword [rbx + 3028]
    "89abd40b0000"  # mov dword [rbx + 3028], ebp
    "488b542430"  # mov rdx, qword [rsp + 48]
    "f7c100001c00"  # test ecx, 0x1c0000
    "752f"  # jne special
    "84c0"  # plain: test al, al
    "7524"  # jne out
    "f7c100002000"  # test ecx, 0x200000
    "7564"  # jne both
    "488b542438"  # attributes: mov rdx, qword [rsp + 56]
    "4885d2"  # test rdx, rdx
    "7412"  # je out
    "f602f0"  # test byte [rdx], 240
    "7405"  # je outer
    "803a44"  # cmp byte [rdx], 68
    "7508"  # jne out
    "806201fc"  # outer: and byte [rdx + 1], 252
    "804a0102"  # or byte [rdx + 1], 2
    "4883c408"  # out: add rsp, 8
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # ret
    "f7c100000400"  # special: test ecx, 0x40000
    "7423"  # je wide
    "f7c100000800"  # test ecx, 0x80000
    "7506"  # jne root
    "807a1900"  # cmp byte [rdx + 25], 0
    "74e3"  # je out
    "c7421000000000"  # root: mov dword [rdx + 16], 0
    "66c742180000"  # mov word [rdx + 24], 0
    "c70207000000"  # beyond: mov dword [rdx], 7
    "ebce"  # jmp out
    "f7c100000800"  # wide: test ecx, 0x80000
    "75f0"  # jne beyond
    "84c0"  # test al, al
    "75c2"  # jne out
    "488b542420"  # mov rdx, qword [rsp + 32]
    "8322fb"  # and dword [rdx], 0xfffffffb
    "eb90"  # jmp plain
    "48833d9200000000"  # both: cmp qword [rip + 146], 0x0 # sizes
    "7492"  # je attributes
    "ba00100000"  # mov edx, 0x1000
    "4189c8"  # mov r8d, ecx
    "41c1e80c"  # shr r8d, 12
    "4183e01f"  # and r8d, 31
    "7422"  # je set
    "4183c003"  # add r8d, 3
    "41d1e8"  # shr r8d, 1
    "c1e908"  # shr ecx, 8
    "f7d1"  # not ecx
    "83e103"  # and ecx, 3
    "458d48fd"  # lea r9d, [r8 - 3]
    "410fafc9"  # imul ecx, r9d
    "4401c1"  # add ecx, r8d
    "ba01000000"  # mov edx, 1
    "48d3e2"  # shl rdx, cl
    "4c8b442428"  # set: mov r8, qword [rsp + 40]
    "498910"  # mov qword [r8], rdx
    "e951ffffff"  # jmp attributes
    "4883bfa832000000"  # tagged: cmp qword [rdi + 12968], 0
    "0f8414ffffff"  # je go
    "4989f2"  # mov r10, rsi
    "49c1ea37"  # shr r10, 55
    "4183e201"  # and r10d, 1
    "4183c233"  # add r10d, 51
    "488b8758030000"  # mov rax, qword [rdi + 856]
    "4c0fa3d0"  # bt rax, r10
    "0f83f4feffff"  # jnc go
    "818fd40b000000001000"  # or dword [rdi + 3028], 0x100000
    "e9e5feffff"  # jmp go
    "ff2504000000"  # pass: jmp qword [rip + original]
)
"""As ``get_phys_addr`` in ``interposition``, for the walks of EL1&0: of both stages, and of stage 1 alone. In a fault,
byte 0 is the type (7: address size), 16 the level, 24 whether it is stage 2's, and 25 whether it is on a walk of stage
1. In permissions, 4 is execute. The word after the stub is 1 to report the size of stage 1's leaf."""

_PARAMETERS_STUB: Final = bytes.fromhex(
    "8d42e0"  # lea eax, [rdx - 32]
    "83f802"  # cmp eax, 2
    "0f87e2000000"  # ja pass
    "57"  # push rdi
    "56"  # push rsi
    "4883ec08"  # sub rsp, 8
    "4883bfa832000000"  # cmp qword [rdi + 12968], 0
    "7505"  # jne later
    "b901000000"  # mov ecx, 1
    "ff15d1000000"  # later: call qword [rip + original]
    "4883c408"  # add rsp, 8
    "5e"  # pop rsi
    "5f"  # pop rdi
    "4883bfa832000000"  # cmp qword [rdi + 12968], 0
    "7505"  # jne known
    "25ffe7ffff"  # and eax, 0xffffe7ff
    "83bfd40b000000"  # known: cmp dword [rdi + 3028], 0
    "0f89a4000000"  # jns done
    "4c8d05b0000000"  # lea r8, [rip + sizes]
    "448b8fa0320000"  # mov r9d, dword [rdi + 12960]
    "4183e107"  # and r9d, 7
    "430fb60c08"  # movzx ecx, byte [r8 + r9]
    "448b8f5c030000"  # mov r9d, dword [rdi + 860]
    "4183e107"  # and r9d, 7
    "430fb61408"  # movzx edx, byte [r8 + r9]
    "39ca"  # cmp edx, ecx
    "0f42ca"  # cmovb ecx, edx
    "480fbae637"  # bt rsi, 55
    "4d19c9"  # sbb r9, r9
    "4183e120"  # and r9d, 32
    "4e8b8c0f08030000"  # mov r9, qword [rdi + r9 + 776]
    "49c1e110"  # shl r9, 16
    "49c1e911"  # shr r9, 17
    "49d1e1"  # shl r9, 1
    "31d2"  # xor edx, edx
    "49d3e9"  # shr r9, cl
    "0f95c2"  # setne dl
    "c1e212"  # shl edx, 18
    "09ca"  # or edx, ecx
    "0b97d40b0000"  # or edx, dword [rdi + 3028]
    "4189c1"  # mov r9d, eax
    "41c1e90c"  # shr r9d, 12
    "4183e103"  # and r9d, 3
    "4183f902"  # cmp r9d, 2
    "7606"  # jbe row
    "41b902000000"  # mov r9d, 2
    "31c9"  # row: xor ecx, ecx
    "4338448808"  # cmp byte [r8 + r9 * 4 + 8], al
    "83d100"  # adc ecx, 0
    "4338448809"  # cmp byte [r8 + r9 * 4 + 9], al
    "83d100"  # adc ecx, 0
    "433844880a"  # cmp byte [r8 + r9 * 4 + 10], al
    "83d100"  # adc ecx, 0
    "470fb64c880b"  # movzx r9d, byte [r8 + r9 * 4 + 11]
    "428d0c89"  # lea ecx, [rcx + r9 * 4]
    "c1e108"  # shl ecx, 8
    "09ca"  # or edx, ecx
    "8997d40b0000"  # mov dword [rdi + 3028], edx
    "c3"  # done: ret
    "ff2504000000"  # pass: jmp qword [rip + original]
)
"""(state, address, MMU index, whether for data) -> bits 7:0 TxSZ, bit 8 upper half, 9 TBI, 10 EPD, 11 HPD, 12 granule
of 16 KiB, 13 granule of 64 KiB."""

_LOAD_STUB: Final = bytes.fromhex(
    "4889d0"  # mov rax, rdx
    "48c1e820"  # shr rax, 32
    "0f8495000000"  # je pass
    "57"  # push rdi
    "ff1594000000"  # call qword [rip + original]
    "5f"  # pop rdi
    "488bbfb8010000"  # mov rdi, qword [rdi + 440]
    "4881c724af0000"  # add rdi, 0xaf24
    "8b17"  # mov edx, dword [rdi]
    "85d2"  # test edx, edx
    "7978"  # jns done
    "0fbae212"  # bt edx, 18
    "726a"  # jc flag
    "a801"  # test al, 1
    "746e"  # je done
    "89d1"  # mov ecx, edx
    "c1e908"  # shr ecx, 8
    "83e103"  # and ecx, 3
    "a802"  # test al, 2
    "753b"  # jne table
    "83f903"  # cmp ecx, 3
    "745d"  # je done
    "89d6"  # mov esi, edx
    "c1ee0a"  # shr esi, 10
    "83e603"  # and esi, 3
    "39f1"  # cmp ecx, esi
    "724f"  # jb nothing
    "be02000000"  # mov esi, 2
    "29ce"  # sub esi, ecx
    "8d34f6"  # lea esi, [rsi + rsi * 8]
    "89d1"  # mov ecx, edx
    "c1e90c"  # shr ecx, 12
    "83e11f"  # and ecx, 31
    "01f1"  # add ecx, esi
    "48c7c6ffffffff"  # mov rsi, 0xffffffffffffffff
    "48d3e6"  # shl rsi, cl
    "4881ceff0f0000"  # or rsi, 0xfff
    "4821f0"  # and rax, rsi
    "eb0d"  # jmp check
    "83f903"  # table: cmp ecx, 3
    "7408"  # je check
    "81c200010000"  # add edx, 0x100
    "8917"  # mov dword [rdi], edx
    "89d1"  # check: mov ecx, edx
    "4889c2"  # mov rdx, rax
    "48c1e210"  # shl rdx, 16
    "48c1ea10"  # shr rdx, 16
    "48d3ea"  # shr rdx, cl
    "7408"  # je done
    "810f00000800"  # flag: or dword [rdi], 0x80000
    "31c0"  # nothing: xor eax, eax
    "c3"  # done: ret
    "ff2500000000"  # pass: jmp qword [rip + original]
)
"""(engine, address space, address, attributes, address of the result) -> descriptor."""

_WIDTHS: Final = bytes((32, 36, 40, 42, 44, 48, 48, 48))
"""By PARange and TCR_EL1.IPS."""
_LEVELS: Final = bytes((24, 33, 63, 1 | 21 << 2, 16, 27, 38, 2 | 25 << 2, 0, 21, 34, 2 | 29 << 2))
"""By granule: thresholds of TxSZ, each of which moves the start of the walk one level down; the first level with blocks
and, from bit 2 on, log2 of their size at level 2."""
_WORDS: Final = tuple(
    int.from_bytes((_WIDTHS + _LEVELS)[at : at + 8], "little") for at in range(0, len(_WIDTHS + _LEVELS), 8)
)


@cache
def take_walk_checks() -> Interposition | None:
    """Make the engines of this process check their walks from now on; return None if that is impossible."""
    if known_build() is None:
        return None
    inner = interpose({_PARAMETERS: _PARAMETERS_STUB, **dict.fromkeys(_LOADS, _LOAD_STUB)}, _WORDS)
    if inner is None:
        return None
    outer = interpose({WALK: _WALK_STUB}, [0])
    if outer is None:
        inner.undo()
    return outer


def heed_stage1_sizes() -> bool:
    """Give TLB entries the size of stage 1's leaf from now on, as the stub of ``interposition`` does; return whether
    that is possible."""
    checks = take_walk_checks()
    if checks is None:
        return False
    checks.switches[0].value = 1
    return True
