"""The schema of machine descriptions, and typed access to the tables of their TOML documents.

An invalid value is refused with the key's full path and its line. A file is hostile input: values may be of any
type and any size, and names may hold anything that a TOML string can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.image import ImageKind
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.sizes import format_size, parse_size

MAX_REGION_SIZE: Final = 1 << 40
MAX_REGIONS: Final = 256
"""The most memory regions, and the most devices: boards have a few dozen, and each needs tables of its own."""
MAX_PASSTHROUGH: Final = 0x100_0000
"""The largest window, in bytes, of a device that is passed through: it is mapped in pages."""
MAX_BOOTARGS: Final = 2047  # bytes; the kernel's COMMAND_LINE_SIZE less the NUL
MAX_ARGUMENTS: Final = 1024
MAX_LOADS: Final = 256
MAX_SECONDS: Final = 1e9
FIRST_SPI: Final = 32
LAST_SPI: Final = 1019

KERNEL_TYPES: Final[Mapping[str, ImageKind | None]] = MappingProxyType(
    {"auto": None, "elf": "elf", "raw": "raw", "linux": "linux"}
)
"""The values of ``boot.kernel_type`` and the kinds of image that they stand for."""

PERMISSIONS: Final = ("r", "rw", "rx", "rwx")


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

DEFAULT_QUANTUM: Final = 20_000  # nanoseconds
MIN_QUANTUM: Final = 1_000
MAX_QUANTUM: Final = 10_000_000


class DeviceType(Record):
    """The minimum and maximum size in bytes of a device's window, and the keys that only some types have."""

    least: int
    greatest: int
    keys: tuple[str, ...] = ("size", "intid", "passthrough")


EMPTY_TRANSPORTS: Final = "virtio-mmio"
DEVICE_TYPES: Final[Mapping[str, DeviceType]] = MappingProxyType(
    {
        "pl011": DeviceType(0x1000, 0x1_0000),
        "pl031": DeviceType(0x1000, 0x1000),
        "zero": DeviceType(4, MAX_REGION_SIZE),
        "ram": DeviceType(4, 0x100_0000),  # the host holds every byte of it
        EMPTY_TRANSPORTS: DeviceType(0x200, 0x1_0000, ("size",)),
        "gicv3": DeviceType(0x1_0000, 0x1_0000, ("redistributor_base", "redistributor_size", "spis")),
        "gicv2": DeviceType(0x1000, 0x1_0000, ("size", "cpu_interface_base", "cpu_interface_size", "spis")),
    }
)
COMMON_DEVICE_KEYS: Final = ("type", "base", "enabled")
DEVICE_KEYS: Final = tuple(
    dict.fromkeys((*COMMON_DEVICE_KEYS, *(key for kind in DEVICE_TYPES.values() for key in kind.keys)))
)
"""Each key once, in the order in which messages list them."""

GIC_VERSIONS: Final[Mapping[str, int]] = MappingProxyType({"gicv2": 2, "gicv3": 3})
"""The device types that are interrupt controllers."""
REDISTRIBUTOR_SIZE: Final = 0x2_0000  # two frames, 12.10

DEFAULT_EPOCH: Final = 1_767_225_600  # 2026-01-01T00:00:00Z
LAST_EPOCH: Final = 0xFFFF_FFFF  # the PL031 counts seconds in 32 bits
DEFAULT_COUNTER_READ: Final = 2_000
"""Nanoseconds. Guests wait by polling the counter: if a read took no longer than its instructions, their delays would
never end."""
MAX_COUNTER_READ: Final = 1_000_000

# Only for descriptions from a file, and for errors.
_DOCUMENT: Final = "arm_vcpu_cli.board.document"
_PROBLEMS: Final = "arm_vcpu_cli.board.problems"


def _is_bare(name: str) -> bool:
    """Whether a key is 1 to 64 letters, digits, ``-`` and ``_``, which need no quotes (TOML, "Keys")."""
    return len(name) <= 64 and name.isascii() and name.replace("-", "_").replace("_", "0").isalnum()


