"""Describes the value of a field: sizes in bytes, addresses, attributes, features (DDI 0487, D24.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.identification.features import FEATURES
from arm_vcpu_cli.arch.registers.intid import intid_kind
from arm_vcpu_cli.arch.translation.descriptor import PAGE_SHIFT
from arm_vcpu_cli.arch.translation.memtype import DEVICE_TYPES

ZERO_REGISTER: Final = 31
_WORD_BYTES: Final = 4
_ADDRESS_BITS: Final = 64
_XS_ATTRIBUTES: Final[Mapping[int, str]] = MappingProxyType(
    {0x40: "Normal non-cacheable, XS = 0", 0xA0: "Normal write-through, XS = 0", 0xF0: "Normal write-back, tagged"}
)
_REGISTER_FIELDS: Final = frozenset({"Rt", "Rt2", "Rn", "Rd", "RN", "Raddr", "destreg", "srcreg", "sizereg"})


_INSTRUCTION_LENGTH: Final = ("16-bit instruction", "32-bit instruction, or none")
_WRITE_NOT_READ: Final = ("read", "write")
_REGISTER_SIZE: Final = ("32-bit register", "64-bit register")
_FAR_NOT_VALID: Final = ("FAR is valid", "FAR is not valid")


def general_register(number: int, *, is_64bit: bool = True) -> str:
    """Return ``x5``, ``w5``, or the zero register for 31."""
    letter = "x" if is_64bit else "w"
    return f"{letter}zr" if number == ZERO_REGISTER else f"{letter}{number}"


def byte_count(number: int) -> str:
    """Return ``1 byte``, ``64 bytes``, ``32 KiB``: in the largest unit that divides it."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if number >= 1 << shift and number % (1 << shift) == 0:
            return f"{number >> shift} {unit}"
    return f"{number} byte{'' if number == 1 else 's'}"


def memory_attribute(attribute: int) -> str:
    """Describe one byte of MAIR_ELx, or PAR_EL1.ATTR."""
    outer, inner = attribute >> 4 & 15, attribute & 15
    special = _XS_ATTRIBUTES.get(attribute)
    if special is not None:
        return special
    if outer == 0:
        if inner & 3 > 1:
            return "reserved"
        return str(DEVICE_TYPES[inner >> 2].value) + (", XS = 0" if inner & 1 else "")
    if inner == 0:
        return "reserved"
    if outer == inner:
        return f"Normal {_cacheability(outer)}"
    return f"Normal, outer {_cacheability(outer)}, inner {_cacheability(inner)}"


def _cacheability(nibble: int) -> str:
    if nibble == 0b0100:
        return "non-cacheable"
    policy = "write-back" if nibble & 0b0100 else "write-through"
    hints = [name for name, bit in (("read", 2), ("write", 1)) if nibble & bit]
    allocate = f"{' and '.join(hints)} allocate" if hints else "no allocate"
    return f"{policy}{'' if nibble & 0b1000 else ' transient'}, {allocate}"


def meaning(register: str, layout: type[Register], field: Field, value: int) -> str:
    """Return the meaning of a field's value; empty if there is nothing to add to the number.

    ``layout`` distinguishes fields of the same name. If the Arm ARM defines no such value, the result is ``reserved``.
    """
    if field.name.startswith("RES1"):
        return "RES1"
    special = _SPECIAL.get((layout.__name__, field.name)) or _SPECIAL.get(("", field.name))
    if special is not None:
        return special(value)
    if field.values:
        named = field.values.get(value, _unnamed(field))
        return f"{field.words}: {named}" if field.words and field.width > 1 and named else named or field.words
    feature = _feature(register, field.name, value)
    if feature:
        return feature
    if field.width == 1 and not value and field.words:
        return f"no: {field.words}"
    return field.words


def _unnamed(field: Field) -> str:
    # Implementers and parts are assigned outside the Arm ARM.
    return "" if field.name == "Implementer" else "reserved"


def _feature(register: str, field: str, value: int) -> str:
    """Return the highest feature that an ID register field announces, ``not implemented`` for a value below all of
    them."""
    announced = [(feature.value, name) for name, feature in FEATURES.items() if (register, field) in feature.places()]
    if not announced:
        return ""
    ranked = -1 if value == 15 and min(announced)[0] == 0 else value
    reached = [entry for entry in announced if entry[0] <= ranked]
    return max(reached)[1] if reached else "not implemented"


