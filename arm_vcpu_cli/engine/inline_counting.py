"""Counts the instructions of a block inside its translated code, because a call would take as long as the block itself.

The engine translates a block hook into a call, followed by a check for a stop, which is another call. Most blocks have
three or four instructions. So the translator's function for calls, ``tcg_gen_callN``, is redirected to a stub. In place
of a call of the function that stands for the count, the stub emits a subtraction from the budget, with a call only if
the budget does not suffice; in place of the check that follows, it emits nothing. That call stops the engine by itself
(``stub_code``, ``used_up``), so the check is unnecessary. A stop requested in the middle of a block uses up the budget
too (``UnicornCore.stop``).

Blocks without the hook, and other engines in the process, keep the check. The numbers of the emitted operations differ
from version to version of the engine, so this supports known builds only.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.engine.interposition import Interposition, interpose
from arm_vcpu_cli.engine.unicorn_api import STOP_CHECK, library_function
from arm_vcpu_cli.record import Record


class Operations(Record):
    """The numbers of the translator's operations on 64 bits, and of the one that places a label."""

    load: int
    store: int
    subtract: int
    set_label: int


_CALL: Final = "tcg_gen_callN_aarch64"
_FUNCTIONS: Final = tuple(
    f"{name}_aarch64"
    for name in (
        "tcg_temp_new_internal",
        "tcg_gen_shri_i32",
        "tcg_gen_addi_i64",
        "tcg_gen_extu_i32_i64",
        "tcg_gen_op1",
        "tcg_gen_op3",
        "gen_new_label",
        "tcg_gen_brcond_i64",
    )
)
_STUB: Final = bytes.fromhex(
    "483b35b9010000"  # cmp rsi, [rip + check]
    "740f"  # je is_check
    "483b35b8010000"  # cmp rsi, [rip + counter]
    "741b"  # je count
    "ff25a0010000"  # pass: jmp [rip + original]
    "483b3db1010000"  # is_check: cmp rdi, [rip + begun]
    "75f1"  # jne pass
    "48c705a401000000000000"  # mov qword [rip + begun], 0
    "c3"  # ret
    "53"  # count: push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4155"  # push r13
    "4156"  # push r14
    "4157"  # push r15
    "4883ec28"  # sub rsp, 40
    "4889fb"  # mov rbx, rdi
    "4d89c4"  # mov r12, r8
    "48893d88010000"  # mov [rip + begun], rdi
    "31f6"  # xor esi, esi
    "ba01000000"  # mov edx, 1
    "ff15a3010000"  # call [rip + temp_new]
    "4989c5"  # mov r13, rax
    "4889df"  # mov rdi, rbx
    "4c89ee"  # mov rsi, r13
    "4829de"  # sub rsi, rbx
    "498b542410"  # mov rdx, [r12 + 16]
    "4829da"  # sub rdx, rbx
    "b902000000"  # mov ecx, 2
    "ff158c010000"  # call [rip + shri]
    "4889df"  # mov rdi, rbx
    "be01000000"  # mov esi, 1
    "ba01000000"  # mov edx, 1
    "ff1571010000"  # call [rip + temp_new]
    "4989c6"  # mov r14, rax
    "4889df"  # mov rdi, rbx
    "4c89f6"  # mov rsi, r14
    "4829de"  # sub rsi, rbx
    "498b542418"  # mov rdx, [r12 + 24]
    "4829da"  # sub rdx, rbx
    "31c9"  # xor ecx, ecx
    "ff1565010000"  # call [rip + addi]
    "4889df"  # mov rdi, rbx
    "be01000000"  # mov esi, 1
    "31d2"  # xor edx, edx
    "ff1545010000"  # call [rip + temp_new]
    "4889c5"  # mov rbp, rax
    "4889df"  # mov rdi, rbx
    "8b3519010000"  # mov esi, [rip + op_ld]
    "4889ea"  # mov rdx, rbp
    "4c89f1"  # mov rcx, r14
    "4531c0"  # xor r8d, r8d
    "ff1552010000"  # call [rip + op3]
    "4889df"  # mov rdi, rbx
    "be01000000"  # mov esi, 1
    "31d2"  # xor edx, edx
    "ff151a010000"  # call [rip + temp_new]
    "4989c7"  # mov r15, rax
    "4889df"  # mov rdi, rbx
    "4c89fe"  # mov rsi, r15
    "4829de"  # sub rsi, rbx
    "4c89ea"  # mov rdx, r13
    "4829da"  # sub rdx, rbx
    "ff151a010000"  # call [rip + extu]
    "4889df"  # mov rdi, rbx
    "be01000000"  # mov esi, 1
    "31d2"  # xor edx, edx
    "ff15f2000000"  # call [rip + temp_new]
    "4989c4"  # mov r12, rax
    "4889df"  # mov rdi, rbx
    "8b35d6000000"  # mov esi, [rip + op_sub]
    "4c89e2"  # mov rdx, r12
    "4889e9"  # mov rcx, rbp
    "4d89f8"  # mov r8, r15
    "ff15ff000000"  # call [rip + op3]
    "4889df"  # mov rdi, rbx
    "8b35b6000000"  # mov esi, [rip + op_st]
    "4c89e2"  # mov rdx, r12
    "4c89f1"  # mov rcx, r14
    "4531c0"  # xor r8d, r8d
    "ff15e7000000"  # call [rip + op3]
    "4889df"  # mov rdi, rbx
    "ff15e6000000"  # call [rip + new_label]
    "4989c4"  # mov r12, rax
    "4889df"  # mov rdi, rbx
    "be03000000"  # mov esi, 3
    "4889ea"  # mov rdx, rbp
    "4829da"  # sub rdx, rbx
    "4c89f9"  # mov rcx, r15
    "4829d9"  # sub rcx, rbx
    "4d89e0"  # mov r8, r12
    "ff15ce000000"  # call [rip + brcond]
    "4c893424"  # mov [rsp], r14
    "4c89742408"  # mov [rsp + 8], r14
    "4c896c2410"  # mov [rsp + 16], r13
    "4c89742418"  # mov [rsp + 24], r14
    "4889df"  # mov rdi, rbx
    "488b3549000000"  # mov rsi, [rip + counter]
    "31d2"  # xor edx, edx
    "b904000000"  # mov ecx, 4
    "4989e0"  # mov r8, rsp
    "ff1529000000"  # call [rip + original]
    "41800c2401"  # or byte [r12], 1
    "4889df"  # mov rdi, rbx
    "8b3553000000"  # mov esi, [rip + op_set_label]
    "4c89e2"  # mov rdx, r12
    "ff1572000000"  # call [rip + op1]
    "4883c428"  # add rsp, 40
    "415f"  # pop r15
    "415e"  # pop r14
    "415d"  # pop r13
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # ret
)
"""(translator, function, result, number of arguments, arguments); x86-64, System V. These words follow at the next
multiple of 8: the original function, the check, the function that stands for the count, the translator that has begun a
block with it, the numbers of :class:`Operations`, and the functions called.

For the arguments (engine, address, size, words), which unlike copies do not survive a branch, it emits: ``n = size >>
2; w = words; b = load(w); store(w, b - n); if b < n: call(w, w, n, w)``. The size is inserted when the block is
complete, and expressions of it are constants by then."""


def interpose_counting(counter: int, operations: Operations) -> Interposition | None:
    """Count in translated code if the function at ``counter`` is the block hook; return None if that is impossible."""
    check, *functions = (library_function(name) for name in (STOP_CHECK, *_FUNCTIONS))
    if check is None:
        return None
    called = [each for each in functions if each is not None]
    if len(called) != len(_FUNCTIONS):
        return None
    numbers = operations.load, operations.store, operations.subtract, operations.set_label
    return interpose({_CALL: _STUB}, (check, counter, 0, *numbers, *called), again=True)
