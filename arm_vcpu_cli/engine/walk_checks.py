"""What the engine's walk of stage 1 leaves out, added by redirecting functions of its library (``interposition``).

An output address beyond TCR_EL1.IPS or the implemented width has to be an address size fault of its level, and a block
at a level that has none a translation fault; the engine goes on with both. TCR_EL1.HPDn, TBIDn and the 16 KiB granule
have a meaning for it on every model, also where no ID register announces them. And PAR_EL1.SH has to be 0b10 for Device
and non-cacheable memory.

The walk calls three exported functions. ``get_phys_addr`` is the whole of it: its stub prepares a word in the engine's
state and turns a fault that the others have caused into one of address size. ``aa64_va_parameters`` decodes TCR_EL1:
its stub takes away what the CPU has not, and notes in the word where the walk starts, and how wide output addresses
are. ``address_space_ldq`` loads a descriptor: its stub lets the walk read zero, which is invalid, where it must not go on.
The tables of stage 2, which the walk of stage 1 goes through for each of its own, lie below 4 GiB and guests' memory
above (``host.machine_host``), so that their descriptors are told apart by address.

The word is the fault status for AArch32, which no guest has; it is put back after each walk.

The stubs depend on where things lie in the engine's state, so they are only for a build that is known. The walks of
others are as the engine makes them.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.engine.interposition import WALK, Interposition, interpose
from arm_vcpu_cli.engine.known_builds import known_build

_PARAMETERS: Final = "aa64_va_parameters_aarch64"
_LOADS: Final = ("address_space_ldq_le_aarch64", "address_space_ldq_be_aarch64")

# In the engine's state, SCTLR_EL1 is at 680, TTBR0_EL1 at 776, TTBR1_EL1 at 808, TCR_EL1 at 856, the word at 3028,
# ID_AA64MMFR0_EL1 at 12960 and ID_AA64MMFR1_EL1 at 12968. The latter is zero for an Armv8.0 CPU. In the word, bits 7:0
# are the width of output addresses, 9:8 the level of the next descriptor, 11:10 the first level that has blocks; bit 16
# says that the table's base is too wide, 17 that the walk was ended, and 31 that it is on.

_WALK_STUB: Final = bytes.fromhex(
    "8d41e0"  # lea eax, [rcx - 32]
    "83f802"  # cmp eax, 2
    "7615"  # jbe mine
    "8d41f0"  # lea eax, [rcx - 16]
    "83f803"  # cmp eax, 3
    "0f8731010000"  # ja pass
    "83f801"  # cmp eax, 1
    "0f8428010000"  # je pass
    "53"  # mine: push rbx
    "55"  # push rbp
    "4889fb"  # mov rbx, rdi
    "8bafd40b0000"  # mov ebp, dword [rdi + 3028]
    "4883ec08"  # sub rsp, 8
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "ff742438"  # push qword [rsp + 56]
    "c787d40b000000000080"  # mov dword [rdi + 3028], 0x80000000
    "f687a802000001"  # test byte [rdi + 680], 1
    "7471"  # je off
    "ff15fb000000"  # go: call qword [rip + original]
    "4883c420"  # add rsp, 32
    "8b8bd40b0000"  # mov ecx, dword [rbx + 3028]
    "89abd40b0000"  # mov dword [rbx + 3028], ebp
    "488b542430"  # mov rdx, qword [rsp + 48]
    "f7c100000300"  # test ecx, 0x30000
    "7523"  # jne beyond
    "488b542438"  # mov rdx, qword [rsp + 56]
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
    "f7c100000100"  # beyond: test ecx, 0x10000
    "741b"  # je table
    "f7c100000200"  # test ecx, 0x20000
    "7506"  # jne root
    "807a1900"  # cmp byte [rdx + 25], 0
    "74e3"  # je out
    "c7421000000000"  # root: mov dword [rdx + 16], 0
    "66c742180000"  # mov word [rdx + 24], 0
    "c70207000000"  # table: mov dword [rdx], 7
    "ebce"  # jmp out
    "4989f2"  # off: mov r10, rsi
    "49c1ea38"  # shr r10, 56
    "743d"  # je untagged
    "4989f2"  # mov r10, rsi
    "49c1ea37"  # shr r10, 55
    "4183e201"  # and r10d, 1
    "4183c225"  # add r10d, 37
    "488b8758030000"  # mov rax, qword [rdi + 856]
    "4c0fa3d0"  # bt rax, r10
    "7321"  # jnc untagged
    "83fa02"  # cmp edx, 2
    "7514"  # jne ignore
    "4883bfa832000000"  # cmp qword [rdi + 12968], 0
    "740a"  # je ignore
    "4183c20e"  # add r10d, 14
    "4c0fa3d0"  # bt rax, r10
    "7208"  # jc untagged
    "48c1e608"  # ignore: shl rsi, 8
    "48c1ee08"  # shr rsi, 8
    "448b97a0320000"  # untagged: mov r10d, dword [rdi + 12960]
    "4183e207"  # and r10d, 7
    "4189cb"  # mov r11d, ecx
    "488d053d000000"  # lea rax, [rip + sizes]
    "420fb60c10"  # movzx ecx, byte [rax + r10]
    "4989f2"  # mov r10, rsi
    "49d3ea"  # shr r10, cl
    "4489d9"  # mov ecx, r11d
    "0f8420ffffff"  # je go
    "4883c420"  # add rsp, 32
    "89abd40b0000"  # mov dword [rbx + 3028], ebp
    "488b542430"  # mov rdx, qword [rsp + 48]
    "b001"  # mov al, 1
    "e966ffffff"  # jmp root
    "ff2505000000"  # pass: jmp qword [rip + original]
)
"""As ``get_phys_addr`` in ``interposition``: for the walks of EL1&0, of both stages and of stage 1 alone. With stage 1
off it removes a tag from the address, and checks its width. Of a fault, 0 is the type (7: address size), 16 the level,
24 whether it is stage 2's, and 25 whether it is on a walk of stage 1."""

