"""Reads traces, JSON Lines as ``armvcpu trace --format jsonl`` writes them, a line at a time in constant memory.

A file may be compressed with gzip or Zstandard, which its first bytes reveal, so that pipes work as well.

Versions: a number above :data:`~arm_vcpu_cli.trace.event.SCHEMA_VERSION` is refused, because names may have other
meanings there. Types of events and properties unknown to this version are ignored.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, cast

from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.printable import LONGEST_LINE, LONGEST_PATH, printable, printable_path, undecoded
from arm_vcpu_cli.trace.event import NAME_KEYS, SCHEMA, SCHEMA_VERSION, TIME_BITS, TracedDevice, TraceEnd, TraceHeader

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

STDIN: Final = "-"
MAX_LINE: Final = 1 << 20
"""The maximum length of a line in bytes; those of real traces have a few hundred."""
NUMBER_BITS: Final = 64

MAX_EXPANSION: Final = 256
"""The largest ratio of a packed trace's size to its file's, beyond what any trace may have; real runs reach 100."""
ALWAYS_UNPACKED: Final = 16 << 20
"""Unpacked bytes that any compressed trace may have."""

_CHUNK: Final = 1 << 18
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LONGEST_REPORT: Final = 2000
"""The most lines of a report."""
_HEADER: Final = f'a trace\'s header, {{"type":"trace","schema":"{SCHEMA}",...}} (armvcpu trace --format jsonl)'
_SHOWN: Final = 40
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,16}").fullmatch

Record = dict[str, Any]
"""A line of a trace as a JSON object."""


class TraceFileError(FileError):
    """A file is not a trace, or is damaged; ``line`` counts from 1."""

    def __init__(self, path: Path | str, message: str, *, line: int | None = None) -> None:
        self.line = line
        super().__init__(path, message)

    def where(self) -> str:
        return "" if self.line is None else f"line {self.line}: "


class TraceReader:
    """An open trace, read once from the start. Use it as a context.

    ``header`` is set from the beginning; ``end``, ``totals`` and ``truncated`` once :meth:`lines` or :meth:`records`
    has reached the end: the end of the run and the exits by reason, None if they are missing; and whether the file ends
    in the middle of a line or of its compressed data, like that of a run that was killed. ``line`` is the number of the
    line read last.

    Raises:
        TraceFileError: From the constructor if the file cannot be read or has no header of a version up to ours; later
            if it is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.end: TraceEnd | None = None
        self.totals: Mapping[str, int] | None = None
        self.truncated = False
        self.line = 0
        self._opened = contextlib.ExitStack()
        try:
            self._lines = self._numbered(self._open())
            self.header = self._read_header()
        except BaseException:
            self._opened.close()
            raise

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the events, without line ends and unchecked.

        ``end`` and ``summary`` are removed and stored.
        """
        for line in self._lines:
            # Only these lines have no exit number.
            if line.startswith((b'{"type":"end"', b'{"type":"summary"')) or not line.startswith(b'{"type":"'):
                record = self.parse(line)
                if self._is_closing(record):
                    continue
            yield line

    def records(self) -> Iterator[Record]:
        """Yield the events; see :meth:`event`."""
        for line in self._lines:
            record = self.parse(line)
            if not self._is_closing(record):
                self.check(record)
                yield record

    def event(self, line: bytes) -> Record:
        """Return the event of a line that :meth:`lines` has just yielded.

        ``type`` is a string, ``seq`` and ``vcpu`` are 64-bit numbers and ``time_ns`` has :data:`TIME_BITS`;
        ``host_ns``, if present, has 64 bits; the name of events of a known type is a string; nothing is nested.
        """
        record = self.parse(line)
        self.check(record)
        return record

    def parse(self, line: bytes) -> Record:
        """Return the object in the line read last."""
        try:
            record = json.loads(line.decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            self.fail("not UTF-8, expected a line of JSON")
        except RecursionError:
            self.fail("nested too deeply, expected one flat object per line")
        except ValueError:
            self.fail(f"not JSON, expected one object per line, found {_shorten(line)}")
        if not isinstance(record, dict):
            self.fail(f"not an object, expected one per line, found {_shorten(line)}")
        return record

    def check(self, record: Record) -> None:
        """Refuse an event without the common properties; see :meth:`event`."""
        kind = record.get("type")
        if not isinstance(kind, str):
            self.fail('without a "type", expected an event with its type')
        self.number(record, "seq")
        self.number(record, "vcpu")
        self.number(record, "time_ns", TIME_BITS)
        if "host_ns" in record:
            self.number(record, "host_ns")
        name = NAME_KEYS.get(kind)
        if name is not None:
            self.text(record, name)
        if any(isinstance(value, (dict, list)) for value in record.values()):
            self.fail("a nested event, expected one flat object per line")

    def number(self, record: Record, key: str, bits: int = NUMBER_BITS) -> int:
        """Return a required property that must be a number from 0 on with at most ``bits`` bits."""
        value = record.get(key)
        if type(value) is not int or value < 0 or value >> bits:
            self.fail(f'"{key}" of {_kind(record)}: expected a number from 0 to 2^{bits} - 1')
        return value

    def text(self, record: Record, key: str) -> str:
        """Return a required property that must be a string."""
        value = record.get(key)
        if not isinstance(value, str):
            self.fail(f'"{key}" of {_kind(record)}: expected a string')
        return value

    def optional(self, record: Record, key: str) -> str:
        """Return a property that must be a string if present (null counts as absent); else an empty one."""
        value = record.get(key)
        return "" if value is None else self.text(record, key)

    def address(self, record: Record, key: str) -> int:
        """Return a required property that must be a hexadecimal string of up to 64 bits."""
        value = self.text(record, key)
        if _HEX(value) is None:
            self.fail(f'"{key}" of {_kind(record)}: expected a hexadecimal string such as "0x9000000"')
        return int(value, 16)

    def fail(self, message: str) -> NoReturn:
        """Refuse the line read last."""
        raise TraceFileError(self._called, message, line=self.line or None)

    @property
    def name(self) -> str:
        """The display name of the file."""
        return printable_path(self._called)

    @property
    def _called(self) -> str:
        return "<stdin>" if str(self.path) == STDIN else str(self.path)

    def _is_closing(self, record: Record) -> bool:
        """Return whether the line describes the end of the run, storing it, rather than an event."""
        kind = record.get("type")
        if kind == "end":
            self.end = TraceEnd(
                ending=printable(self.text(record, "ending")),
                status=self.number(record, "status"),
                message=printable(self.text(record, "message"), LONGEST_LINE),
                exits=self.number(record, "exits"),
                time=self.number(record, "time_ns", TIME_BITS),
                report=self._report(record),
            )
            return True
        if kind == "summary":
            exits = record.get("exits")
            if not isinstance(exits, dict):
                self.fail('"exits" of a summary: expected an object, a number for each reason')
            self.totals = {reason: self.number(exits, reason) for reason in exits}
            return True
        return False

    def _report(self, record: Record) -> tuple[str, ...]:
        """Return the lines of a report, up to the limit."""
        text = self.text(record, "report") if "report" in record else ""
        return tuple(printable(line) for line in text.split("\n")[:_LONGEST_REPORT]) if text else ()

    def _read_header(self) -> TraceHeader:
        line = next(self._lines, None)
        if line is None:
            what = "the file is empty" if not self.truncated else "the file ends within its first line"
            raise TraceFileError(self._called, f"{what}, expected {_HEADER}")
        record: Record = {}
        with contextlib.suppress(TraceFileError):
            record = self.parse(line)
        if record.get("type") != "trace" or record.get("schema") != SCHEMA:
            self.fail(f"expected {_HEADER}")
        version = record.get("version")
        if type(version) is not int or version < 1:
            self.fail(f'"version" of the header: expected a number such as {SCHEMA_VERSION}')
        if version > SCHEMA_VERSION:
            self.fail(
                f"version {version} of the schema, expected at most {SCHEMA_VERSION}: a newer armvcpu wrote it "
                f"({self.optional(record, 'tool') or 'it does not say which'})"
            )
        devices = record.get("devices", [])
        if not isinstance(devices, list):
            self.fail('"devices" of the header: expected a list')
        return TraceHeader(
            tool=printable(self.optional(record, "tool")),
            guest=printable(self.optional(record, "guest"), LONGEST_PATH),
            machine=printable(self.optional(record, "machine"), LONGEST_PATH),
            cpu=printable(self.optional(record, "cpu")),
            clock=printable(self.optional(record, "clock")),
            timing=record.get("timing") is True,
            vcpus=self.number(record, "vcpus") if "vcpus" in record else 1,
            devices=tuple(self._device(device) for device in devices),
        )

    def _device(self, device: object) -> TracedDevice:
        if not isinstance(device, dict):
            self.fail('"devices" of the header: expected an object for each')
        return TracedDevice(
            name=printable(self.text(device, "name")),
            type=printable(self.text(device, "type")),
            base=self.address(device, "base"),
            size=self.address(device, "size"),
            intid=None if device.get("intid") is None else self.number(device, "intid"),
        )

    def _numbered(self, read: Callable[[], bytes]) -> Iterator[bytes]:
        """Yield the complete lines. Our sinks write no empty ones."""
        rest = b""
        while chunk := read():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                self.line += 1
                if not line:
                    self.fail("an empty line, expected one event per line")
                yield line
            if len(rest) > MAX_LINE:
                self.line += 1
                self.fail(f"longer than {MAX_LINE} bytes, expected a trace, one event per line")
        if rest:
            # The last line may be complete without its end; nearly all of it is worth nothing.
            self.line += 1
            try:
                json.loads(rest)
            except (ValueError, RecursionError):
                self.truncated = True
            else:
                yield rest

    def _open(self) -> Callable[[], bytes]:
        """Return a function that returns the next bytes of the unpacked file, and nothing at its end."""
        if str(self.path) == STDIN:
            raw: BinaryIO = sys.stdin.buffer
        else:
            try:
                raw = self._opened.enter_context(self.path.open("rb"))
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                self._unreadable(error)
        buffered = cast("io.BufferedReader", raw)
        try:
            magic = buffered.peek(len(_ZSTD_MAGIC))[: len(_ZSTD_MAGIC)]
        except OSError as error:
            self._unreadable(error)
        packed = _Counted(buffered)
        if magic.startswith(_GZIP_MAGIC):
            # It only reads.
            unzipped = gzip.GzipFile(fileobj=cast("io.BufferedReader", packed))
            return self._guarded(self._bounded(unzipped.read1, packed), (zlib.error, gzip.BadGzipFile))
        if magic == _ZSTD_MAGIC:
            if zstandard is None:
                raise TraceFileError(
                    self._called,
                    "compressed with Zstandard, which needs the zstandard package (pip install 'arm-vcpu-cli[zstd]')",
                )
            unpacked = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                cast("io.BufferedReader", packed), read_across_frames=True, closefd=False
            )
            return self._guarded(self._bounded(unpacked.read, packed), (zstandard.ZstdError,))
        return self._guarded(buffered.read1, ())

    def _bounded(self, read: Callable[[int], bytes], packed: _Counted) -> Callable[[int], bytes]:
        """Return the reader with a limit on the unpacked size: a few compressed bytes may expand to any size."""
        total = 0

        def bounded(size: int) -> bytes:
            nonlocal total
            data = read(size)
            total += len(data)
            if total > ALWAYS_UNPACKED + MAX_EXPANSION * packed.count:
                raise TraceFileError(
                    self.name,
                    f"unpacks to more than {ALWAYS_UNPACKED >> 20} MiB and {MAX_EXPANSION} times its size, "
                    f"expected a trace (unpack it first if it is one)",
                )
            return data

        return bounded

    def _guarded(self, read: Callable[[int], bytes], damage: tuple[type[Exception], ...]) -> Callable[[], bytes]:
        def guarded() -> bytes:
            try:
                return read(_CHUNK)
            except EOFError:
                # The compressed data is truncated.
                self.truncated = True
                return b""
            except damage as error:
                raise TraceFileError(
                    self._called, f"damaged compressed data after line {self.line}: {' '.join(str(error).split())}"
                ) from None
            except OSError as error:
                self._unreadable(error)

        return guarded

    def _unreadable(self, error: OSError | ValueError) -> NoReturn:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TraceFileError(self._called, f"cannot be read: {reason}") from None


class _Counted:
    """The source of compressed data; ``count`` is the number of bytes read so far."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._read = file.read1
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._read(size)
        self.count += len(data)
        return data


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser accepts and JSON does not have (RFC 8259, 6)."""
    raise ValueError(name)


def _kind(record: Record) -> str:
    kind = record.get("type")
    return f'an event of type "{kind[:_SHOWN]}"' if isinstance(kind, str) else "an object"


def _shorten(line: bytes) -> str:
    """Return the start of a line for display."""
    return f"'{printable(undecoded(line[:_SHOWN]))}'" + ("..." if len(line) > _SHOWN else "")