# Special fields: by layout and field, or by the field's name in every layout --------------------------------------


def _size_of_region(value: int) -> str:
    return f"{_ADDRESS_BITS - value}-bit addresses" if value else "reserved"


def _table_address(value: int) -> str:
    return f"{value << 1:#x}"


def _page_address(value: int) -> str:
    return f"{value << PAGE_SHIFT:#x}"


def _words_in_bytes(value: int) -> str:
    return byte_count(_WORD_BYTES << value)


def _granule(value: int) -> str:
    return _words_in_bytes(value) if value else "not provided"


def _less_one(value: int) -> str:
    return str(value + 1)


def _interrupt(value: int) -> str:
    kind = intid_kind(value)
    return {1020: "no Non-secure interrupt", 1023: "spurious: none is pending"}.get(value, f"{kind} {value}")


def _signed_ticks(value: int) -> str:
    ticks = value - (1 << 32) if value >> 31 else value
    return f"{-ticks} ticks ago" if ticks < 0 else f"in {ticks} ticks"


def _frequency(value: int) -> str:
    return f"{value / 1e6:g} MHz"


def _access_size(value: int) -> str:
    return f"{byte_count(1 << value)}"


def _level(value: int) -> str:
    return f"level {value + 1}"


def _delay(value: int) -> str:
    return f"{1 << value + 8} cycles"


_SPECIAL: Final[Mapping[tuple[str, str], Callable[[int], str]]] = MappingProxyType(
    {
        **{("", name): general_register for name in _REGISTER_FIELDS},
        **{("Mair", f"Attr{n}"): memory_attribute for n in range(8)},
        ("Par", "ATTR"): memory_attribute,
        ("", "T0SZ"): _size_of_region,
        ("", "T1SZ"): _size_of_region,
        ("", "BADDR"): _table_address,
        ("VNCR_EL2", "BADDR"): _page_address,
        ("", "TWEDEL"): _delay,
        ("Hpfar", "FIPA"): _page_address,
        ("Par", "PA"): _page_address,
        ("", "SRT"): general_register,
        ("", "SAS"): _access_size,
        ("Esr", "IL"): _INSTRUCTION_LENGTH.__getitem__,
        ("", "WnR"): _WRITE_NOT_READ.__getitem__,
        **{(name, "SF"): _REGISTER_SIZE.__getitem__ for name in ("DataAbortIss", "DataAbort64ByteIss")},
        ("", "FnV"): _FAR_NOT_VALID.__getitem__,
        ("Ctr", "IminLine"): _words_in_bytes,
        ("Ctr", "DminLine"): _words_in_bytes,
        ("Ctr", "TminLine"): _words_in_bytes,
        ("Ctr", "ERG"): _granule,
        ("Ctr", "CWG"): _granule,
        ("Dczid", "BS"): _words_in_bytes,
        ("GMID_EL1", "BS"): _words_in_bytes,
        ("Csselr", "Level"): _level,
        ("CCSIDR_EL1", "NumSets"): _less_one,
        ("CCSIDR_EL1", "Associativity"): _less_one,
        ("CCSIDR_EL1", "LineSize"): lambda value: byte_count(16 << value),
        ("CcsidrWide", "NumSets"): _less_one,
        ("CcsidrWide", "Associativity"): _less_one,
        ("CcsidrWide", "LineSize"): lambda value: byte_count(16 << value),
        ("Aa64Dfr0", "BRPs"): _less_one,
        ("Aa64Dfr0", "WRPs"): _less_one,
        ("Aa64Dfr0", "CTX_CMPs"): _less_one,
        ("IccIntid", "INTID"): _interrupt,
        ("ICH_LR", "vINTID"): _interrupt,
        ("IccCtlr", "PRIbits"): _less_one,
        ("ICH_VTR_EL2", "PRIbits"): _less_one,
        ("ICH_VTR_EL2", "PREbits"): _less_one,
        ("ICH_VTR_EL2", "ListRegs"): _less_one,
        ("TimerValue", "TimerValue"): _signed_ticks,
        ("CNTFRQ_EL0", "ClockFrequency"): _frequency,
    }
)
