"""Addresses as users name them: numbers, symbols with an offset, registers of a stopped guest."""

from __future__ import annotations

import re
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Ttbr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, LINK_REGISTER
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.vm.machine import Machine

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F_]{1,20}|[0-9]{1,20}", re.ASCII)
_KERNEL_NUMBER: Final = re.compile(r"[0-9a-fA-F]{8}|[0-9a-fA-F]{16}|0[0-9a-fA-F]{1,15}", re.ASCII)
"""Hexadecimal without a prefix, as kernels print it."""
_BRACKETED: Final = re.compile(r"\[?<(.+)>\]?")
_FUNCTION_SIZE: Final = re.compile(r"(.+\+0x[0-9a-fA-F]+)/0x[0-9a-fA-F]+", re.ASCII)
"""The offset in a function and the function's size, as in a kernel's backtrace."""
_GENERAL: Final = re.compile(r"x([0-9]|[12][0-9]|30)", re.ASCII)
_WITH_OFFSET: Final = re.compile(r"(.+?)([+-])(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})", re.ASCII)
_INSTRUCTION_SIZE: Final = 4
_FRAME_REGISTERS: Final = ("pc", "sp", "lr", "fp", "sp_el0", "sp_el1")
_TABLE_BASES: Final = ("ttbr0_el1", "ttbr1_el1")
_ADDRESS_REGISTERS: Final = (
    *_TABLE_BASES,
    "far_el1",
    "elr_el1",
    "vbar_el1",
    "tpidr_el0",
    "tpidrro_el0",
    "tpidr_el1",
    "far_el2",
)
"""System registers that hold addresses of the guest."""


def check(text: str, symbols: SymbolTable) -> None:
    """Raise :class:`UsageError` for an address that cannot be resolved once the guest has stopped."""
    base, _ = _split(text, symbols)
    if _number(base, symbols) is None and not _is_register(base) and symbols.lookup(base) is None:
        raise UsageError(
            f"{text}: expected an address such as 0x40080000, a symbol of the guest, symbol+offset, or a register "
            f"(x0 to x30, {', '.join((*_FRAME_REGISTERS, *_ADDRESS_REGISTERS))}){_close(base, symbols)}"
        )


def resolve(text: str, machine: Machine) -> int:
    """Return the 64-bit address that ``text`` denotes now. Raises :class:`UsageError`.

    A TTBR stands for the address of its table, which is an IPA.
    """
    symbols = machine.image.symbols
    check(text, symbols)
    base, offset = _split(text, symbols)
    number = _number(base, symbols)
    if number is None:
        number = _register(base, machine) if _is_register(base) else symbols.lookup(base)
    return ((number or 0) + offset) & MASK64


def code_address(text: str, symbols: SymbolTable) -> int:
    """Return the 64-bit address of the instruction that ``text`` names. Raises :class:`UsageError`."""
    base, offset = _split(text, symbols)
    number = _number(base, symbols)
    if number is None:
        number = symbols.lookup(base)
    if number is None:
        raise UsageError(
            f"{text}: expected an address such as 0x40080000, a function of the guest, or function+offset"
            f"{_close(base, symbols)}"
        )
    address = (number + offset) & MASK64
    if address % _INSTRUCTION_SIZE:
        raise UsageError(f"{text}: {address:#x} is not the address of an instruction, a multiple of 4")
    return address


def _close(name: str, symbols: SymbolTable) -> str:
    """A suggestion of symbols with names close to ``name``."""
    if not len(symbols):
        return " (the guest has no symbols; add some with --symbols FILE)"
    close = symbols.close_names(name)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _split(text: str, symbols: SymbolTable) -> tuple[str, int]:
    """Split a place into a name and an offset; a symbol's own name may contain + or -. Drops the brackets and function
    sizes that kernels and debuggers print."""
    if symbols.lookup(text) is None:
        bracketed = _BRACKETED.fullmatch(text)
        text = text if bracketed is None else bracketed[1]
        sized = _FUNCTION_SIZE.fullmatch(text)
        text = text if sized is None else sized[1]
    match = _WITH_OFFSET.fullmatch(text)
    if match is None or symbols.lookup(text) is not None:
        return text, 0
    offset = int(match[3], 0)
    return match[1], offset if match[2] == "+" else -offset


def _number(text: str, symbols: SymbolTable) -> int | None:
    if _KERNEL_NUMBER.fullmatch(text) is not None and symbols.lookup(text) is None:
        return int(text, 16)
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        value = int(text, 0)
    except ValueError:
        # 010, which is neither octal nor decimal; or an underscore at the end.
        return None
    return value if value <= MASK64 else None


def _is_register(name: str) -> bool:
    lower = name.lower()
    return lower in (*_FRAME_REGISTERS, *_ADDRESS_REGISTERS) or _GENERAL.fullmatch(lower) is not None


def _register(name: str, machine: Machine) -> int:
    frame, lower = machine.current.arch.ctx, name.lower()
    general = _GENERAL.fullmatch(lower)
    if general is not None:
        return frame.gpr(int(general[1]))
    if lower in _FRAME_REGISTERS:
        return {
            "pc": frame.elr,
            "sp": frame.sp,
            "lr": frame.gpr(LINK_REGISTER),
            "fp": frame.gpr(FRAME_POINTER),
            "sp_el0": frame.sp_el0,
            "sp_el1": frame.sp_el1,
        }[lower]
    value = machine.current.arch.read_sysreg(lookup(lower))
    return int(Ttbr(value).BADDR) << Ttbr.BADDR.lsb if lower in _TABLE_BASES else value