_PARAMETERS_STUB: Final = bytes.fromhex(
    "8d42e0"  # lea eax, [rdx - 32]
    "83f802"  # cmp eax, 2
    "0f87e1000000"  # ja pass
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
    "0f89a3000000"  # jns done
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
    "c1e210"  # shl edx, 16
    "8d940a00000080"  # lea edx, [rdx + rcx - 2147483648]
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
    "ff2505000000"  # pass: jmp qword [rip + original]
)
"""(state, address, MMU index, whether for data) -> bits 7:0 TxSZ, bit 8 upper half, 9 TBI, 10 EPD, 11 HPD, 12 granule
of 16 KiB, 13 granule of 64 KiB."""

_LOAD_STUB: Final = bytes.fromhex(
    "4889d0"  # mov rax, rdx
    "48c1e820"  # shr rax, 32
    "746d"  # je pass
    "57"  # push rdi
    "ff1570000000"  # call qword [rip + original]
    "5f"  # pop rdi
    "488bbfb8010000"  # mov rdi, qword [rdi + 440]
    "4881c724af0000"  # add rdi, 0xaf24
    "8b17"  # mov edx, dword [rdi]
    "85d2"  # test edx, edx
    "7950"  # jns done
    "0fbae210"  # bt edx, 16
    "7242"  # jc flag
    "a801"  # test al, 1
    "7446"  # je done
    "89d1"  # mov ecx, edx
    "c1e908"  # shr ecx, 8
    "83e103"  # and ecx, 3
    "a802"  # test al, 2
    "7513"  # jne table
    "83f903"  # cmp ecx, 3
    "7435"  # je done
    "89d6"  # mov esi, edx
    "c1ee0a"  # shr esi, 10
    "83e603"  # and esi, 3
    "39f1"  # cmp ecx, esi
    "7227"  # jb nothing
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
    "810f00000200"  # flag: or dword [rdi], 0x20000
    "31c0"  # nothing: xor eax, eax
    "c3"  # done: ret
    "ff2504000000"  # pass: jmp qword [rip + original]
)
"""(engine, address space, address, attributes, address of the result) -> descriptor."""

_WIDTHS: Final = bytes((32, 36, 40, 42, 44, 48, 48, 48))
"""By PARange and TCR_EL1.IPS."""
_LEVELS: Final = bytes((24, 33, 63, 1, 16, 27, 38, 2, 0, 21, 34, 2))
"""By granule: the walk starts one level further down for each of three values that TxSZ is above, and the first level
that has blocks."""
_WORDS: Final = tuple(
    int.from_bytes((_WIDTHS + _LEVELS)[at : at + 8], "little") for at in range(0, len(_WIDTHS + _LEVELS), 8)
)


@cache
def take_walk_checks() -> Interposition | None:
    """Have the engines of this process check their walks, from now on; None if that is not possible."""
    if known_build() is None:
        return None
    stubs = {WALK: _WALK_STUB, _PARAMETERS: _PARAMETERS_STUB, **dict.fromkeys(_LOADS, _LOAD_STUB)}
    return interpose(stubs, _WORDS)
