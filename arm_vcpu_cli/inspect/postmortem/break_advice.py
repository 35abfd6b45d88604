"""The meanings of the BRK immediates that compilers and kernels use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence

_IMMEDIATE: Final = 0xFFFF
_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "Clang's and Rust's code for __builtin_trap(), abort() and unreachable code",
        1000: "GCC's code for __builtin_trap() and for code that it considers unreachable",
        0x100: "Linux's filler for code that must fault (FAULT_BRK_IMM)",
        0x400: "a breakpoint of Linux's KGDB",
        0x401: "a breakpoint compiled in for Linux's KGDB",
        0x800: "Linux's BUG() or WARN()",
    }
)
"""GCC's and LLVM's AArch64 back ends; Linux, arch/arm64/include/asm/brk-imm.h."""
_KASAN: Final = range(0x900, 0x940)
_KASAN_WRITE: Final = 0x10
_KASAN_SIZE: Final = 0xF
_KASAN_UNKNOWN_SIZE: Final = 0xF
_UBSAN: Final = 0x5500
_UBSAN_CHECKS: Final = (
    "add_overflow", "builtin_unreachable", "cfi_check_fail", "divrem_overflow", "dynamic_type_cache_miss",
    "float_cast_overflow", "function_type_mismatch", "implicit_conversion", "invalid_builtin", "invalid_objc_cast",
    "load_invalid_value", "missing_return", "mul_overflow", "negate_overflow", "nullability_arg",
    "nullability_return", "nonnull_arg", "nonnull_return", "out_of_bounds", "pointer_overflow",
    "shift_out_of_bounds", "sub_overflow", "type_mismatch", "alignment_assumption", "vla_bound_not_positive",
)  # fmt: skip
"""Clang's SanitizerHandler, in its order: -fsanitize=undefined with -fsanitize-trap."""
_KCFI: Final = range(0x8000, 0x8400)
_REGISTER: Final = 0x1F
_TYPE_SHIFT: Final = 5


def breakpoint_hit(evidence: Evidence) -> Advice | None:
    """A BRK, and the compiler check or kernel facility that placed it."""
    fault = evidence.fault
    if fault is None or fault.exception_class != ExceptionClass.BRK64:
        return None
    number = fault.iss & _IMMEDIATE
    meaning = _meaning(number)
    if meaning is None:
        return Advice(f"BRK #{number:#x} is a breakpoint in the code, of unknown origin.", "")
    return Advice(f"BRK #{number:#x} is {meaning}.", "the code and the source line above show which check failed")


def _meaning(number: int) -> str | None:
    if number in _KASAN:
        access = "write" if number & _KASAN_WRITE else "read"
        size = number & _KASAN_SIZE
        what = "" if size == _KASAN_UNKNOWN_SIZE else f" of {1 << size} {'byte' if not size else 'bytes'}"
        return f"a report of Linux's KASAN: an invalid {access}{what}, at the address in x0"
    if 0 <= number - _UBSAN < len(_UBSAN_CHECKS):
        return f"a check of the undefined behaviour sanitizer (UBSan): {_UBSAN_CHECKS[number - _UBSAN]}"
    if number in _KCFI:
        pointer, kind = number & _REGISTER, number >> _TYPE_SHIFT & _REGISTER
        return (
            f"a control-flow integrity check (KCFI): the function in x{pointer} does not have the type whose hash is "
            f"in w{kind}"
        )
    return _NAMES.get(number)
