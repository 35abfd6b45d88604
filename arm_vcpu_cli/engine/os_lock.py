"""The OS Lock blocks breakpoints and software step, which the engine takes whether it is set or not.

DDI 0487, D2.4 ("Enabling debug exceptions"): while OSLSR_EL1.OSLK is 1, no debug exception is taken but those of BRK.
The engine looks for breakpoints by ``helper_check_breakpoints``, and computes whether software step is active in
``arm_rebuild_hflags`` and ``helper_rebuild_hflags_a64``. While the lock is set, the stubs do not call the first, and
call the others with SS of MDSCR_EL1 cleared. (Watchpoints are those of ``watchpoint_stubs``, which heed the lock.)
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.replaced_helpers import replace_helpers
from arm_vcpu_cli.engine.throwaway import throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import keep

_CHECK, _HELPER, _RECOMPUTE = (
    f"{name}_aarch64" for name in ("helper_check_breakpoints", "helper_rebuild_hflags_a64", "arm_rebuild_hflags")
)
_STUB: Final = bytes.fromhex(
    "488b0541000000"  # mov rax, [rip + os_lock]
    "f6040702"  # test byte [rdi + rax], 2
    "7506"  # jne locked
    "ff252d000000"  # jmp [rip + original]
    "53"  # locked: push rbx
    "55"  # push rbp
    "4154"  # push r12
    "4889fb"  # mov rbx, rdi
    "4c8b252f000000"  # mov r12, [rip + mdscr]
    "428b2c27"  # mov ebp, [rdi + r12]
    "42812427fe7fffff"  # and dword [rdi + r12], 0xffff7ffe
    "ff150d000000"  # call [rip + original]
    "42892c23"  # mov [rbx + r12], ebp
    "415c"  # pop r12
    "5d"  # pop rbp
    "5b"  # pop rbx
    "c3"  # ret
)
"""(state, ...), x86-64, System V."""
_CHECK_STUB: Final = bytes.fromhex(
    "488b0529000000"  # mov rax, [rip + os_lock]
    "f6040702"  # test byte [rdi + rax], 2
    "7516"  # jne blocked
    "53"  # push rbx
    "488b1d2b000000"  # mov rbx, [rip + hit]
    "48893b"  # mov [rbx], rdi
    "ff150a000000"  # call [rip + original]
    "48832300"  # and qword [rbx], 0
    "5b"  # pop rbx
    "c3"  # blocked: ret
)
"""(state). The original does not return if there is a breakpoint.

Each stub is followed by the original function, the offsets in the state of OSLSR_EL1 and MDSCR_EL1, and the address of
:func:`breakpoint_hit`."""

_UNMASK_DEBUG, _NOP, _SVC = 0xD503_48FF, 0xD503_201F, 0xD400_0001
_MDSCR_KDE_SS: Final = 1 << 13 | 1
_SVC_SYNDROME, _STEP = 0x5600_0000, 0xCE00_0022


@cache
def breakpoint_hit() -> ctypes.c_uint64:
    """Return a word with the address of the state of the engine that has just found a breakpoint of its guest, else 0.
    Its reader clears it."""
    word = ctypes.c_uint64()
    keep(word)
    return word


@cache
def heed_os_lock() -> bool:
    """Make the engines of this process heed it from now on; return whether that is possible."""
    layout = known_layout()
    if not layout.os_lock:
        return False
    places = layout.os_lock, layout.sysregs[lookup("MDSCR_EL1")]
    offsets = [register_address(0, layout, each) for each in places]
    words = *offsets, ctypes.addressof(breakpoint_hit())
    helpers = replace_helpers({_CHECK: _CHECK_STUB, _HELPER: _STUB}, *words)
    if helpers is None:
        return False
    functions = interpose(dict.fromkeys((_HELPER, _RECOMPUTE), _STUB), words)
    if functions is not None and (known_build() is not None or lock_blocks_steps()):
        return True
    if functions is not None:
        functions.undo()
    helpers.undo()
    return False


def lock_blocks_steps() -> bool:
    """Return whether an engine takes a software step with the lock clear, and none with it set; by experiment."""
    layout = known_layout()
    with throw_away_engine() as probe:

        def syndrome(locked: int) -> int:
            probe.begin_at_el1(OSLAR_EL1=locked, MDSCR_EL1=_MDSCR_KDE_SS)
            state = memoryview(probe.run(_UNMASK_DEBUG, _NOP, _SVC)[0])
            return int(state[layout.syndrome : layout.syndrome + 4].cast("I")[0])

        return [syndrome(locked) for locked in (0, 1)] == [_STEP, _SVC_SYNDROME]
