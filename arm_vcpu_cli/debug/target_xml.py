"""The target description, which defines a vCPU's registers for a debugger.

Source: Debugging with GDB, appendix G, "Target Description Format" and "AArch64 Features".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register as Layout
from arm_vcpu_cli.arch.explain.registers import ALL_LAYOUTS
from arm_vcpu_cli.debug.numbering import GENERAL, SVE, SYSTEM, VECTOR, Numbered
from arm_vcpu_cli.debug.target import Register

_FEATURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        GENERAL: "org.gnu.gdb.aarch64.core",
        VECTOR: "org.gnu.gdb.aarch64.fpu",
        SVE: "org.gnu.gdb.aarch64.sve",
        SYSTEM: "org.armvcpu.aarch64.sysregs",
    }
)
_POINTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("pc", "VBAR_", "ELR_"), "code_ptr"),
        **dict.fromkeys(("sp", "SP_EL", "FAR_", "TPIDR"), "data_ptr"),
    }
)
"""The types of registers that hold addresses, by the start of their names."""
_LAYOUT_NAMES: Final[Mapping[str, str]] = MappingProxyType({"cpsr": "PSTATE", "fpsr": "FPSR", "fpcr": "FPCR"})
"""The Arm ARM's names of registers that gdb calls differently."""
_WIDEST: Final = 32
"""A wider field holds an address."""
_VECTORS: Final = (
    ("b", 16, (("u", "uint8"), ("s", "int8"))),
    ("h", 8, (("u", "uint16"), ("s", "int16"))),
    ("s", 4, (("f", "ieee_single"), ("u", "uint32"), ("s", "int32"))),
    ("d", 2, (("f", "ieee_double"), ("u", "uint64"), ("s", "int64"))),
    ("q", 1, (("u", "uint128"), ("s", "int128"))),
)
"""For each element width: its letter, the number in 128 bits, and its interpretations."""
_GRANULE: Final = 128
_PREDICATE: Final = "svep"
_VECTOR_IN_LLDB: Final = ' group="vector" encoding="vector" format="vector-uint8"'
"""gdb uses the type of a vector, lldb these attributes."""


def target_xml(registers: Sequence[Numbered], *, lldb: bool = False) -> str:
    """Return the target description. gdb derives V from Z; lldb needs their offsets."""
    return "\n".join(_lines(registers, lldb)) + "\n"


def _lines(registers: Sequence[Numbered], lldb: bool) -> Iterator[str]:
    yield '<?xml version="1.0"?>'
    yield '<!DOCTYPE target SYSTEM "gdb-target.dtd">'
    yield '<target version="1.0">'
    yield "<architecture>aarch64</architecture>"
    for group, feature in _FEATURES.items():
        members = [each for each in registers if each.register.group == group]
        if not members:
            continue
        yield f'<feature name="{feature}">'
        if group == VECTOR:
            yield from _vector_types("v", "aarch64v", 1)
        elif group == SVE:
            granules = max(each.register.bits for each in members) // _GRANULE
            yield from _vector_types("svev", "svev", granules)
            yield f'<vector id="{_PREDICATE}" type="uint8" count="{2 * granules}"/>'
        types = {each.register.name: layout for each in members if (layout := _layout(each.register)) is not None}
        for name, layout in types.items():
            yield from _flags(name, layout, next(each.size for each in members if each.register.name == name))
        for each in members:
            yield _register(each, has_flags=each.register.name in types)
        if group == SVE and lldb:
            yield from _low_parts(members, registers[-1].number + 1)
        yield "</feature>"
    yield "</target>"


def _layout(register: Register) -> type[Layout] | None:
    """Return the layout for showing a register; None for addresses, with which users compute, and for unknown
    layouts."""
    layout = ALL_LAYOUTS.get(_LAYOUT_NAMES.get(register.name, register.name))
    if layout is None or any(field.width > _WIDEST for field in layout.fields()):
        return None
    # A single field says no more than the number.
    return layout if sum(field.msb < register.bits for field in layout.fields()) > 1 else None


def _flags(name: str, layout: type[Layout], size: int) -> Iterator[str]:
    yield f'<flags id="{_type(name)}" size="{size}">'
    for field in reversed(layout.fields()):
        if field.msb < 8 * size:
            # A field of one bit is a flag unless the layout names its values; gdb shows the others with their numbers.
            kind = "" if field.width == 1 else f' type="uint{8 * size}"'
            yield f'<field name="{field.name}" start="{field.lsb}" end="{field.msb}"{kind}/>'
    yield "</flags>"


def _type(name: str) -> str:
    return f"{name.lower()}_flags"


def _register(each: Numbered, *, has_flags: bool) -> str:
    register = each.register
    kind = _type(register.name) if has_flags else _vector_kind(register) or _pointer(register.name)
    group = {
        GENERAL: "",
        VECTOR: ' group="float"',
        SVE: _VECTOR_IN_LLDB if _vector_kind(register) else ' group="float"' if has_flags else "",
        SYSTEM: ' group="system" save-restore="no"',
    }[register.group]
    return f'<reg name="{register.name}" bitsize="{register.bits}" type="{kind}" regnum="{each.number}"{group}/>'


def _low_parts(members: Sequence[Numbered], first: int) -> Iterator[str]:
    """Yield V as parts of Z, with numbers from ``first`` on that no packet uses: lldb reads and writes Z."""
    vectors = [each for each in members if each.register.name.startswith("z")]
    for number, whole in enumerate(vectors, first):
        yield (
            f'<reg name="v{whole.register.name[1:]}" bitsize="{_GRANULE}" type="svevnq" regnum="{number}"'
            f'{_VECTOR_IN_LLDB} value_regnums="{whole.number}" invalidate_regnums="{whole.number}"/>'
        )


def _vector_kind(register: Register) -> str:
    """Return the type of a vector or predicate; empty for every other register."""
    if register.group == VECTOR:
        return "aarch64v" if register.name.startswith("v") else ""
    if register.group == SVE:
        return {"z": "svev", "p": _PREDICATE}.get(register.name[0], _PREDICATE if register.name == "ffr" else "")
    return ""


def _pointer(name: str) -> str:
    """Return ``int``, or the type of a register that holds an address, which debuggers show with its symbol."""
    return next((kind for prefix, kind in _POINTERS.items() if name.startswith(prefix)), "int")


def _vector_types(prefix: str, name: str, granules: int) -> Iterator[str]:
    """Yield the type ``name`` of a vector of ``granules`` times 128 bits, and its parts, whose names begin with
    ``prefix``."""
    for letter, count, views in _VECTORS:
        for view, element in views:
            yield f'<vector id="{prefix}{letter}{view}" type="{element}" count="{count * granules}"/>'
        yield f'<union id="{prefix}n{letter}">'
        for view, _ in views:
            yield f'<field name="{view}" type="{prefix}{letter}{view}"/>'
        yield "</union>"
    yield f'<union id="{name}">'
    for letter, _, _ in reversed(_VECTORS):
        yield f'<field name="{letter}" type="{prefix}n{letter}"/>'
    yield "</union>"
