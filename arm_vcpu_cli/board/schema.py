"""What a machine description may say, and typed access to the tables of the TOML document that says it.

Whatever does not fit is refused with the key's full path. A file is hostile input: values may be of any type
and any size, and names may hold anything that a TOML string can. So a message never repeats a value at full
length, and is always one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.guest.image import ImageKind
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.sizes import format_size, parse_size

MAX_REGION_SIZE: Final = 1 << 40
MAX_REGIONS: Final = 256
"""Memory regions, and as many devices: boards have a few dozen, and each takes tables of its own."""
MAX_PASSTHROUGH: Final = 0x100_0000
"""Bytes of the window of a device that is passed through, which is mapped in pages."""
MAX_BOOTARGS: Final = 2047  # bytes; the kernel's COMMAND_LINE_SIZE less the NUL
MAX_ARGUMENTS: Final = 1024
MAX_LOADS: Final = 256
MAX_SECONDS: Final = 1e9
FIRST_SPI: Final = 32
LAST_SPI: Final = 1019

KERNEL_TYPES: Final[Mapping[str, ImageKind | None]] = MappingProxyType(
    {"auto": None, "elf": "elf", "raw": "raw", "linux": "linux"}
)
"""What ``boot.kernel_type`` may say, and the kind of image that it means."""

PERMISSIONS: Final = ("r", "rw", "rx", "rwx")
HCR_TRAPS: Final = ("TVM", "TRVM", "TTLB", "TACR", "TSW", "TPC", "TPU", "TID1", "TID2")


class CpuModel(Record):
    """A CPU model of the engine: physical address bits, and its ``compatible`` in a device tree."""

    pa_bits: int
    compatible: str


CPU_MODELS: Final[Mapping[str, CpuModel]] = MappingProxyType(
    {
        "cortex-a53": CpuModel(40, "arm,cortex-a53"),
        "cortex-a57": CpuModel(44, "arm,cortex-a57"),
        "cortex-a72": CpuModel(44, "arm,cortex-a72"),
        "max": CpuModel(44, "arm,armv8"),
    }
)


MAX_CPUS: Final = 64
MAX_PHYS_CPUS: Final = 8
AFF0_CPUS: Final = 16
"""CPUs with the same Aff1 where the file leaves affinities open: as many as the target list of an SGI has bits
(ICC_SGI1R_EL1), and as QEMU's virt board has."""

DEFAULT_QUANTUM: Final = 20_000  # nanoseconds
MIN_QUANTUM: Final = 1_000
MAX_QUANTUM: Final = 10_000_000


class DeviceType(Record):
    """The least and the greatest size in bytes of a device's window, and the keys that only some types have."""

    least: int
    greatest: int
    keys: tuple[str, ...] = ("size", "intid", "passthrough")


DEVICE_TYPES: Final[Mapping[str, DeviceType]] = MappingProxyType(
    {
        "pl011": DeviceType(0x1000, 0x1_0000),
        "pl031": DeviceType(0x1000, 0x1000),
        "zero": DeviceType(4, MAX_REGION_SIZE),
        "ram": DeviceType(4, 0x100_0000),  # the host holds every byte of it
        "gicv3": DeviceType(0x1_0000, 0x1_0000, ("redistributor_base", "redistributor_size")),
        "gicv2": DeviceType(0x1000, 0x1_0000, ("size", "cpu_interface_base", "cpu_interface_size")),
    }
)
COMMON_DEVICE_KEYS: Final = ("type", "base", "enabled")
DEVICE_KEYS: Final = tuple(
    dict.fromkeys((*COMMON_DEVICE_KEYS, *(key for kind in DEVICE_TYPES.values() for key in kind.keys)))
)
"""Each once, in the order in which a message names them."""

GIC_VERSIONS: Final[Mapping[str, int]] = MappingProxyType({"gicv2": 2, "gicv3": 3})
"""The device types that are interrupt controllers."""
MAX_GICV2_CPUS: Final = 8  # IHI 0048, 1.3: a bit each in registers of 8 bits
MIN_CPU_INTERFACE: Final = 0x2000  # IHI 0048, 4.1.3: GICC_DIR is at 0x1000
MAX_CPU_INTERFACE: Final = 0x1_0000
GIC_ALIGNMENT: Final = 0x1_0000  # IHI 0069, 12.8: the frames of a GICv3 have 64 KiB
REDISTRIBUTOR_SIZE: Final = 0x2_0000  # two frames, 12.10
MAX_REDISTRIBUTORS: Final = 512
DEFAULT_REDISTRIBUTORS: Final = 123  # as many as QEMU's virt board has room for below its UART

