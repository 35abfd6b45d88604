"""Hides system registers of the engine that the guest's CPU does not have, or that the engine does not really
implement.

The engine looks up each register in a table, with ``get_arm_cp_reginfo``, when it translates an instruction and when it
is opened. The function is redirected (``interposition``) to a stub that returns a register without any access in place
of the ones below: MRS and MSR of them are undefined, as for any register that the engine lacks, and the handler of
those exceptions decides. This costs nothing while a guest executes.

It changes what a guest sees, so it is not one of the ``levers``, and has no switch.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, encode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, undefined_esr
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.throwaway import throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import keep

HIDDEN: Final = (
    # Registers of Secure EL1, and of features that are not announced: undefined.
    *(lookup(f"CNTPS_{name}_EL1") for name in ("TVAL", "CTL", "CVAL")),
    *(lookup(f"LOR{name}_EL1") for name in ("SA", "EA", "N", "C", "ID")),
    # An encoding of AArch32 that the engine uses for the AArch64 register, whose own is missing.
    SysReg(2, 0, 0, 1, 0),
    # Reads of these leave the general register as it is.
    lookup("OSDLR_EL1"),
    lookup("MDCCINT_EL1"),
    # The register reads as zero.
    SysReg(3, 1, 15, 3, 0),
)

_FUNCTION: Final = "get_arm_cp_reginfo_aarch64"
_STUB: Final = bytes.fromhex(
    "0fbae61c"  # bt esi, 28
    "7317"  # jnc pass
    "0fb7c6"  # movzx eax, si
    "488b1520000000"  # mov rdx, [rip + bits]
    "0fa302"  # bt [rdx], eax
    "7308"  # jnc pass
    "488b051c000000"  # mov rax, [rip + register]
    "c3"  # ret
    "ff2505000000"  # pass: jmp [rip + original]
)
"""(table, key) -> register. Bit 28 of a key means AArch64, the lower half is op0 to op2. It is followed by the original
function, and the addresses of a bitmap of op0 to op2 and of the register without any access."""
_ENCODINGS: Final = 1 << 16
_REGISTER_SIZE: Final = 256
_TYPE_PLACE: Final = 20
_CONSTANT_WITHOUT_STATE: Final = 0x82
"""The type of a register with a constant value (zero here) and no place in the state."""
_SVC: Final = 0xD400_0001
_SVC_SYNDROME: Final = ExceptionClass.SVC64 << EC_SHIFT | 0x200_0000
_VBAR_EL1: Final = lookup("VBAR_EL1")


@cache
def hide_registers() -> bool:
    """Make the engines of this process hide the registers from now on; return whether that is possible."""
    bits = (ctypes.c_uint8 * (_ENCODINGS // 8))()
    for hidden in HIDDEN:
        bits[hidden.packed // 8] |= 1 << hidden.packed % 8
    register = (ctypes.c_uint8 * _REGISTER_SIZE)()
    register[_TYPE_PLACE] = _CONSTANT_WITHOUT_STATE
    interposition = interpose({_FUNCTION: _STUB}, [ctypes.addressof(bits), ctypes.addressof(register)])
    if interposition is None:
        return False
    for kept in (bits, register):
        keep(kept)
    if known_build() is None and not hiding_works():
        interposition.undo()
        return False
    return True


def hiding_works() -> bool:
    """Return whether an engine hides these registers and no others, by experiment."""
    layout = known_layout()
    with throw_away_engine() as probe:

        def syndrome(reg: SysReg) -> int:
            probe.begin_at_el1()
            state = memoryview(probe.run(encode_system_move(SystemMove(reg, 0, True)), _SVC)[0])
            return int(state[layout.syndrome : layout.syndrome + 4].cast("I")[0])

        return all(syndrome(hidden) == undefined_esr() for hidden in HIDDEN) and (syndrome(_VBAR_EL1) == _SVC_SYNDROME)
