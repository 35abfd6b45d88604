"""The machine code of the stubs (see ``stubs``), by the host's architecture.

Arguments follow the host's C calling convention: System V on x86-64, AAPCS64 on AArch64.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.record import Record


class Code(Record):
    """The stubs of one architecture; without ``read`` the ``move`` stub replaces it, and without ``used_up`` every
    block calls ``block_unasked``."""

    block: bytes
    block_unasked: bytes
    ask: bytes
    move: bytes
    read: bytes = b""
    used_up: bytes = b""


_X86_64: Final = Code(
    block=bytes.fromhex(
        "89d0"  # mov eax, edx
        "c1e802"  # shr eax, 2
        "4c8b01"  # mov r8, [rcx]
        "4929c0"  # sub r8, rax
        "780a"  # js stop
        "83791000"  # cmp dword [rcx + 16], 0
        "7504"  # jne stop
        "4c8901"  # mov [rcx], r8
        "c3"  # ret
        "ff6108"  # stop: jmp [rcx + 8]
    ),
    block_unasked=bytes.fromhex(
        "c1ea02"  # shr edx, 2
        "482911"  # again: sub [rcx], rdx
        "7c01"  # jl slow
        "c3"  # ret
        "480111"  # slow: add [rcx], rdx
        "48895130"  # mov [rcx + 48], rdx
        "480fba313f"  # btr qword [rcx], 63
        "7343"  # jnc stop
        "83791000"  # cmp dword [rcx + 16], 0
        "753d"  # jne stop
        "4c8b4138"  # mov r8, [rcx + 56]
        "488b4158"  # mov rax, [rcx + 88]
        "4885c0"  # test rax, rax
        "7523"  # jne hit
        "4d85c0"  # test r8, r8
        "74d4"  # je again
        "483911"  # cmp [rcx], rdx
        "7c21"  # jl keep
        "4c8b4948"  # mov r9, [rcx + 72]
        "49ffc8"  # next: dec r8
        "7820"  # js none
        "4b8b04c1"  # mov rax, [r9 + r8 * 8]
        "4829f0"  # sub rax, rsi
        "48c1e802"  # shr rax, 2
        "4839d0"  # cmp rax, rdx
        "73eb"  # jae next
        "48c7415001000000"  # hit: mov qword [rcx + 80], 1
        "480fba293f"  # keep: bts qword [rcx], 63
        "ff6108"  # stop: jmp qword [rcx + 8]
        "482911"  # none: sub [rcx], rdx
        "480fba293f"  # bts qword [rcx], 63
        "c3"  # ret
    ),
    used_up=bytes.fromhex(
        "89d2"  # mov edx, edx
        "480111"  # add [rcx], rdx
        "48895130"  # mov [rcx + 48], rdx
        "480fba313f"  # again: btr qword [rcx], 63
        "7354"  # jnc stop
        "83791000"  # cmp dword [rcx + 16], 0
        "754e"  # jne stop
        "4c8b4138"  # mov r8, [rcx + 56]
        "488b4158"  # mov rax, [rcx + 88]
        "4885c0"  # test rax, rax
        "7534"  # jne hit
        "4d85c0"  # test r8, r8
        "750a"  # jne armed
        "482911"  # sub [rcx], rdx
        "7d4a"  # jge leave
        "480111"  # add [rcx], rdx
        "ebd7"  # jmp again
        "483911"  # armed: cmp [rcx], rdx
        "7c28"  # jl keep
        "488b7140"  # mov rsi, [rcx + 64]
        "488b36"  # mov rsi, [rsi]
        "4c8b4948"  # mov r9, [rcx + 72]
        "49ffc8"  # next: dec r8
        "7828"  # js none
        "4b8b04c1"  # mov rax, [r9 + r8 * 8]
        "4829f0"  # sub rax, rsi
        "48c1e802"  # shr rax, 2
        "4839d0"  # cmp rax, rdx
        "73eb"  # jae next
        "48c7415001000000"  # hit: mov qword [rcx + 80], 1
        "480fba293f"  # keep: bts qword [rcx], 63
        "51"  # stop: push rcx
        "488b7920"  # mov rdi, [rcx + 32]
        "ff5108"  # call qword [rcx + 8]
        "59"  # pop rcx
        "eb08"  # jmp leave
        "482911"  # none: sub [rcx], rdx
        "480fba293f"  # bts qword [rcx], 63
        "488b7920"  # leave: mov rdi, [rcx + 32]
        "31f6"  # xor esi, esi
        "ff6128"  # jmp qword [rcx + 40]
    ),
    ask=bytes.fromhex(
        "f0480fba2f3f"  # lock bts qword [rdi], 63
        "c3"  # ret
    ),
    move=bytes.fromhex(
        "8b02"  # mov eax, [rdx]          crn
        "448b4108"  # mov r8d, [rcx + 8]
        "410fa3c0"  # bt r8d, eax
        "7203"  # jc wanted
        "31c0"  # xor eax, eax
        "c3"  # ret
        "448b4208"  # wanted: mov r8d, [rdx + 8]    op0
        "41c1e003"  # shl r8d, 3
        "440b420c"  # or r8d, [rdx + 12]  op1
        "41c1e004"  # shl r8d, 4
        "4409c0"  # or eax, r8d
        "c1e004"  # shl eax, 4
        "0b4204"  # or eax, [rdx + 4]     crm
        "c1e003"  # shl eax, 3
        "0b4210"  # or eax, [rdx + 16]    op2
        "89c2"  # mov edx, eax
        "ff21"  # jmp [rcx]
    ),
    read=bytes.fromhex(
        "8b02"  # mov eax, [rdx]
        "448b4108"  # mov r8d, [rcx + 8]
        "410fa3c0"  # bt r8d, eax
        "7203"  # jc wanted
        "31c0"  # xor eax, eax
        "c3"  # ret
        "448b4208"  # wanted: mov r8d, [rdx + 8]
        "41c1e003"  # shl r8d, 3
        "440b420c"  # or r8d, [rdx + 12]
        "41c1e004"  # shl r8d, 4
        "4409c0"  # or eax, r8d
        "c1e004"  # shl eax, 4
        "0b4204"  # or eax, [rdx + 4]
        "c1e003"  # shl eax, 3
        "0b4210"  # or eax, [rdx + 16]
        "89c2"  # mov edx, eax
        "2d01df0000"  # sub eax, 0xdf01
        "83f801"  # cmp eax, 1
        "0f87a4000000"  # ja python
        "448b410c"  # mov r8d, [rcx + 12]
        "410fa3c0"  # bt r8d, eax
        "0f8396000000"  # jnc python
        "83c002"  # add eax, 2
        "410fa3c0"  # bt r8d, eax
        "7220"  # jc answer
        "57"  # push rdi
        "56"  # push rsi
        "52"  # push rdx
        "51"  # push rcx
        "4883ec08"  # sub rsp, 8
        "8b7168"  # mov esi, [rcx + 104]
        "488d5130"  # lea rdx, [rcx + 48]
        "ff5140"  # call qword [rcx + 64]
        "4883c408"  # add rsp, 8
        "59"  # pop rcx
        "5a"  # pop rdx
        "5e"  # pop rsi
        "5f"  # pop rdi
        "f641300c"  # test byte [rcx + 48], 12
        "746d"  # je python
        "4c8b4148"  # answer: mov r8, [rcx + 72]
        "4d85c0"  # test r8, r8
        "7540"  # jne host
        "4c8b4110"  # mov r8, [rcx + 16]
        "498b00"  # mov rax, [r8]
        "482b4128"  # sub rax, [rcx + 40]
        "7c57"  # jl python
        "498900"  # mov [r8], rax
        "4c8b4928"  # mov r9, [rcx + 40]
        "4c014918"  # add [rcx + 24], r9
        "48f7d8"  # neg rax
        "49034018"  # add rax, [r8 + 24]
        "48034120"  # add rax, [rcx + 32]
        "48c1e804"  # give: shr rax, 4
        "48894130"  # mov [rcx + 48], rax
        "488d5130"  # lea rdx, [rcx + 48]
        "4883ec08"  # sub rsp, 8
        "ff5138"  # call qword [rcx + 56]
        "4883c408"  # add rsp, 8
        "b801000000"  # mov eax, 1
        "c3"  # ret
        "57"  # host: push rdi
        "56"  # push rsi
        "51"  # push rcx
        "488d7158"  # lea rsi, [rcx + 88]
        "bf01000000"  # mov edi, 1
        "41ffd0"  # call r8
        "59"  # pop rcx
        "5e"  # pop rsi
        "5f"  # pop rdi
        "4869415800ca9a3b"  # imul rax, [rcx + 88], 1000000000
        "48034160"  # add rax, [rcx + 96]
        "482b4150"  # sub rax, [rcx + 80]
        "ebbf"  # jmp give
        "ff21"  # python: jmp [rcx]
    ),
)
_AARCH64: Final = Code(
    block=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0xF9400064,  # ldr x4, [x3]
            0x53027C45,  # lsr w5, w2, #2
            0xEB050084,  # subs x4, x4, x5
            0x540000A4,  # b.mi stop
            0xB9401066,  # ldr w6, [x3, #16]
            0x35000066,  # cbnz w6, stop
            0xF9000064,  # str x4, [x3]
            0xD65F03C0,  # ret
            0xF9400465,  # stop: ldr x5, [x3, #8]
            0xD61F00A0,  # br x5
        )
    ),
    block_unasked=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0x53027C45,  # lsr w5, w2, #2
            0xF9400064,  # again: ldr x4, [x3]
            0xEB050086,  # subs x6, x4, x5
            0x5400006B,  # b.lt slow
            0xF9000066,  # str x6, [x3]
            0xD65F03C0,  # ret
            0xF9001865,  # slow: str x5, [x3, #48]
            0xB6F802C4,  # tbz x4, #63, stop
            0x9240F884,  # and x4, x4, #0x7fffffffffffffff
            0xF9000064,  # str x4, [x3]
            0xB9401066,  # ldr w6, [x3, #16]
            0x35000246,  # cbnz w6, stop
            0xF9401C67,  # ldr x7, [x3, #56]
            0xF9402C68,  # ldr x8, [x3, #88]
            0xB5000168,  # cbnz x8, hit
            0xB4FFFE47,  # cbz x7, again
            0xEB05009F,  # cmp x4, x5
            0x5400014B,  # b.lt keep
            0xF9402469,  # ldr x9, [x3, #72]
            0xB4000187,  # next: cbz x7, none
            0xD10004E7,  # sub x7, x7, #1
            0xF867792A,  # ldr x10, [x9, x7, lsl #3]
            0xCB01014A,  # sub x10, x10, x1
            0xEB4A08BF,  # cmp x5, x10, lsr #2
            0x54FFFF69,  # b.ls next
            0xD2800026,  # hit: mov x6, #1
            0xF9002866,  # str x6, [x3, #80]
            0xB2410084,  # keep: orr x4, x4, #0x8000000000000000
            0xF9000064,  # str x4, [x3]
            0xF9400465,  # stop: ldr x5, [x3, #8]
            0xD61F00A0,  # br x5
            0xCB050084,  # none: sub x4, x4, x5
            0xB2410084,  # orr x4, x4, #0x8000000000000000
            0xF9000064,  # str x4, [x3]
            0xD65F03C0,  # ret
        )
    ),
    ask=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0xC85FFC01,  # again: ldaxr x1, [x0]
            0xB2410021,  # orr x1, x1, #0x8000000000000000
            0xC802FC01,  # stlxr w2, x1, [x0]
            0x35FFFFA2,  # cbnz w2, again
            0xD65F03C0,  # ret
        )
    ),
    move=b"".join(
        word.to_bytes(4, "little")
        for word in (
            0xB9400044,  # ldr w4, [x2]           crn
            0xB9400865,  # ldr w5, [x3, #8]
            0x1AC424A5,  # lsr w5, w5, w4
            0x37000065,  # tbnz w5, #0, wanted
            0x52800000,  # mov w0, #0
            0xD65F03C0,  # ret
            0xB9400845,  # wanted: ldr w5, [x2, #8]      op0
            0xB9400C46,  # ldr w6, [x2, #12]      op1
            0x2A050CC5,  # orr w5, w6, w5, lsl #3
            0x2A051084,  # orr w4, w4, w5, lsl #4
            0xB9400446,  # ldr w6, [x2, #4]       crm
            0x2A0410C4,  # orr w4, w6, w4, lsl #4
            0xB9401046,  # ldr w6, [x2, #16]      op2
            0x2A040CC2,  # orr w2, w6, w4, lsl #3
            0xF9400065,  # ldr x5, [x3]
            0xD61F00A0,  # br x5
        )
    ),
)
CODE: Final = MappingProxyType({"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64})
"""The stubs by the host's architecture. All of these hosts pass the first four arguments in registers."""