DEFAULT_EPOCH: Final = 1_767_225_600  # 2026-01-01T00:00:00Z
LAST_EPOCH: Final = 0xFFFF_FFFF  # the PL031 counts seconds in 32 bits
DEFAULT_COUNTER_READ: Final = 2_000
"""Nanoseconds. Guests wait by reading the counter over and over: if a read took no longer than its instructions do, a
delay of theirs would last for ever."""
MAX_COUNTER_READ: Final = 1_000_000

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What only descriptions need that come from a file.
_DOCUMENT: Final = "arm_vcpu_cli.board.document"
_SHOWN_CHARACTERS: Final = 60
_HEX_FROM: Final = 1 << 16  # from here on a number is more likely an address than a count


def quote_key(name: str) -> str:
    """``name`` as a TOML key: bare where that is allowed, else quoted and shortened."""
    if _BARE_KEY.fullmatch(name):
        return name
    return _quoted(name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "...")


def _quoted(text: str) -> str:
    # Only messages need it.
    quoted: str = import_module("json").dumps(text)
    return quoted


def describe_value(value: object) -> str:
    """What a TOML value is, in a few words, for a message that says what was found instead."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value.bit_length() > 64:
            return f"an integer of {value.bit_length()} bits"
        return f"{value:#x}" if abs(value) >= _HEX_FROM else f"{value}"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
        return f"the string {_quoted(shown)}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    described: str = import_module(_DOCUMENT).describe_date(value)
    return described


def one_of(choices: Sequence[str]) -> str:
    """``"a", "b" or "c"``."""
    quoted = [f'"{choice}"' for choice in choices]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}"


def close_match(name: str, choices: Iterable[str]) -> str:
    """`` (did you mean "x"?)``, or nothing where no choice is close. Case does not matter."""
    by_folded = {choice.casefold(): choice for choice in choices}
    found = import_module("difflib").get_close_matches(name[:64].casefold(), by_folded, n=1)
    return f' (did you mean "{by_folded[found[0]]}"?)' if found else ""


class Table:
    """One table of the document, with the path of the keys that led to it.

    ``known`` names the keys that the table may have; None is for tables whose keys are names of the user's.
    Every method raises MachineFileError for a value that is not what it asks for.
    """

    def __init__(
        self, path: Path, values: Mapping[str, object], *, key: str = "", known: Sequence[str] | None = None
    ) -> None:
        self.path = path
        self.key = key
        self._values = values
        if known is not None:
            for name in values:
                if name not in known:
                    raise self.error(name, f"unknown key{close_match(name, known)}")

    def key_of(self, name: str | None) -> str:
        """The full path of the key ``name`` in this table, or of the table itself."""
        if name is None:
            return self.key
        return f"{self.key}.{quote_key(name)}" if self.key else quote_key(name)

    def error(self, name: str | None, message: str) -> MachineFileError:
        """The error to raise about the key ``name``, or about the table itself."""
        return MachineFileError(self.path, message, key=self.key_of(name) or None)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def table(self, name: str, known: Sequence[str] | None) -> Table:
        """The table ``name``; an empty one where the key is missing."""
        value = self._values.get(name, {})
        if not isinstance(value, Mapping):
            raise self.error(name, f"expected a table, found {describe_value(value)}")
        return Table(self.path, value, key=self.key_of(name), known=known)

    def tables(self, known: Sequence[str], *, most: int | None = None) -> Iterator[tuple[str, Table]]:
        """The tables in a table whose keys are names chosen by the user; the names are checked, and that there are no
        more than ``most``."""
        if most is not None and len(self._values) > most:
            raise self.error(None, f"expected at most {most} tables in it, found {len(self._values)}")
        for name in self._values:
            if not _BARE_KEY.fullmatch(name):
                raise self.error(name, "expected a name of at most 64 letters, digits, '-' and '_'")
            yield name, self.table(name, known)

    def boolean(self, name: str, default: bool) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, f"expected true or false, found {describe_value(value)}")
        return value

    def booleans(self) -> tuple[tuple[str, bool], ...]:
        """All keys of a table whose values are all true or false, by name."""
        return tuple((name, self.boolean(name, False)) for name in sorted(self._values))

    def integer(self, name: str, *, low: int, high: int, multiple_of: int = 1, default: int | None = None) -> int:
        """An integer from ``low`` to ``high``, both included. Without a default the key must be there."""
        value = self._required(name, "an integer", default)
        return self._aligned(name, self._in_range(name, value, low, high), multiple_of)

    def optional_integer(self, name: str, *, low: int, high: int, multiple_of: int = 1) -> int | None:
        """As ``integer``, None where the key is missing."""
        if name not in self._values:
            return None
        return self.integer(name, low=low, high=high, multiple_of=multiple_of)

    def integers(self, name: str, *, low: int, high: int, counts: tuple[int, int]) -> tuple[int, ...]:
        """An array of integers; ``counts`` are the least and the greatest number of them."""
        least, greatest = counts
        value = self._required(name, f"an array of {least} to {greatest} integers", None)
        if not isinstance(value, list) or not least <= len(value) <= greatest:
            found = f"{len(value)} of them" if isinstance(value, list) else describe_value(value)
            raise self.error(name, f"expected an array of {least} to {greatest} integers, found {found}")
        return tuple(self._in_range(name, item, low, high) for item in value)

    def is_array(self, name: str) -> bool:
        return isinstance(self._values.get(name), list)

    def array(self, name: str, count: int, what: str) -> list[object]:
        """An array of ``count`` values of any type; ``what`` says in messages what they are to be."""
        value = self._required(name, f"an array of {count} {what}", None)
        if not isinstance(value, list) or len(value) != count:
            found = f"{len(value)} of them" if isinstance(value, list) else describe_value(value)
            raise self.error(name, f"expected an array of {count} {what}, found {found}")
        return list(value)

    def size(self, name: str, *, low: int = 1, high: int, multiple_of: int = 1, default: int | None = None) -> int:
        """A size in bytes, from ``low`` to ``high``: an integer, or a string with a unit."""
        value = self._required(name, 'a size such as "64KiB" or 4096', default)
        if isinstance(value, str):
            try:
                value = parse_size(value)
            except ValueError as error:
                raise self.error(name, str(error)) from None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, f'expected a size such as "64KiB" or 4096, found {describe_value(value)}')
        if not low <= value <= high:
            limits = f"{format_size(low)} to {format_size(high)}"
            raise self.error(name, f"expected a size from {limits}, found {describe_value(value)}")
        return self._aligned(name, value, multiple_of)

    def timestamp(self, name: str, *, high: int, default: int) -> int:
        """Whole seconds since 1970 (UTC), from 0 to ``high``: an integer, or a date and time with an offset."""
        value = self._values.get(name, default)
        if not isinstance(value, int):
            value = import_module(_DOCUMENT).seconds_of_date(value)
        if isinstance(value, bool) or not isinstance(value, int):
            expected = "seconds since 1970, or a date and time with an offset such as 2026-01-01T00:00:00Z"
            raise self.error(name, f"expected {expected}, found {describe_value(value)}")
        if not 0 <= value <= high:
            last = import_module(_DOCUMENT).date_of_seconds(high)
            raise self.error(name, f"expected a time from 1970 to {last}, found {describe_value(value)}")
        return value

    def number(self, name: str, *, high: float, default: float) -> float:
        """A finite number from 0 to ``high``; an integer will do."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(name, f"expected a number, found {describe_value(value)}")
        if not 0 <= value <= high or (isinstance(value, float) and not math.isfinite(value)):
            raise self.error(name, f"expected a number from 0 to {high:g}, found {describe_value(value)}")
        return float(value)

    def string(self, name: str, default: str | None = None) -> str:
        """A string without control characters. Without a default the key must be there."""
        value = self._required(name, "a string", default)
        if not isinstance(value, str):
            raise self.error(name, f"expected a string, found {describe_value(value)}")
        if any(character < " " or character == "\x7f" for character in value):
            raise self.error(name, f"expected no control characters, found {describe_value(value)}")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of the strings ``choices``. Without a default the key must be there."""
        value = self._required(name, one_of(choices), default)
        return self._chosen(name, value, choices)

    def choices(self, name: str, choices: Sequence[str]) -> tuple[str, ...]:
        """An array of different strings out of ``choices``; empty where the key is missing."""
        value = self._values.get(name, [])
        if not isinstance(value, list):
            raise self.error(name, f"expected an array of strings, found {describe_value(value)}")
        chosen: list[str] = []
        for item in value:
            text = self._chosen(name, item, choices)
            if text in chosen:
                raise self.error(name, f'"{text}" is there twice')
            chosen.append(text)
        return tuple(chosen)

    def strings(self, name: str, *, most: int) -> tuple[str, ...]:
        """An array of at most ``most`` strings without control characters; empty where the key is missing."""
        value = self._values.get(name, [])
        if not isinstance(value, list) or len(value) > most:
            found = f"{len(value)} of them" if isinstance(value, list) else describe_value(value)
            raise self.error(name, f"expected an array of at most {most} strings, found {found}")
        return tuple(Table(self.path, {name: item}, key=self.key).string(name) for item in value)

    def _required(self, name: str, expected: str, default: object) -> object:
        value = self._values.get(name, default)
        if value is None:
            raise self.error(name, f"missing, expected {expected}")
        return value

    def _in_range(self, name: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, f"expected an integer, found {describe_value(value)}")
        if not low <= value <= high:
            limits = f"{describe_value(low)} to {describe_value(high)}"
            raise self.error(name, f"expected an integer from {limits}, found {describe_value(value)}")
        return value

    def _aligned(self, name: str, value: int, multiple_of: int) -> int:
        if value % multiple_of:
            raise self.error(name, f"expected a multiple of {format_size(multiple_of)}, found {value:#x}")
        return value

    def _chosen(self, name: str, value: object, choices: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            hint = close_match(value, choices) if isinstance(value, str) else ""
            raise self.error(name, f"expected {one_of(choices)}, found {describe_value(value)}{hint}")
        return value
