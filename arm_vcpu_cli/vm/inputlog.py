"""The input log: everything that reached a guest from outside, and when, to repeat a deterministic run.

The format is JSON Lines. The first line identifies the file and names the facts that a replay must match; one line for
each delivery follows, with its tick of the guest's clock and its bytes as the characters U+0000 to U+00FF (none: the
input has ended); the last line, missing if the run was cut off, has the tick of its end:

    {"type": "armvcpu input log", "version": 2, "facts": {"seed": "0", "guest": "5f70bf18..."}}
    {"tick": 1031337, "data": "ls\\r"}
    {"tick": 2090000, "data": ""}
    {"end": 5000000}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.errors import ArmVcpuError, FileError
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.event import TIME_BITS

KIND: Final = "armvcpu input log"
VERSION: Final = 2
_OLDER: Final = 1
"""Format versions that counted instructions by different code blocks, so that their ticks differ."""
_MAX_TICK: Final = (1 << TIME_BITS) - 1
_MAX_LINE: Final = 1 << 20
"""The most bytes of one line. The largest delivery, 64 KiB, takes less than half of it."""
_MAX_SIZE: Final = 1 << 26
"""The most bytes of a log."""
_SHOWN: Final = 40
"""The most characters of a value in a message."""


class InputRecorder:
    """Writes an input log. Each delivery is a complete line in the file before :meth:`record` returns.

    ``write`` takes a whole line and writes it before it returns; an exception that it raises ends the run. ``facts``
    are names and values that a replay must match, such as the seed and the guest's digest.
    """

    def __init__(self, write: Callable[[bytes], object], facts: Mapping[str, str]) -> None:
        self._put = write
        self._ended = False
        self._write({"type": KIND, "version": VERSION, "facts": dict(facts)})

    def record(self, tick: int, data: bytes) -> None:
        """Record that ``data`` was delivered at ``tick``; empty data marks the end of the input."""
        self._write({"tick": tick, "data": data.decode("latin-1")})

    def close(self, tick: int) -> None:
        """Record the end of the run at ``tick``; without this line, the log counts as cut off."""
        if not self._ended:
            self._write({"end": tick})
            self._ended = True

    def _write(self, entry: Mapping[str, object]) -> None:
        if self._ended:
            raise ArmVcpuError("the recording has ended")
        self._put(json.dumps(entry).encode("ascii") + b"\n")


@dataclass(frozen=True)
class InputLog:
    """The content of a log. ``deliveries`` are (tick, bytes) with ticks that do not decrease; an empty one is the end
    of the input, and comes last. ``end`` is the tick at which the run ended, None if it was cut off."""

    path: Path
    facts: Mapping[str, str]
    deliveries: tuple[tuple[int, bytes], ...]
    end: int | None

    def check(self, facts: Mapping[str, str]) -> None:
        """Raise :class:`FileError`, with the name and both values, if a fact of the recorded run differs from
        ``facts``."""
        for name in sorted({*self.facts, *facts}):
            recorded, found = self.facts.get(name), facts.get(name)
            if recorded != found:
                raise FileError(
                    self.path, f"recorded with {_shown(name)} {_or_none(recorded)}, but here it is {_or_none(found)}"
                )


def load_input_log(path: Path) -> InputLog:
    """Read and check a log, whose source is not trusted. Raises :class:`FileError` with the line number."""
    deliveries: list[tuple[int, bytes]] = []
    facts: Mapping[str, str] | None = None
    end: int | None = None
    last, over = 0, False
    for number, entry in _entries(path):
        fail = _Fault(path, number)
        if facts is None:
            facts = _header(entry, fail)
            continue
        if end is not None:
            raise fail("nothing may follow the end of the run")
        if set(entry) == {"end"}:
            end = last = _tick(entry["end"], last, fail)
            continue
        if set(entry) != {"tick", "data"}:
            raise fail(f"expected the keys tick and data, found {_shown(', '.join(entry))}")
        if over:
            raise fail("nothing can arrive after the end of the input")
        last = _tick(entry["tick"], last, fail)
        data = _data(entry["data"], fail)
        over = not data
        deliveries.append((last, data))
    if facts is None:
        raise FileError(path, "the file is empty, expected an input log")
    return InputLog(path, facts, tuple(deliveries), end)


def digest(data: bytes) -> str:
    """SHA-256 of bytes, as a fact about a run."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as a fact about a guest; a pipe's data is consumed. Raises :class:`FileError`."""
    found = hashlib.sha256()
    try:
        if path.exists() and not path.is_file():
            raise FileError(path, "expected a regular file: a recording needs files that can be read again")
        with path.open("rb") as file:
            while part := file.read(_MAX_LINE):
                found.update(part)
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read: {_reason(error)}") from error
    return found.hexdigest()


class _Fault:
    """Creates the error for one line."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number

    def __call__(self, message: str) -> FileError:
        return FileError(self._path, f"line {self._number}: {message}")


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, with their line numbers."""
    left = _MAX_SIZE
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                left -= len(line)
                fail = _Fault(path, number)
                if left < 0:
                    raise fail(f"the file is larger than {_MAX_SIZE >> 20} MiB")
                if len(line) > _MAX_LINE:
                    raise fail(f"longer than {_MAX_LINE >> 10} KiB")
                if not line.endswith(b"\n"):
                    raise fail("the line is cut off")
                yield number, _object(line, fail)
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read: {_reason(error)}") from error


def _object(line: bytes, fail: _Fault) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("ascii"), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise fail("not a JSON object in ASCII, each key once") from error
    if not isinstance(value, dict):
        raise fail("not a JSON object in ASCII, each key once")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _header(entry: Mapping[str, Any], fail: _Fault) -> Mapping[str, str]:
    if entry.get("type") != KIND:
        raise fail("this is not an input log")
    version = entry.get("version")
    if type(version) is int and version == _OLDER:
        raise fail(f"version {version}, whose times are not those of this armvcpu; expected {VERSION}: record it again")
    if type(version) is not int or version != VERSION:
        raise fail(f"version {_shown(repr(version))}, expected {VERSION}")
    facts = entry.get("facts")
    if set(entry) != {"type", "version", "facts"} or not isinstance(facts, dict):
        raise fail("expected the keys type, version and facts")
    for name, value in facts.items():
        if not isinstance(value, str):
            raise fail(f"the fact {_shown(name)} is not a string")
    return MappingProxyType(facts)


def _tick(value: object, last: int, fail: _Fault) -> int:
    # bool is an int too, but no tick.
    if type(value) is not int or not 0 <= value <= _MAX_TICK:
        raise fail(f"expected a tick from 0 to 2^{TIME_BITS} - 1, found {_shown(repr(value))}")
    if value < last:
        raise fail(f"tick {value} comes after tick {last}")
    return value


def _data(value: object, fail: _Fault) -> bytes:
    if not isinstance(value, str):
        raise fail(f"expected data as a string, found {_shown(repr(value))}")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise fail(f"data has the character {value[error.start]!a}, which is no byte") from error


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _shown(text: str) -> str:
    """``text`` on one line of limited length."""
    return printable(text, _SHOWN)


def _or_none(value: str | None) -> str:
    return "not known" if value is None else _shown(value)
