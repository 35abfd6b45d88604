"""Accelerations of the engine beyond its interface: found and verified once in a process, and off if not found. Known
builds are not examined again (``known_builds``).

They affect only the time that a guest takes, never its behaviour. ``ARMVCPU_LEVERS=off`` in the environment disables
all of them, to find out whether one is at fault.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine import unicorn_api
from arm_vcpu_cli.engine.code_writes import notices_aliased_stores
from arm_vcpu_cli.engine.exit_check import find_exit_check
from arm_vcpu_cli.engine.inline_counting import interpose_counting
from arm_vcpu_cli.engine.interposition import ADD, interpose_arithmetic, interpose_walk
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.stubs import load_stubs
from arm_vcpu_cli.engine.system_calls import hook_address
from arm_vcpu_cli.engine.throwaway import (
    CODE_PA,
    HCR_VM_RW,
    LDR_X2_X1,
    VTCR_T0SZ25_PS40,
    ThrowAwayEngine,
    throw_away_engine,
)
from arm_vcpu_cli.engine.unicorn_api import library_function
from arm_vcpu_cli.engine.walk_checks import heed_stage1_sizes
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.record import Record

SWITCH: Final = "ARMVCPU_LEVERS"
"""The environment variable; ``off`` is its only valid value."""


class Levers(Record):
    """``exit_check``: the offset of the switch that omits the check for a stop after each memory access, None if
    unknown. ``code_scans``: whether to omit the search of the TLB for code in the upper half of the address space.
    ``stage1_sizes``: whether a TLB entry has the size of its stage-1 leaf, regardless of stage 2.
    ``execute_on_demand``: whether stage 2 should permit execution only where the guest executes. ``arithmetic``:
    whether the host adds, subtracts, multiplies and divides doubles where the result is the same. ``inline_counting``:
    whether translated code counts its instructions without a call. ``system_calls``: whether the engine may take system
    calls to EL1 by itself."""

    exit_check: int | None = None
    code_scans: bool = False
    stage1_sizes: bool = False
    execute_on_demand: bool = False
    arithmetic: bool = False
    inline_counting: bool = False
    system_calls: bool = False


_FLOAT_FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)
_STATUS_SIZE: Final = 64
_ROUND_UP: Final = 2
_INEXACT: Final = 32
_ONE, _TINY = 0x3FF << 52, (0x3FF - 60) << 52
NO_LEVERS: Final = Levers()


def named(levers: Levers) -> dict[str, bool]:
    """Return the levers by display name, and whether each is used."""
    return {
        "no exit checks": levers.exit_check is not None,
        "no TLB scans": levers.code_scans,
        "TLBI by stage-1 leaf": levers.stage1_sizes,
        "execution on demand": levers.execute_on_demand,
        "host arithmetic": levers.arithmetic,
        "inline counting": levers.inline_counting,
        "native system calls": levers.system_calls,
    }


@cache
def known_levers() -> Levers:
    """Return the levers of this process's engine."""
    # Not a lever: it affects a guest's behaviour rather than its speed.
    notices_aliased_stores()
    if os.environ.get(SWITCH) == "off":
        return NO_LEVERS
    build = known_build()
    if build is not None:
        counter = load_stubs().used_up
        return Levers(
            exit_check=build.exit_check,
            code_scans=True,
            stage1_sizes=heed_stage1_sizes(),
            execute_on_demand=True,
            arithmetic=interpose_arithmetic() is not None,
            inline_counting=counter is not None and interpose_counting(counter, build.operations) is not None,
            system_calls=hook_address() is not None,
        )
    try:
        return Levers(
            exit_check=find_exit_check(),
            code_scans=True,
            stage1_sizes=_take_stage1_sizes(),
            execute_on_demand=True,
            arithmetic=_take_arithmetic(),
        )
    except EngineError:
        return NO_LEVERS


def _take_stage1_sizes() -> bool:
    interposition = interpose_walk()
    if interposition is None:
        return False
    if _sizes_are_those_of_stage1():
        return True
    interposition.undo()
    return False


def _take_arithmetic() -> bool:
    return _status_is_as_expected() and interpose_arithmetic() is not None


def _status_is_as_expected() -> bool:
    """Return whether rounding mode and inexact flag are where the stubs expect them, by adding 2**-60 to 1 in two
    modes."""
    address = library_function(ADD)
    if address is None:
        return False
    add = _FLOAT_FUNCTION(address)
    nearest, upwards = bytearray(_STATUS_SIZE), bytearray(_STATUS_SIZE)
    upwards[1] = _ROUND_UP
    results = [add(_ONE, _TINY, ctypes.addressof(ctypes.c_char.from_buffer(each))) for each in (nearest, upwards)]
    return results == [_ONE, _ONE + 1] and nearest[2] == upwards[2] == _INEXACT


