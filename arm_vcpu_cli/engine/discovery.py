"""Finds the layout of the engine's saved CPU state by experiment, and refuses an engine that it cannot read.

The layout is an internal structure of the engine. It is found through the public interface only: a sentinel written to
a register appears in the saved block at that register's offset. The exception record, which cannot be written, is found
by running four instructions that raise known exceptions. This takes about 10 ms once in a process, for a build that is
not one of ``known_builds``.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.search import places_of
from arm_vcpu_cli.engine.throwaway import (
    CODE_PA,
    HCR_RW,
    HCR_VM_RW,
    LDR_X2_X1,
    VTCR_T0SZ25_PS40,
    ThrowAwayEngine,
    throw_away_engine,
)
from arm_vcpu_cli.errors import EngineError

_SYSREGS: Final = tuple(
    lookup(name)
    for name in (
        "CONTEXTIDR_EL1 CPACR_EL1 CPTR_EL2 ELR_EL1 ESR_EL1 ESR_EL2 FAR_EL1 FAR_EL2 HCR_EL2 HPFAR_EL2 HSTR_EL2 MAIR_EL1"
        " MDCR_EL2 MDSCR_EL1 PAR_EL1 SCTLR_EL1 SPSR_EL1 SP_EL0 SP_EL1 TCR_EL1 TPIDRRO_EL0 TPIDR_EL0 TPIDR_EL1"
        " TTBR0_EL1 TTBR1_EL1 VBAR_EL1 VTCR_EL2 VTTBR_EL2"
    ).split()
)
"""Registers whose place in the saved state is needed; all others are read through the engine."""

_REQUIRED: Final = frozenset(
    lookup(name) for name in "ELR_EL1 ESR_EL1 FAR_EL1 HPFAR_EL2 SCTLR_EL1 SPSR_EL1 SP_EL0 SP_EL1 VBAR_EL1".split()
)

_TABLE_PA: Final = 0x1000_1000
_A32_PA: Final = 0x1000_2000
_UNMAPPED_IPA: Final = 0x34_5678_9AB0
_MARKED: Final = (CODE_PA + 0x3008, CODE_PA + 0x3010)
_LDXR_X2_X1: Final = 0xC85F_7C22
_MOV_X1_0: Final = 0xD280_0001
_SVC: Final = 0xD400_0001
_ERET: Final = 0xD69F_03E0
_MSR_DBGBVR0_X1, _MSR_DBGBCR0_X2, _MSR_DBGBCR0_XZR = 0xD510_0081, 0xD510_00A2, 0xD510_00BF
_ANY_BREAKPOINT: Final = 0xF << 5 | 0b11 << 1 | 1
_OSLK: Final = 1 << 1
_BREAKPOINT_ADDRESSES: Final = 16 * 8
_A32_SVC: Final = 0xEF00_0000
_PFALSE, _PTRUE, _WRFFR_P0, _SETFFR = 0x2518_E400, 0x2518_E3E0, 0x2528_9000, 0x252C_9000
_NO_TRAPS_OF_SVE: Final = 3 << 20 | 3 << 16
"""CPACR_EL1.FPEN and ZEN."""
_ZCR_LEN_MAX: Final = 0xF
_SVC_IMMEDIATE: Final = 0x5A7
_SYNDROME_SVC: Final = 0x5600_0000 | _SVC_IMMEDIATE
_SPSR_EL0_A32: Final = 0x10


def _refuse(what: str) -> EngineError:
    return EngineError(
        f"Unicorn {unicorn_api.version()} is not usable: {what} was not found in its saved state "
        "(built and checked for 2.1.4; install 'unicorn>=2.1.4,<2.2' from its own wheel)"
    )


def _only(offsets: list[int], what: str) -> int:
    if len(offsets) != 1:
        raise _refuse(what)
    return offsets[0]


def _changed_words(before: bytes, after: bytes) -> list[int]:
    words = len(before) // 4
    old, new = struct.unpack(f"<{words}I", before), struct.unpack(f"<{words}I", after)
    return [4 * n for n in range(words) if old[n] != new[n]]


def _sentinel(index: int) -> int:
    # Non-zero in every byte, different for each register, with the low 12 bits clear for the registers that ignore
    # them.
    return 0x1B2C_3D4E_5F60_7000 + index * 0x0001_0001_0000


def _find_general(probe: ThrowAwayEngine) -> tuple[int, int, int]:
    engine = probe.engine
    for n, register in enumerate(unicorn_api.X):
        engine.write_register(register, _sentinel(n))
    engine.write_register(unicorn_api.SP, _sentinel(40))
    engine.write_register(unicorn_api.PC, _sentinel(41))
    block = probe.saved()
    x0 = _only(places_of(_sentinel(0), block, 8), "X0")
    if any(block[x0 + 8 * n : x0 + 8 * n + 8] != _sentinel(n).to_bytes(8, "little") for n in range(31)):
        raise _refuse("the row of X0 to X30")
    return x0, _only(places_of(_sentinel(40), block, 8), "SP"), _only(places_of(_sentinel(41), block, 8), "the PC")


def _find_vectors(probe: ThrowAwayEngine) -> tuple[int, int]:
    """Return the offset of V0 and the distance from one vector register to the next."""
    for n, register in enumerate(unicorn_api.Q):
        probe.engine.write_register(register, _sentinel(100 + n))
    block = probe.saved()
    places = [_only(places_of(_sentinel(100 + n), block, 8), f"V{n}") for n in range(len(unicorn_api.Q))]
    stride = places[1] - places[0]
    if places != [places[0] + n * stride for n in range(len(places))]:
        raise _refuse("the row of V0 to V31")
    return places[0], stride


def _find_predicates(stride: int) -> int:
    """Return the offset of P0 if P15 and FFR follow it at the expected distances; else 0, also without SVE."""
    places = []
    with throw_away_engine(has_sve=True) as probe:
        for name, value in (("HCR_EL2", HCR_RW), ("CPACR_EL1", _NO_TRAPS_OF_SVE), ("ZCR_EL1", _ZCR_LEN_MAX)):
            probe.engine.write_sysreg(lookup(name), value)
        for clear, fill in (
            ((_PFALSE,), (_PTRUE,)),
            ((_PFALSE | 15,), (_PTRUE | 15,)),
            ((_PFALSE, _WRFFR_P0), (_PFALSE, _SETFFR)),
        ):
            states = []
            for code in (clear, fill):
                probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
                states += probe.run(*code, _SVC)
            changed = _changed_words(*states) if len(states) == 2 else []
            if not changed or changed != list(range(changed[0], changed[0] + stride, 4)):
                return 0
            places.append(changed[0])
    return places[0] if places == [places[0] + n * stride for n in (0, 15, 16)] else 0


def _find_addresses(probe: ThrowAwayEngine) -> int:
    """Return the number of bytes at the end that are addresses of breakpoints: the architecture's maximum number of
    them, or none."""
    probe.reset()
    probe.engine.write_sysreg(lookup("HCR_EL2"), HCR_RW)
    probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    probe.engine.write_register(unicorn_api.X[1], _TABLE_PA)
    probe.engine.write_register(unicorn_api.X[2], _ANY_BREAKPOINT)
    at = slice(-_BREAKPOINT_ADDRESSES, 8 - _BREAKPOINT_ADDRESSES)
    with_one = probe.run(_MSR_DBGBVR0_X1, _MSR_DBGBCR0_X2, _SVC)[0]
    with_none = probe.run(_MSR_DBGBCR0_XZR, _SVC)[0]
    return _BREAKPOINT_ADDRESSES if any(with_one[at]) and not any(with_none[at]) else 0


def _find_os_lock(probe: ThrowAwayEngine) -> int:
    """Return the offset of the word in which OSLAR_EL1 changes OSLK and nothing else; 0 if there is none."""
    states = []
    for lock in (0, 1):
        probe.engine.write_sysreg(lookup("OSLAR_EL1"), lock)
        states.append(probe.saved())
    changed = [at for at in _changed_words(*states) if _word(states[0], at) ^ _word(states[1], at) == _OSLK]
    return changed[0] if len(changed) == 1 else 0


def _find_sysregs(probe: ThrowAwayEngine) -> dict[SysReg, int]:
    engine = probe.engine
    found = {}
    for n, reg in enumerate(_SYSREGS):
        old = engine.read_sysreg(reg)
        before = probe.saved()
        engine.write_sysreg(reg, _sentinel(n))
        value = engine.read_sysreg(reg)
        after = probe.saved()
        places = [at for at in places_of(value, after, 8) if before[at : at + 8] != after[at : at + 8]]
        if value and len(places) == 1:
            found[reg] = places[0]
        elif reg in _REQUIRED:
            raise _refuse(reg.name)
        engine.write_sysreg(reg, old)
    return found


def _find_pstate(probe: ThrowAwayEngine) -> dict[str, int]:
    """Find the seven places that keep parts of PSTATE, by changing one bit at a time.

    The word with N in its bit 31 is a copy of the whole value, so it changes with each of them.
    """
    bits = {"n": 31, "z": 30, "c": 29, "v": 28, "btype": 10, "daif": 7, "pstate": 20}
    places: dict[str, int] = {}
    for name, bit in bits.items():
        probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
        before = probe.saved()
        probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED ^ 1 << bit)
        changed = [at for at in _changed_words(before, probe.saved()) if at != places.get("n")]
        places[name] = _only(changed, f"PSTATE's part {name}")
    probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    return places


def _find_exception_record(probe: ThrowAwayEngine, pc: int) -> tuple[int, int, int, int]:
    """Return the offsets of the syndrome, the fault address, the target EL and the AArch64 flag."""
    engine = probe.engine
    engine.write_sysreg(lookup("VTCR_EL2"), VTCR_T0SZ25_PS40)
    engine.write_sysreg(lookup("VTTBR_EL2"), _TABLE_PA)
    # One level-1 block maps IPA 0 to 1 GiB to itself.
    probe.memory[0x1000:0x1008] = (1 << 10 | 3 << 8 | 3 << 6 | 0xF << 2 | 1).to_bytes(8, "little")
    engine.write_sysreg(lookup("HCR_EL2"), HCR_VM_RW)
    probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    engine.write_register(unicorn_api.X[1], _UNMAPPED_IPA)
    to_el1, to_el2 = (_only_state(probe.run(instruction)) for instruction in (_SVC | _SVC_IMMEDIATE << 5, LDR_X2_X1))
    syndrome = _only(places_of(_SYNDROME_SVC, to_el1, 4), "the syndrome")
    # X1 holds the address too, so exclude it.
    places = [at for at in places_of(_UNMAPPED_IPA, to_el2, 8) if to_el1[at : at + 8] != to_el2[at : at + 8]]
    address = _only([at for at in places if 0 < at - syndrome <= 32], "the fault address")
    levels = [
        at
        for at in range(syndrome, address + 32, 4)
        if (_word(to_el1, at), _word(to_el2, at)) == (1, 2) and at not in (syndrome, address)
    ]
    target = _only(levels, "the target Exception level")
    if _word(to_el2, pc) != CODE_PA:
        raise _refuse("the PC of a data abort")

    # ERET to AArch32 at EL0 and return by an A32 SVC: one word changes from 1 to 0.
    probe.memory[0x2000:0x2004] = _A32_SVC.to_bytes(4, "little")
    engine.write_sysreg(lookup("ELR_EL1"), _A32_PA)
    engine.write_sysreg(lookup("SPSR_EL1"), _SPSR_EL0_A32)
    in_a32 = _only_state(probe.run(_ERET))
    flags = [at for at in range(pc, pc + 32, 4) if (_word(to_el1, at), _word(in_a32, at)) == (1, 0)]
    return syndrome, address, target, _only(flags, "the AArch64 flag")


def _find_exclusive(probe: ThrowAwayEngine) -> int:
    """Return the offset of the address marked by the exclusive monitor: the only place besides X1 that differs after
    LDXR from two addresses."""
    engine = probe.engine
    engine.write_sysreg(lookup("HCR_EL2"), HCR_RW)
    states = []
    for address in _MARKED:
        engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
        engine.write_register(unicorn_api.X[1], address)
        states.append(_only_state(probe.run(_LDXR_X2_X1, _MOV_X1_0, _SVC)))
    first, second = states
    places = [at for at in places_of(_MARKED[0], first, 8) if second[at : at + 8] == _MARKED[1].to_bytes(8, "little")]
    return _only(places, "the exclusive monitor")


def _only_state(states: list[bytes]) -> bytes:
    if len(states) != 1:
        raise _refuse("the state at an exception")
    return states[0]


def _word(block: bytes, at: int) -> int:
    return int.from_bytes(block[at : at + 4], "little")


def _check_edits_take_effect(probe: ThrowAwayEngine, layout: StateLayout) -> None:
    """Run an SVC whose hook changes X5 and the PC; the next exception must see both changes."""
    value = _sentinel(7)

    def edit(memory: memoryview) -> None:
        memory[layout.x0 + 40 : layout.x0 + 48] = value.to_bytes(8, "little")
        memory[layout.pc : layout.pc + 8] = (CODE_PA + 8).to_bytes(8, "little")

    probe.engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    states = probe.run(_SVC | 1 << 5, _SVC | 2 << 5, _SVC | 3 << 5, edit=edit)
    if (
        len(states) != 2
        or _word(states[1], layout.syndrome) != 0x5600_0003
        or states[1][layout.x0 + 40 : layout.x0 + 48] != value.to_bytes(8, "little")
    ):
        raise _refuse("an edited register")


def discover_layout() -> StateLayout:
    """Return the layout of this engine's saved state. Raises :class:`EngineError`, in one line, if it is not as
    expected."""
    with throw_away_engine() as probe:
        size = len(probe.context.memory)
        x0, sp, pc = _find_general(probe)
        v0, vector_stride = _find_vectors(probe)
        sysregs = _find_sysregs(probe)
        places = _find_pstate(probe)
        # The sentinels above have left the core in a state that cannot run.
        probe.reset()
        syndrome, fault_address, target_el, aarch64 = _find_exception_record(probe, pc)
        probe.reset()
        exclusive = _find_exclusive(probe)
        addresses, os_lock = _find_addresses(probe), _find_os_lock(probe)
        layout = StateLayout(
            size=size,
            x0=x0,
            sp=sp,
            pc=pc,
            pstate=places["pstate"],
            aarch64=aarch64,
            v0=v0,
            vector_stride=vector_stride,
            n=places["n"],
            z=places["z"],
            c=places["c"],
            v=places["v"],
            daif=places["daif"],
            btype=places["btype"],
            syndrome=syndrome,
            fault_address=fault_address,
            target_el=target_el,
            exclusive=exclusive,
            sysregs=sysregs,
            addresses=addresses,
            os_lock=os_lock,
            p0=_find_predicates(vector_stride // 8),
        )
        probe.reset()
        _check_edits_take_effect(probe, layout)
    return layout


@cache
def known_layout() -> StateLayout:
    """Return the layout, recorded for a known build, else found once in a process."""
    build = known_build()
    return discover_layout() if build is None else build.layout
