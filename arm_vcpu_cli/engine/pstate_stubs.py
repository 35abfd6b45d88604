"""Makes changes of PSTATE take effect where the engine misses them.

``helper_exception_return``
    sets PSTATE.IL for an illegal exception return, or copies it from SPSR_EL1, but nothing checks it. The next
    instruction must take the Illegal Execution state exception (EC 0x0E; DDI 0487, D1.3.4, "Illegal exception returns
    from AArch64 state", and D1.4.1, "The Illegal Execution state exception"). Only an exception return sets the bit,
    so the stub raises the exception as soon as the engine's function has set it. Before that, it sets the event
    register (``events``).

``helper_msr_i_daifclear``
    is MSR DAIFClr. Software step becomes active at EL1 when PSTATE.D is cleared (D2.12, "Software Step exceptions"), as
    with MSR DAIF, but the engine keeps using flags computed before. The stub has them computed again.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.interposition import Interposition, called_function
from arm_vcpu_cli.engine.refusals import register_address
from arm_vcpu_cli.engine.replaced_helpers import replace_helpers

_RETURN, _UNMASK = "helper_exception_return_aarch64", "helper_msr_i_daifclear_aarch64"
_FUNCTIONS: Final = "raise_exception_aarch64", "arm_rebuild_hflags_aarch64", "cpu_get_tb_cpu_state_aarch64"
"""(state, exception, syndrome, Exception level) raises an exception; (state) computes the flags that blocks depend on;
(state, and the addresses for PC, base and flags) returns them."""
_RETURN_STUB: Final = bytes.fromhex(
    "488b05d9000000"  # mov rax, [rip + event]
    "c7040701000000"  # mov dword [rdi + rax], 1
    "53"  # push rbx
    "4889fb"  # mov rbx, rdi
    "ff1588000000"  # call [rip + original]
    "488b05a1000000"  # mov rax, [rip + aarch64]
    "833c0300"  # cmp dword [rbx + rax], 0
    "7410"  # je done
    "488b059c000000"  # mov rax, [rip + pstate]
    "f7040300001000"  # test dword [rbx + rax], 0x100000
    "7502"  # jne illegal
    "5b"  # done: pop rbx
    "c3"  # ret
    "488b0592000000"  # illegal: mov rax, [rip + pc]
    "f6040303"  # test byte [rbx + rax], 3
    "75f1"  # jne done
    "488b058d000000"  # mov rax, [rip + mdscr]
    "f6040301"  # test byte [rbx + rax], 1
    "7433"  # je raise
    "4889df"  # mov rdi, rbx
    "ff1556000000"  # call [rip + recompute]
    "4883ec20"  # sub rsp, 32
    "4889df"  # mov rdi, rbx
    "4889e6"  # mov rsi, rsp
    "488d542408"  # lea rdx, [rsp + 8]
    "488d4c2410"  # lea rcx, [rsp + 16]
    "ff1544000000"  # call [rip + flags]
    "8b442410"  # mov eax, [rsp + 16]
    "4883c420"  # add rsp, 32
    "c1e81d"  # shr eax, 29
    "83f806"  # cmp eax, 6
    "74b1"  # je done
    "4889df"  # raise: mov rdi, rbx
    "be01000000"  # mov esi, 1
    "ba0000003a"  # mov edx, 0x3a000000
    "b901000000"  # mov ecx, 1
    "5b"  # pop rbx
    "ff250b000000"  # jmp [rip + raise]
)
"""(state, address), x86-64, System V. It leaves two exceptions with a higher priority to the engine: a misaligned PC,
and a software step exception that is pending (0b110 in bits 31 to 29 of the flags)."""
_UNMASK_STUB: Final = bytes.fromhex(
    "40f6c608"  # test sil, 8
    "742e"  # je pass
    "488b055b000000"  # mov rax, [rip + pstate]
    "f604070c"  # test byte [rdi + rax], 12
    "7421"  # je pass
    "488b055e000000"  # mov rax, [rip + mdscr]
    "f6040701"  # test byte [rdi + rax], 1
    "7414"  # je pass
    "53"  # push rbx
    "4889fb"  # mov rbx, rdi
    "ff1516000000"  # call [rip + original]
    "4889df"  # mov rdi, rbx
    "5b"  # pop rbx
    "ff251c000000"  # jmp [rip + recompute]
    "ff2506000000"  # pass: jmp [rip + original]
)
"""(state, bits of DAIF). At EL0 the original may raise an exception, and determines the instruction from its return
address.

Each stub is followed by the original function, those of :data:`_FUNCTIONS`, and the offsets in the state of the AArch64
flag, PSTATE, the PC, MDSCR_EL1 and the event register."""


def heed_pstate() -> Interposition | None:
    """Make the engines of this process do both from now on; return None if that is impossible."""
    functions = [function for function in map(called_function, _FUNCTIONS) if function is not None]
    if len(functions) != len(_FUNCTIONS):
        return None
    layout = known_layout()
    places = layout.aarch64, layout.pstate, layout.pc, layout.sysregs[lookup("MDSCR_EL1")], layout.event
    offsets = (register_address(0, layout, each) for each in places)
    return replace_helpers({_RETURN: _RETURN_STUB, _UNMASK: _UNMASK_STUB}, *functions, *offsets)
