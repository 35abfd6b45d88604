"""Reads ID registers as the kernel of an AArch64 Linux host shows them to programs.

With ``cpuid`` in AT_HWCAP, the kernel emulates a program's MRS of an ID register and returns what all CPUs have, less
what the kernel itself does not use (Linux, Documentation/arch/arm64/cpu-feature-registers.rst). Python has no MRS, so a
few instructions are written to a file in memory that is mapped executable; the kernel keeps the instruction caches
coherent with it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SystemMove, encode_system_move, lookup

REGISTERS: Final = (
    "MIDR_EL1", "REVIDR_EL1", "ID_AA64PFR0_EL1", "ID_AA64PFR1_EL1", "ID_AA64PFR2_EL1", "ID_AA64ZFR0_EL1",
    "ID_AA64SMFR0_EL1", "ID_AA64FPFR0_EL1", "ID_AA64DFR0_EL1", "ID_AA64DFR1_EL1", "ID_AA64ISAR0_EL1",
    "ID_AA64ISAR1_EL1", "ID_AA64ISAR2_EL1", "ID_AA64ISAR3_EL1", "ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1",
    "ID_AA64MMFR2_EL1", "ID_AA64MMFR3_EL1", "ID_AA64MMFR4_EL1",
)  # fmt: skip
"""The registers in the space that the kernel emulates: op0 3, op1 0, CRn 0, CRm 0 and 4 to 7."""
_RET: Final = 0xD65F_03C0
_WORD: Final = 4
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def read_registers() -> dict[str, int]:
    """Return the ID registers by name; empty if the host forbids programs to create code.

    Only for AArch64 Linux with the hardware capability ``cpuid``: elsewhere the instructions are undefined.
    """
    code = {name: mrs_function(name) for name in REGISTERS}
    values = call_code(list(code.values()))
    return dict(zip(code, values, strict=True)) if values is not None else {}


def mrs_function(name: str) -> bytes:
    """Return machine code for a function that returns a system register: MRS X0, and RET."""
    words = (encode_system_move(SystemMove(lookup(name), 0, is_read=True)), _RET)
    return b"".join(word.to_bytes(_WORD, "little") for word in words)


def call_code(functions: Sequence[bytes]) -> list[int] | None:
    """Call each piece of machine code in turn; return their 64-bit results. None if the host refuses to map them."""
    create = getattr(os, "memfd_create", None)
    if create is None:
        return None
    code = b"".join(functions)
    try:
        descriptor = create("id-registers")
    except OSError:
        return None
    try:
        os.write(descriptor, code)
        address = _map(descriptor, len(code))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if address is None:
        return None
    results = []
    place = address
    for function in functions:
        results.append(int(ctypes.CFUNCTYPE(ctypes.c_uint64)(place)()))
        place += len(function)
    _library().munmap(ctypes.c_void_p(address), ctypes.c_size_t(len(code)))
    return results


def _map(descriptor: int, size: int) -> int | None:
    """Return the address at which a file is mapped executable. Python's own mmap does not provide the address of
    read-only memory."""
    function = _library().mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    ]  # fmt: skip
    address = function(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor, 0)
    return None if address in (None, _MAP_FAILED) else int(address)


def _library() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None)
