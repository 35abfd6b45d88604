"""The machine code of ``watchpoint_stubs``, x86-64 with the System V calling convention.

Each stub is followed, at the next multiple of 8, by: the function that it replaces, the address of the table,
``cpu_restore_state``, ``raise_exception``, ``arm_debug_check_watchpoint``, ``tlb_flush`` and
``hw_breakpoint_update_all``.
"""

from __future__ import annotations

from typing import Final

MATCHES: Final = bytes.fromhex(
    "4c8b15a1000000"  # mov r10, [rip + table]
    "498b02"  # next: mov rax, [r10]
    "4885c0"  # test rax, rax
    "0f848a000000"  # je none
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe3"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "4d89d3"  # mov r11, r10
    "48c1e608"  # shl rsi, 8
    "48c1fe08"  # sar rsi, 8
    "488d5416ff"  # lea rdx, [rsi + rdx - 1]
    "418b0a"  # mov ecx, [r10]
    "4981c2c0000000"  # add r10, 192
    "83e901"  # again: sub ecx, 1
    "7817"  # js guests
    "493b12"  # cmp rdx, [r10]
    "720c"  # jb other
    "493b7208"  # cmp rsi, [r10 + 8]
    "7706"  # ja other
    "b803000000"  # mov eax, 3
    "c3"  # ret
    "4983c220"  # other: add r10, 32
    "ebe4"  # jmp again
    "4983bb9800000000"  # guests: cmp qword [r11 + 152], 0
    "7435"  # je none
    "4981c3c0100000"  # add r11, 4288
    "b911000000"  # mov ecx, 17
    "ffc9"  # more: dec ecx
    "7425"  # je none
    "498b4308"  # mov rax, [r11 + 8]
    "4d8b03"  # mov r8, [r11]
    "4983c328"  # add r11, 40
    "4885c0"  # test rax, rax
    "74ec"  # je more
    "4c39c2"  # cmp rdx, r8
    "72e7"  # jb more
    "498d4400ff"  # lea rax, [r8 + rax - 1]
    "4839c6"  # cmp rsi, rax
    "77dd"  # ja more
    "b803000000"  # mov eax, 3
    "c3"  # ret
    "31c0"  # none: xor eax, eax
    "c3"  # ret
)
"""(CPU, address, size) -> 3 if a range or a guest's watchpoint overlaps: loads and stores must be checked. The top byte
of an address may be a tag; otherwise it repeats bit 55."""