# An experiment with TLBI -------------------------------------------------------------------------------------------
#
# Stage 2 maps everything by one block. The guest loads from two virtual addresses, has the second mapped elsewhere, and
# invalidates the first. If both are pages of stage 1, the entry of the second is still there; if they lie in one block,
# it is not.

_STAGE2, _LEVEL1, _LEVEL2, _LEVEL3 = (CODE_PA + 0x1000 * n for n in range(1, 5))
_FIRST, _OLD, _NEW = (CODE_PA + 0x1000 * n for n in range(5, 8))
_VA_PAGES, _VA_BLOCK = CODE_PA + 0x20_0000, CODE_PA + 0x40_0000
_OTHER_BLOCK: Final = CODE_PA + 0x20_0000
"""A block of physical memory whose page at the position of the old one is the new one."""
_TABLE, _LEAF, _PAGE = 0b11, 0b01 | 1 << 10, 0b11 | 1 << 10
_STAGE2_LEAF: Final = 1 << 10 | 3 << 8 | 3 << 6 | 0xF << 2 | 0b01
_BLOCK_MASK: Final = 0x1F_F000
_TCR: Final = 25 | 25 << 16 | 2 << 32
_SCTLR_M: Final = 0x30C5_0831
_CODE: Final = (
    LDR_X2_X1,
    0xF940_0083,  # ldr x3, [x4]
    0xF900_00C5,  # str x5, [x6]      the other mapping
    0xD508_8727,  # tlbi vae1, x7     of what is at x1
    0xD503_3F9F,  # dsb sy
    0xD503_3FDF,  # isb
    0xF940_0083,  # ldr x3, [x4]
    0xD400_0001,  # svc #0
)


def _sizes_are_those_of_stage1() -> bool:
    with throw_away_engine() as probe:
        probe.map_again(_OTHER_BLOCK + (_OLD & _BLOCK_MASK), _NEW, 0x1000)
        return _heeds_stage1(probe)


def _heeds_stage1(probe: ThrowAwayEngine) -> bool:
    pages = _loaded_after_tlbi(
        probe, first=_VA_PAGES, second=_VA_PAGES + 0x1000, descriptor=_NEW | _PAGE, at=_LEVEL3 + 8
    )
    block = _loaded_after_tlbi(
        probe,
        first=_VA_BLOCK + (_FIRST & _BLOCK_MASK),
        second=_VA_BLOCK + (_OLD & _BLOCK_MASK),
        descriptor=_OTHER_BLOCK | _LEAF,
        at=_LEVEL2 + 8 * (_VA_BLOCK >> 21 & 0x1FF),
    )
    return (pages, block) == (_OLD, _NEW)


def _loaded_after_tlbi(probe: ThrowAwayEngine, *, first: int, second: int, descriptor: int, at: int) -> int:
    """Return which page ``second`` leads to after changing the mapping and invalidating ``first``."""
    probe.reset()
    _write_tables(probe)
    engine = probe.engine
    for name, value in (
        ("VTCR_EL2", VTCR_T0SZ25_PS40),
        ("VTTBR_EL2", _STAGE2),
        ("TTBR0_EL1", _LEVEL1),
        ("TCR_EL1", _TCR),
        ("MAIR_EL1", 0xFF),
        ("SCTLR_EL1", _SCTLR_M),
        ("HCR_EL2", HCR_VM_RW),
    ):
        engine.write_sysreg(lookup(name), value)
    engine.write_register(unicorn_api.PSTATE, EL1H_MASKED)
    for number, value in ((1, first), (4, second), (5, descriptor), (6, at), (7, first >> 12)):
        engine.write_register(unicorn_api.X[number], value)
    probe.run(*_CODE)
    return engine.read_register(unicorn_api.X[3])


def _write_tables(probe: ThrowAwayEngine) -> None:
    def put(paddr: int, value: int) -> None:
        struct.pack_into("<Q", probe.memory, paddr - CODE_PA, value)

    put(_STAGE2, _STAGE2_LEAF)
    put(_LEVEL1, _LEVEL2 | _TABLE)
    for va, entry in ((CODE_PA, CODE_PA | _LEAF), (_VA_PAGES, _LEVEL3 | _TABLE), (_VA_BLOCK, CODE_PA | _LEAF)):
        put(_LEVEL2 + 8 * (va >> 21 & 0x1FF), entry)
    put(_LEVEL3, _FIRST | _PAGE)
    put(_LEVEL3 + 8, _OLD | _PAGE)
    for page in (_FIRST, _OLD, _NEW):
        put(page, page)
