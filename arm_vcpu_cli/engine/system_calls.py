"""Lets the engine take system calls to EL1 by itself.

The engine calls a hook for every exception, and leaves entering the vector to it. For most of them that is a call of
Python. But a guest with programs makes system calls all the time, and each only needs the architectural exception entry
(DDI 0487, D1.3, "Exception entry"). The library still has its own function that enters a vector, unused, and a hook in
machine code calls it for SVC from AArch64 to EL1, unless an observer needs the call. The function clears the condition
flags, which the architecture preserves, so the hook restores them. It uses VBAR_EL1 as written: if one of its low bits,
which are RES0, is set, Python takes the exception.

Where this is impossible (``levers``), Python takes all exceptions.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.host_cpu import is_linux, is_x86
from arm_vcpu_cli.engine.interposition import executable
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.refusals import register_address, state_place
from arm_vcpu_cli.engine.unicorn_api import Engine, library_function

_ENTER: Final = "arm_cpu_do_interrupt_aarch64"
_FLAG_SIZE: Final = 4
_HOOK: Final = bytes.fromhex(
    "83fe02"  # cmp esi, 2
    "7555"  # jne ask
    "48833a00"  # cmp qword [rdx], 0
    "744f"  # je ask
    "488b4210"  # mov rax, [rdx + 16]
    "833801"  # cmp dword [rax], 1
    "7546"  # jne ask
    "488b4218"  # mov rax, [rdx + 24]
    "8b00"  # mov eax, [rax]
    "c1e81a"  # shr eax, 26
    "83f815"  # cmp eax, 21
    "7538"  # jne ask
    "488b4220"  # mov rax, [rdx + 32]
    "f700ff070000"  # test dword [rax], 0x7ff
    "752c"  # jne ask
    "4883ec18"  # sub rsp, 24
    "488b4228"  # mov rax, [rdx + 40]
    "0f1000"  # movups xmm0, [rax]
    "0f110424"  # movups [rsp], xmm0
    "4889442410"  # mov [rsp + 16], rax
    "488b7a08"  # mov rdi, [rdx + 8]
    "ff5230"  # call [rdx + 48]
    "488b442410"  # mov rax, [rsp + 16]
    "0f100424"  # movups xmm0, [rsp]
    "0f1100"  # movups [rax], xmm0
    "4883c418"  # add rsp, 24
    "c3"  # ret
    "ff6238"  # ask: jmp [rdx + 56]
)
"""(engine, exception, words); x86-64, System V. 2 is the engine's number of SVC, 21 is EC 0x15."""


class CallWords(ctypes.Structure):
    """The words of the hook. ``alone``: nonzero if nothing observes system calls. ``cpu``: the engine's CPU. The next
    four are the places of the exception's target Exception level, the syndrome, VBAR_EL1, and the condition flags.
    ``enter``: the function that enters a vector. ``ask``: the hook for all other exceptions."""

    _fields_ = (
        ("alone", ctypes.c_int64),
        ("cpu", ctypes.c_void_p),
        ("target_el", ctypes.c_void_p),
        ("syndrome", ctypes.c_void_p),
        ("vectors", ctypes.c_void_p),
        ("flags", ctypes.c_void_p),
        ("enter", ctypes.c_void_p),
        ("ask", ctypes.c_void_p),
    )


@cache
def hook_address() -> int | None:
    """Return the address of the hook in this process; None if it cannot be used here."""
    if not (is_linux() and is_x86()) or known_build() is None or library_function(_ENTER) is None:
        return None
    try:
        return executable([_HOOK])[0]
    except OSError:
        return None


def call_words(engine: Engine, layout: StateLayout) -> CallWords | None:
    """Return the words for one engine, without a hook yet; None if its state does not have the expected layout."""
    place, enter = state_place(), library_function(_ENTER)
    flags = sorted((layout.n, layout.z, layout.c, layout.v))
    if place is None or enter is None or flags != list(range(flags[0], flags[0] + 4 * _FLAG_SIZE, _FLAG_SIZE)):
        return None
    pointer, distance = place
    cpu = ctypes.c_uint64.from_address(engine.structure + pointer).value

    def at(offset: int) -> int:
        return register_address(cpu + distance, layout, offset)

    vectors = layout.sysregs[lookup("VBAR_EL1")]
    return CallWords(0, cpu, at(layout.target_el), at(layout.syndrome), at(vectors), at(flags[0]), enter)