CHECK: Final = bytes.fromhex(
    "4d85c9"  # test r9, r9
    "0f84b8020000"  # je none
    "4c8b15c0020000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "0f84a5020000"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe0"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "45898290000000"  # mov [r10 + 144], r8d
    "41898a94000000"  # mov [r10 + 148], ecx
    "498b4208"  # mov rax, [r10 + 8]
    "8b00"  # mov eax, [rax]
    "c1e802"  # shr eax, 2
    "83e003"  # and eax, 3
    "8d0c00"  # lea ecx, [rax + rax]
    "41d3e0"  # shl r8d, cl
    "53"  # push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4155"  # push r13
    "4156"  # push r14
    "4157"  # push r15
    "4883ec08"  # sub rsp, 8
    "4889fd"  # mov rbp, rdi
    "48c1e608"  # shl rsi, 8
    "48c1fe08"  # sar rsi, 8
    "4989f4"  # mov r12, rsi
    "4c8d6c16ff"  # lea r13, [rsi + rdx - 1]
    "4d89ce"  # mov r14, r9
    "458b3a"  # mov r15d, [r10]
    "4c89d3"  # mov rbx, r10
    "4981c2c0000000"  # add r10, 192
    "4183ef01"  # again: sub r15d, 1
    "0f885c010000"  # js out
    "4d3b2a"  # cmp r13, [r10]
    "0f824a010000"  # jb other
    "4d3b6208"  # cmp r12, [r10 + 8]
    "0f8740010000"  # ja other
    "45854210"  # test r8d, [r10 + 16]
    "0f8436010000"  # je other
    "488b93b0000000"  # mov rdx, [rbx + 176]
    "8b0a"  # mov ecx, [rdx]
    "898bb8000000"  # mov [rbx + 184], ecx
    "8b4a10"  # mov ecx, [rdx + 16]
    "898bbc000000"  # mov [rbx + 188], ecx
    "48837b2800"  # cmp qword [rbx + 40], 0
    "0f84a5000000"  # je hit
    "4c894378"  # mov [rbx + 120], r8
    "48898380000000"  # mov [rbx + 128], rax
    "4152"  # push r10
    "4153"  # push r11
    "4889ef"  # mov rdi, rbp
    "4c89f6"  # mov rsi, r14
    "31d2"  # xor edx, edx
    "ff15ec010000"  # call [rip + restore]
    "415b"  # pop r11
    "415a"  # pop r10
    "488b93b0000000"  # mov rdx, [rbx + 176]
    "8b8bb8000000"  # mov ecx, [rbx + 184]
    "890a"  # mov [rdx], ecx
    "4c8b4378"  # mov r8, [rbx + 120]
    "488b5318"  # mov rdx, [rbx + 24]
    "488b12"  # mov rdx, [rdx]
    "483b5330"  # cmp rdx, [rbx + 48]
    "7555"  # jne stale
    "488b4b20"  # mov rcx, [rbx + 32]
    "488b01"  # mov rax, [rcx]
    "480fbaf03f"  # btr rax, 63
    "482b4118"  # sub rax, [rcx + 24]
    "48837b2801"  # cmp qword [rbx + 40], 1
    "7408"  # je learn
    "483b4338"  # cmp rax, [rbx + 56]
    "7538"  # jne stale
    "eb1c"  # jmp pass
    "488b5338"  # learn: mov rdx, [rbx + 56]
    "4829c2"  # sub rdx, rax
    "4881fa00040000"  # cmp rdx, 1024
    "7726"  # ja stale
    "48894338"  # mov [rbx + 56], rax
    "48c7432802000000"  # mov qword [rbx + 40], 2
    "4883bb8800000000"  # pass: cmp qword [rbx + 136], 0
    "7407"  # je passed
    "41837a1800"  # cmp dword [r10 + 24], 0
    "7409"  # je stale
    "488b8380000000"  # passed: mov rax, [rbx + 128]
    "eb7d"  # jmp other
    "48c7432800000000"  # stale: mov qword [rbx + 40], 0
    "488b8380000000"  # mov rax, [rbx + 128]
    "4c896348"  # hit: mov [rbx + 72], r12
    "4c894358"  # mov [rbx + 88], r8
    "4c895360"  # mov [rbx + 96], r10
    "4d29e5"  # sub r13, r12
    "49ffc5"  # inc r13
    "4c896b50"  # mov [rbx + 80], r13
    "be1e000000"  # mov esi, 30
    "b902000000"  # mov ecx, 2
    "eb00"  # jmp raise
    "4489c2"  # raise: mov edx, r8d
    "81e2aa000000"  # and edx, 0xaa
    "f7da"  # neg edx
    "19d2"  # sbb edx, edx
    "83e240"  # and edx, 0x40
    "83c034"  # add eax, 0x34
    "c1e01a"  # shl eax, 26
    "448dac0222000002"  # lea r13d, [rdx + rax + 0x2000022]
    "4189f4"  # mov r12d, esi
    "4c897368"  # mov [rbx + 104], r14
    "89cb"  # mov ebx, ecx
    "4d89df"  # mov r15, r11
    "4889ef"  # mov rdi, rbp
    "4c89f6"  # mov rsi, r14
    "ba01000000"  # mov edx, 1
    "ff1507010000"  # call [rip + restore]
    "4c89ff"  # mov rdi, r15
    "4489e6"  # mov esi, r12d
    "4489ea"  # mov edx, r13d
    "89d9"  # mov ecx, ebx
    "ff15fe000000"  # call [rip + raise_it]
    "4983c220"  # other: add r10, 32
    "e99afeffff"  # jmp again
    "4883bb9800000000"  # out: cmp qword [rbx + 152], 0
    "0f84ba000000"  # je leave
    "488b4310"  # mov rax, [rbx + 16]
    "f60002"  # test byte [rax], 2
    "0f85ad000000"  # jne leave
    "4c8d93c0100000"  # lea r10, [rbx + 4288]
    "41bf11000000"  # mov r15d, 17
    "4183ef01"  # more: sub r15d, 1
    "0f8496000000"  # je leave
    "498b4208"  # mov rax, [r10 + 8]
    "4885c0"  # test rax, rax
    "745a"  # je no
    "498b12"  # mov rdx, [r10]
    "4939d5"  # cmp r13, rdx
    "7252"  # jb no
    "488d4402ff"  # lea rax, [rdx + rax - 1]
    "4939c4"  # cmp r12, rax
    "7748"  # ja no
    "8b8390000000"  # mov eax, [rbx + 144]
    "4185421c"  # test [r10 + 28], eax
    "743c"  # je no
    "c1e006"  # shl eax, 6
    "4109421c"  # or [r10 + 28], eax
    "4c39e2"  # cmp rdx, r12
    "490f42d4"  # cmovb rdx, r12
    "49895210"  # mov [r10 + 16], rdx
    "8b8394000000"  # mov eax, [rbx + 148]
    "41894218"  # mov [r10 + 24], eax
    "4152"  # push r10
    "4153"  # push r11
    "4889ef"  # mov rdi, rbp
    "4c89d6"  # mov rsi, r10
    "ff1578000000"  # call [rip + checks]
    "415b"  # pop r11
    "415a"  # pop r10
    "4181621c3fffffff"  # and dword [r10 + 28], 0xffffff3f
    "84c0"  # test al, al
    "7506"  # jne guest_hit
    "4983c228"  # no: add r10, 40
    "eb8d"  # jmp more
    "448b8390000000"  # guest_hit: mov r8d, [rbx + 144]
    "498b5210"  # mov rdx, [r10 + 16]
    "488b4b40"  # mov rcx, [rbx + 64]
    "488911"  # mov [rcx], rdx
    "488b4308"  # mov rax, [rbx + 8]
    "8b00"  # mov eax, [rax]
    "c1e802"  # shr eax, 2
    "83e003"  # and eax, 3
    "be04000000"  # mov esi, 4
    "b901000000"  # mov ecx, 1
    "e9e3feffff"  # jmp raise
    "4883c408"  # leave: add rsp, 8
    "415f"  # pop r15
    "415e"  # pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # none: ret
)
"""(CPU, address, size, attributes, 1 for a load or 2 for a store, address in the translated code).

For a range: record the access, and raise the exception ``HIT`` to EL2. For a guest's watchpoint, unless the OS Lock is
locked: have the engine check whether it is enabled at the guest's Exception level, set the fault address, and raise a
data abort to EL1. Both have the syndrome of a watchpoint."""