def quote_key(name: str) -> str:
    """``name`` as a TOML key: bare where that is allowed, else quoted and shortened."""
    if _is_bare(name):
        return name
    return str(import_module(_PROBLEMS).quoted(name))


class Findings:
    """The errors found in a document so far. ``places`` finds the positions of its keys, if it has source text."""

    def __init__(self, places: Callable[[], Mapping[Any, Any]] | None) -> None:
        self.places = places
        self.errors: list[MachineFileError] = []
        self.left_out = 0

    def finish(self) -> None:
        """Raise MachineFileError with all errors, if there are any."""
        if self.errors:
            error: MachineFileError = import_module(_PROBLEMS).combined(self.errors, self.left_out)
            raise error


class Table:
    """One table of the document, with the path of the keys that led to it.

    ``known`` names the keys that the table may have; None is for tables whose keys the user chooses. A method refuses
    an invalid value: it records the error, so that all errors are reported at once, and returns a placeholder of the
    right type. The result must not be used: :attr:`flawed` and :meth:`is_valid` report that.
    """

    def __init__(
        self,
        path: FilePath,
        values: Mapping[str, object],
        *,
        known: Sequence[str] | None = None,
        findings: Findings | None = None,
        parent: Table | None = None,
        name: str = "",
        index: int | None = None,
    ) -> None:
        self.path = path
        self.key = "" if parent is None else parent.key_of(name) + ("" if index is None else f"[{index}]")
        self.findings: Findings = findings or (Findings(None) if parent is None else parent.findings)
        self.flawed = False
        """Whether a value in it, or in a table inside it, was refused."""
        self._values = values
        self._parent = parent
        trail = () if parent is None else (*parent.trail, name)
        self.trail: Final[tuple[str | int, ...]] = trail if index is None else (*trail, index)
        self._refused: set[str | None] = set()
        if known is not None:
            for key in values:
                if key not in known:
                    self.refuse(key, import_module(_PROBLEMS).unknown_key(key, known, self.findings))

    def key_of(self, name: str | None) -> str:
        """The full path of the key ``name`` in this table, or of the table itself."""
        if name is None:
            return self.key
        return f"{self.key}.{quote_key(name)}" if self.key else quote_key(name)

    def error(self, name: str | None, message: str) -> MachineFileError:
        """An error about the key ``name``, or about the table itself."""
        line = import_module(_PROBLEMS).line_of(self.findings, self.trail if name is None else (*self.trail, name))
        return MachineFileError(self.path, message, key=self.key_of(name) or None, line=line)

    def refuse(self, name: str | None, message: str) -> None:
        """Record that the key ``name``, or the table itself, is invalid."""
        self._refused.add(name)
        table: Table | None = self
        while table is not None and not table.flawed:
            table.flawed = True
            table = table._parent
        import_module(_PROBLEMS).add(self, name, message)

    def is_valid(self, name: str) -> bool:
        """Whether the key ``name`` was not refused so far."""
        return name not in self._refused

    def found(self, name: str, value: object, index: int | None = None) -> str:
        """The value of the key ``name``, or its array element at ``index``, for a message: a number as it is
        written."""
        trail = (*self.trail, name) if index is None else (*self.trail, name, index)
        shown: str = import_module(_PROBLEMS).as_written(self.findings, trail, value)
        return shown

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def table(self, name: str, known: Sequence[str] | None) -> Table:
        """The table ``name``; an empty one where the key is missing."""
        value = self._values.get(name, {})
        if not isinstance(value, Mapping):
            self.refuse(name, f"expected a table, found {self.found(name, value)}")
            value = {}
        table = Table(self.path, value, parent=self, name=name, known=known)
        table.flawed = table.flawed or not self.is_valid(name)
        return table

    def tables(self, known: Sequence[str], *, most: int | None = None) -> Iterator[tuple[str, Table]]:
        """The tables in a table whose keys are names chosen by the user; the names are checked, and their number is
        limited to ``most``."""
        if most is not None and len(self._values) > most:
            self.refuse(None, f"expected at most {most} tables in it, found {len(self._values)}")
            return
        for name in self._values:
            if not _is_bare(name):
                self.refuse(name, "expected a name of at most 64 letters, digits, '-' and '_'")
                continue
            table = self.table(name, known)
            if self.is_valid(name):
                yield name, table

    def boolean(self, name: str, default: bool) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            self.refuse(name, f"expected true or false, found {self.found(name, value)}")
            return default
        return value

    def booleans(self) -> tuple[tuple[str, bool], ...]:
        """All keys of a table whose values are all true or false, by name."""
        return tuple((name, self.boolean(name, False)) for name in sorted(self._values))

    def integer(self, name: str, *, low: int, high: int, multiple_of: int = 1, default: int | None = None) -> int:
        """An integer from ``low`` to ``high``, both included. Without a default the key must be there."""
        value = self._required(name, "an integer", default)
        number = self._in_range(name, value, low, high)
        return number if self._is_aligned(name, number, multiple_of) else low

    def optional_integer(self, name: str, *, low: int, high: int, multiple_of: int = 1) -> int | None:
        """As ``integer``, None where the key is missing."""
        if name not in self._values:
            return None
        number = self.integer(name, low=low, high=high, multiple_of=multiple_of)
        return number if self.is_valid(name) else None

    def integers(self, name: str, *, low: int, high: int, counts: tuple[int, int]) -> tuple[int, ...]:
        """Return an array of integers; ``counts`` are its minimum and maximum length. Empty if it is refused."""
        values = self._array(name, counts, f"{counts[0]} to {counts[1]} integers", None)
        return tuple(self._in_range(name, item, low, high, index) for index, item in enumerate(values))

    def strings(self, name: str, *, most: int) -> tuple[str, ...]:
        """An array of at most ``most`` strings without control characters; empty where the key is missing."""
        values = self._array(name, (0, most), f"at most {most} strings", [])
        return tuple(self._text(name, item, index) for index, item in enumerate(values))

    def is_array(self, name: str) -> bool:
        return isinstance(self._values.get(name), list)

    def array(self, name: str, count: int, what: str) -> list[object]:
        """An array of ``count`` values of any type; ``what`` describes them in messages. Empty if it is refused."""
        return self._array(name, (count, count), f"{count} {what}", None)

    def elements(self, name: str, known: Sequence[str], *, most: int) -> Iterator[Table]:
        """The tables of the array of tables ``name``."""
        for index, value in enumerate(self._array(name, (0, most), f"at most {most} tables", [])):
            if isinstance(value, Mapping):
                yield Table(self.path, value, parent=self, name=name, index=index, known=known)
            else:
                self.refuse(name, f"expected a table, found {self.found(name, value, index)}")

    def _array(self, name: str, counts: tuple[int, int], what: str, default: object) -> list[object]:
        value = self._required(name, f"an array of {what}", default)
        if isinstance(value, list) and counts[0] <= len(value) <= counts[1]:
            return value
        if value is not None:
            found = f"{len(value)} of them" if isinstance(value, list) else self.found(name, value)
            self.refuse(name, f"expected an array of {what}, found {found}")
        return []

    def size(self, name: str, *, low: int = 1, high: int, multiple_of: int = 1, default: int | None = None) -> int:
        """A size in bytes, from ``low`` to ``high``: an integer, or a string with a unit."""
        written = self._required(name, 'a size such as "64KiB" or 4096', default)
        if written is None:
            return low
        value = written
        if isinstance(value, str):
            try:
                value = parse_size(value)
            except ValueError as error:
                self.refuse(name, str(error))
                return low
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f'expected a size such as "64KiB" or 4096, found {self.found(name, written)}')
            return low
        if not low <= value <= high:
            limits = f"{format_size(low)} to {format_size(high)}"
            self.refuse(name, f"expected a size from {limits}, found {self.found(name, written)}")
            return low
        return value if self._is_aligned(name, value, multiple_of, written) else low

    def timestamp(self, name: str, *, high: int, default: int) -> int:
        """Whole seconds since 1970 (UTC), from 0 to ``high``: an integer, or a date and time with an offset."""
        value = self._values.get(name, default)
        if not isinstance(value, int):
            value = import_module(_DOCUMENT).seconds_of_date(value)
        if isinstance(value, bool) or not isinstance(value, int):
            expected = "seconds since 1970, or a date and time with an offset such as 2026-01-01T00:00:00Z"
            self.refuse(name, f"expected {expected}, found {self.found(name, value)}")
            return default
        if not 0 <= value <= high:
            last = import_module(_DOCUMENT).date_of_seconds(high)
            self.refuse(name, f"expected a time from 1970 to {last}, found {self.found(name, value)}")
            return default
        return value

    def number(self, name: str, *, high: float, default: float) -> float:
        """A finite number from 0 to ``high``, integer or not."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(name, f"expected a number, found {self.found(name, value)}")
            return default
        if not 0 <= value <= high or (isinstance(value, float) and not math.isfinite(value)):
            self.refuse(name, f"expected a number from 0 to {high:g}, found {self.found(name, value)}")
            return default
        return float(value)

    def string(self, name: str, default: str | None = None) -> str:
        """A string without control characters. Without a default the key must be there."""
        value = self._required(name, "a string", default)
        return "" if value is None else self._text(name, value)

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of the strings ``choices``. Without a default the key must be there."""
        value = self._values.get(name, default)
        if value is None:
            self.refuse(name, f"missing, expected {import_module(_PROBLEMS).one_of(choices)}")
        elif self._is_one_of(name, value, choices):
            return str(value)
        return choices[0] if default is None else default

    def choices(self, name: str, choices: Sequence[str]) -> tuple[str, ...]:
        """An array of different strings out of ``choices``; empty where the key is missing."""
        value = self._values.get(name, [])
        if not isinstance(value, list):
            self.refuse(name, f"expected an array of strings, found {self.found(name, value)}")
            return ()
        chosen: list[str] = []
        for index, item in enumerate(value):
            if not self._is_one_of(name, item, choices, index):
                continue
            if item in chosen:
                self.refuse(name, f'"{item}" is listed twice')
            chosen.append(item)
        return tuple(chosen)

    def _required(self, name: str, expected: str, default: object) -> object:
        """The value of a key; None, with an error recorded, if it is missing."""
        value = self._values.get(name, default)
        if value is None:
            self.refuse(name, f"missing, expected {expected}")
        return value

    def _in_range(self, name: str, value: object, low: int, high: int, index: int | None = None) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            if value is not None:
                self.refuse(name, f"expected an integer, found {self.found(name, value, index)}")
            return low
        if not low <= value <= high:
            found = self.found(name, value, index)
            self.refuse(name, f"expected an integer from {import_module(_PROBLEMS).limits(low, high, found)}")
            return low
        return value

    def _is_aligned(self, name: str, value: int, multiple_of: int, written: object = None) -> bool:
        if value % multiple_of:
            found = self.found(name, value if written is None else written)
            self.refuse(name, f"expected a multiple of {format_size(multiple_of)}, found {found}")
            return False
        return True

    def _text(self, name: str, value: object, index: int | None = None) -> str:
        if not isinstance(value, str):
            self.refuse(name, f"expected a string, found {self.found(name, value, index)}")
        elif any(character < " " or character == "\x7f" for character in value):
            self.refuse(name, f"expected no control characters, found {self.found(name, value, index)}")
        else:
            return value
        return ""

    def _is_one_of(self, name: str, value: object, choices: Sequence[str], index: int | None = None) -> bool:
        if isinstance(value, str) and value in choices:
            return True
        expected = import_module(_PROBLEMS).choice(choices, value, self.found(name, value, index))
        self.refuse(name, f"expected {expected}")
        return False
