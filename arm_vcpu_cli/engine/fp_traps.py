"""Enables traps of floating point and SIMD, which the engine's translator supports but the engine never activates.

The engine calls ``fp_exception_el`` for the Exception level that traps these registers, after every change of something
that it depends on: an exception, an exception return, a write of a system register. The function always returns "none".
It is redirected (``interposition``) to a stub that examines CPACR_EL1.FPEN and CPTR_EL2.TFP (DDI 0487, D1.5,
"Configurable instruction controls"). The engine handles traps of SVE by ZEN and TZ itself.

This changes what a guest sees, so it is not one of the ``levers``, and has no switch.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.throwaway import ThrowAwayEngine, throw_away_engine

_FUNCTION: Final = "fp_exception_el_aarch64"
_STUB: Final = bytes.fromhex(
    "31c0"  # xor eax, eax
    "83fe01"  # cmp esi, 1
    "7733"  # ja done
    "488b153a000000"  # mov rdx, [rip + cpacr]
    "8b1417"  # mov edx, [rdi + rdx]
    "c1ea14"  # shr edx, 20
    "83e203"  # and edx, 3
    "83fa03"  # cmp edx, 3
    "740c"  # je el2
    "83fa01"  # cmp edx, 1
    "7504"  # jne el1
    "85f6"  # test esi, esi
    "7503"  # jne el2
    "b001"  # el1: mov al, 1
    "c3"  # ret
    "488b1521000000"  # el2: mov rdx, [rip + cptr]
    "f7041700040000"  # test dword [rdi + rdx], 1024
    "7402"  # je done
    "b002"  # mov al, 2
    "c3"  # done: ret
)
"""(state, Exception level of the guest) -> Exception level, 0 for none. It is followed by the original function, and
the offsets of CPACR_EL1 and CPTR_EL2 in the state."""

_RAISE: Final = "raise_exception_aarch64"
_RAISE_STUB: Final = bytes.fromhex(
    "89d0"  # mov eax, edx
    "c1e81a"  # shr eax, 26
    "83f807"  # cmp eax, 7
    "740d"  # je fp
    "83f819"  # cmp eax, 25
    "750e"  # jne pass
    "81ca00000002"  # or edx, 0x2000000
    "eb06"  # jmp pass
    "81e20000f0ff"  # fp: and edx, 0xfff00000
    "ff2505000000"  # pass: jmp [rip + original]
)
"""(state, exception, syndrome, Exception level): the engine's syndrome of the trap has coprocessor 10, as for an
AArch32 instruction; in AArch64 these bits are RES0. The syndrome of an SVE trap lacks IL."""

_CPACR_EL1, _CPTR_EL2 = lookup("CPACR_EL1"), lookup("CPTR_EL2")
_FPEN_NONE: Final = 3 << 20
_TFP: Final = 1 << 10
_TRAP: Final = ExceptionClass.FP_ACCESS << EC_SHIFT | 0x3E0_0000
_SVC_SYNDROME: Final = ExceptionClass.SVC64 << EC_SHIFT | 0x200_0000
_FMOV_D0_X0, _SVC = 0x9E67_0000, 0xD400_0001


@cache
def take_fp_traps() -> bool:
    """Make the engines of this process take these traps from now on; return whether that is possible."""
    layout = known_layout()
    offsets = [register_address(0, layout, layout.sysregs[register]) for register in (_CPACR_EL1, _CPTR_EL2)]
    interposition = interpose({_FUNCTION: _STUB, _RAISE: _RAISE_STUB}, offsets, again=True)
    if interposition is None:
        return False
    if known_build() is None and not traps_work():
        interposition.undo()
        return False
    return True


def traps_work() -> bool:
    """Return whether an engine takes these traps as the registers demand, by experiment."""
    layout = known_layout()
    with throw_away_engine() as probe:
        return [
            _exception(probe, layout, cpacr, cptr) for cpacr, cptr in ((0, 0), (_FPEN_NONE, 0), (_FPEN_NONE, _TFP))
        ] == [(_TRAP, 1), (_SVC_SYNDROME, 1), (_TRAP, 2)]


def _exception(probe: ThrowAwayEngine, layout: StateLayout, cpacr: int, cptr: int) -> tuple[int, int]:
    """Return the (syndrome, target EL) of the exception caused by an instruction and an SVC."""
    probe.begin_at_el1(CPACR_EL1=cpacr, CPTR_EL2=cptr)
    state = memoryview(probe.run(_FMOV_D0_X0, _SVC)[0])
    syndrome, target_el = (state[at : at + 4].cast("I")[0] for at in (layout.syndrome, layout.target_el))
    return syndrome, target_el