INSERT: Final = bytes.fromhex(
    "4c8b1581000000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "7469"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe4"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "49c7829800000001000000"  # mov qword [r10 + 152], 1
    "49c782a000000001000000"  # mov qword [r10 + 160], 1
    "498d82c0100000"  # lea rax, [r10 + 4288]
    "4c8d9880020000"  # lea r11, [rax + 640]
    "4c39d8"  # free: cmp rax, r11
    "7428"  # je none
    "4883780800"  # cmp qword [rax + 8], 0
    "7406"  # je take
    "4883c028"  # add rax, 40
    "ebee"  # jmp free
    "48c1e608"  # take: shl rsi, 8
    "48c1fe08"  # sar rsi, 8
    "488930"  # mov [rax], rsi
    "48895008"  # mov [rax + 8], rdx
    "89481c"  # mov [rax + 28], ecx
    "498900"  # mov [r8], rax
    "ff2530000000"  # jmp [rip + flush]
    "c3"  # none: ret
)
"""(CPU, address, size, flags, address for the watchpoint's address): take a free one, and empty the TLB."""

REMOVE: Final = bytes.fromhex(
    "48c7460800000000"  # mov qword [rsi + 8], 0
    "c3"  # ret
)
"""(CPU, watchpoint)"""

REMOVE_ALL: Final = bytes.fromhex(
    "4c8b1541000000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "7430"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe4"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "498dbac0100000"  # lea rdi, [r10 + 4288]
    "31c0"  # xor eax, eax
    "49898298000000"  # mov [r10 + 152], rax
    "b950000000"  # mov ecx, 80
    "f348ab"  # rep stosq
    "c3"  # none: ret
)
"""(CPU, kinds; always those of the guest)"""

BREAKPOINT_INSERT: Final = bytes.fromhex(
    "4c8b1539000000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "7423"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe4"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "49c782a000000001000000"  # mov qword [r10 + 160], 1
    "ff2500000000"  # none: jmp [rip + original]
)
"""(CPU, address, flags, address for the breakpoint's address): record that there is one."""

BREAKPOINT_UPDATE: Final = bytes.fromhex(
    "4c8b1559000000"  # mov r10, [rip + table]
    "4d8b1a"  # next: mov r11, [r10]
    "4d85db"  # test r11, r11
    "7443"  # je none
    "4c89d8"  # mov rax, r11
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe4"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "4983baa800000000"  # cmp qword [r10 + 168], 0
    "7521"  # jne none
    "49c782a800000001000000"  # mov qword [r10 + 168], 1
    "4152"  # push r10
    "ff1544000000"  # call [rip + update_all]
    "415a"  # pop r10
    "49c782a800000000000000"  # mov qword [r10 + 168], 0
    "c3"  # ret
    "ff2500000000"  # none: jmp [rip + original]
)
"""(CPU, number): update all, because the addresses of breakpoints in a saved state are unreliable."""

RESTORE: Final = bytes.fromhex(
    "4c8b1531000000"  # mov r10, [rip + table]
    "498b02"  # next: mov rax, [r10]
    "4885c0"  # test rax, rax
    "7419"  # je pass
    "4829f8"  # sub rax, rdi
    "483d00000100"  # cmp rax, 0x10000
    "7206"  # jb found
    "4983c210"  # add r10, 16
    "ebe7"  # jmp next
    "4d8b5208"  # found: mov r10, [r10 + 8]
    "49897268"  # mov [r10 + 104], rsi
    "ff2502000000"  # pass: jmp [rip + original]
)
"""(CPU, address in the translated code, whether it is left): record the address."""

LOOKUP: Final = bytes.fromhex(
    "56"  # push rsi
    "ff1529000000"  # call [rip + original]
    "5e"  # pop rsi
    "4c8b1529000000"  # mov r10, [rip + table]
    "49833a00"  # next: cmp qword [r10], 0
    "7417"  # je none
    "498b4a08"  # mov rcx, [r10 + 8]
    "4983c210"  # add r10, 16
    "4885c9"  # test rcx, rcx
    "74ed"  # je next
    "48397168"  # cmp [rcx + 104], rsi
    "75e7"  # jne next
    "48894170"  # mov [rcx + 112], rax
    "c3"  # none: ret
)
"""(translator, address in the translated code) -> block. Record the block if the address was recorded."""
