"""Adds the event register, and the traps of WFE that depend on it, which the engine lacks.

DDI 0487, D1.6 ("Wait for Event") and D1.5 ("Traps to EL1 of EL0 execution of WFE", "Traps to EL2"): SEV, SEVL and every
exception return set the event register. A WFE that finds it set clears it and continues. Only a WFE that would wait is
trapped: at EL0 to EL1 unless SCTLR_EL1.nTWE is set, and otherwise to EL2 if HCR_EL2.TWE is set.

The register is a word of the engine's state that has no use in AArch64, so each vCPU has its own, saved and restored
with the other registers. Events from other vCPUs need no code: a vCPU gets its turn only through a return from EL2,
which sets its register (``residency``).

``cpu_ldl_code``
    reads the words to translate. The stub returns YIELD for SEV and SEVL, which the translator ignores, and NOP for
    YIELD, which in the engine only takes time.

``helper_yield``, ``helper_wfe``
    are called by translated code for YIELD and WFE. The stubs set and test the event register; both continue with the
    engine's own function, which leaves the translated code.

``raise_exception``
    The stub sets the event register for exceptions to EL2, on behalf of the return from there, and for those with EC 0,
    which may be traps to EL2 that the engine does not implement. ``pstate_stubs`` handles the guest's own exception
    returns.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import interpose
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.replaced_helpers import replace_helpers
from arm_vcpu_cli.engine.throwaway import CODE_PA, HCR_RW, throw_away_engine
from arm_vcpu_cli.engine.unicorn_api import library_function

_READ_CODE, _RAISE = "cpu_ldl_code_aarch64", "raise_exception_aarch64"
_YIELD, _WFE = "helper_yield_aarch64", "helper_wfe_aarch64"
_READ_CODE_STUB: Final = bytes.fromhex(
    "4883ec08"  # sub rsp, 8
    "ff1526000000"  # call [rip + original]
    "4883c408"  # add rsp, 8
    "3d3f2003d5"  # cmp eax, 0xd503203f (YIELD)
    "740f"  # je yield
    "3d9f2003d5"  # cmp eax, 0xd503209f (SEV)
    "740e"  # je event
    "3dbf2003d5"  # cmp eax, 0xd50320bf (SEVL)
    "7407"  # je event
    "c3"  # ret
    "b81f2003d5"  # yield: mov eax, 0xd503201f (NOP)
    "c3"  # ret
    "b83f2003d5"  # event: mov eax, 0xd503203f
    "c3"  # ret
)
"""(state, address) -> the word there; x86-64, System V. It is followed by the original function."""
_RAISE_STUB: Final = bytes.fromhex(
    "89d0"  # mov eax, edx
    "c1e81a"  # shr eax, 26
    "7405"  # je el2
    "83f902"  # cmp ecx, 2
    "750e"  # jne pass
    "488b0515000000"  # el2: mov rax, [rip + event]
    "c7040701000000"  # mov dword [rdi + rax], 1
    "ff2500000000"  # pass: jmp [rip + original]
)
"""(state, exception, syndrome, Exception level). It is followed by the original function and the offset of the event
register in the state."""
_YIELD_STUB: Final = bytes.fromhex(
    "488b0529000000"  # mov rax, [rip + event]
    "c7040701000000"  # mov dword [rdi + rax], 1
    "ff250c000000"  # jmp [rip + go_on]
)
_WFE_STUB: Final = bytes.fromhex(
    "488b0591000000"  # mov rax, [rip + event]
    "31d2"  # xor edx, edx
    "871407"  # xchg edx, [rdi + rax]
    "85d2"  # test edx, edx
    "7539"  # jne there
    "488b0589000000"  # mov rax, [rip + pstate]
    "f604070c"  # test byte [rdi + rax], 12
    "7513"  # jne el1
    "488b0584000000"  # mov rax, [rip + sctlr]
    "b901000000"  # mov ecx, 1
    "f644070204"  # test byte [rdi + rax + 2], 4
    "741f"  # je trap
    "488b0579000000"  # el1: mov rax, [rip + hcr]
    "b902000000"  # mov ecx, 2
    "f644070140"  # test byte [rdi + rax + 1], 64
    "750c"  # jne trap
    "ff2537000000"  # jmp [rip + original]
    "ff2539000000"  # there: jmp [rip + go_on]
    "488b0542000000"  # trap: mov rax, [rip + event]
    "89ca"  # mov edx, ecx
    "d1ea"  # shr edx, 1
    "891407"  # mov [rdi + rax], edx
    "488b0554000000"  # mov rax, [rip + pc]
    "48832c0704"  # sub qword [rdi + rax], 4
    "be01000000"  # mov esi, 1
    "ba0100e007"  # mov edx, 0x7e00001
    "ff2517000000"  # jmp [rip + raise]
)
"""(state). The PC is after the instruction. Bit 18 of SCTLR_EL1 is nTWE, bit 14 of HCR_EL2 TWE. It sets the event
register itself for a return from EL2. Each stub is followed by the original function, the function that leaves the
translated code, the engine's function that raises exceptions, and the offsets in the state of the event register,
PSTATE, SCTLR_EL1, HCR_EL2 and the PC."""

_SEVL, _WFE_WORD, _SVC = 0xD503_20BF, 0xD503_205F, 0xD400_0001
_TWE: Final = 1 << 14
_TRAPPED: Final = 0x07E0_0001


@cache
def take_events() -> bool:
    """Give the engines of this process an event register from now on; return whether that is possible. Requires that
    their exception returns set it."""
    layout = known_layout()
    event = register_address(0, layout, layout.event)
    go_on, raising = library_function(_YIELD), library_function(_RAISE)
    if go_on is None or raising is None:
        return False
    registers = (layout.pstate, *(layout.sysregs[lookup(name)] for name in ("SCTLR_EL1", "HCR_EL2")), layout.pc)
    offsets = [register_address(0, layout, each) for each in registers]
    helpers = replace_helpers({_YIELD: _YIELD_STUB, _WFE: _WFE_STUB}, go_on, raising, event, *offsets)
    if helpers is None:
        return False
    calls = interpose({_RAISE: _RAISE_STUB}, (event,), again=True)
    words = None if calls is None else interpose({_READ_CODE: _READ_CODE_STUB})
    if words is not None and (known_build() is not None or events_are_noticed()):
        return True
    for each in (words, calls, helpers):
        if each is not None:
            each.undo()
    return False


def events_are_noticed() -> bool:
    """Whether WFE is trapped if, and only if, the event register is clear; determined by experiment."""
    layout = known_layout()
    with throw_away_engine() as probe:
        probe.begin_at_el1(HCR_EL2=HCR_RW | _TWE)
        state = memoryview(probe.run(_SEVL, _WFE_WORD, _WFE_WORD, _SVC)[0])
        syndrome, pc = (state[at : at + 8].cast("Q")[0] for at in (layout.syndrome, layout.pc))
        return (syndrome & 0xFFFF_FFFF, pc) == (_TRAPPED, CODE_PA + 8)
