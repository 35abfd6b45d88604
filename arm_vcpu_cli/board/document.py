"""Reads TOML documents, and the dates in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import tomli

from arm_vcpu_cli.board.toml_places import Place, Trail, find_places, line_of, with_numbers_as_written
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.sizes import format_size

MAX_FILE_SIZE: Final = 1 << 20  # bytes; a description is a page of text
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ENDLESS: Final = re.compile(r"[0-9_]{1000}")
"""The message for a number that the interpreter refuses to parse; the interpreter gives no position."""

_ELEMENT: Final = re.compile(r"([A-Za-z0-9_-]+)\[([0-9]{1,9})\]\.?")


class TomlDocument(dict[str, object]):
    """A parsed document, with its source text."""

    def __init__(self, values: Mapping[str, object], text: str) -> None:
        super().__init__(values)
        self._text = text
        self._places: Mapping[Trail, Place] | None = None

    def places(self) -> Mapping[Trail, Place]:
        """The positions of its keys and values, found on demand."""
        if self._places is None:
            self._places = find_places(self._text)
        return self._places


def parse_document(path: Path, data: bytes) -> TomlDocument:
    """Parse the TOML document in ``data``; ``path`` is for messages. Raises MachineFileError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte {data[error.start]:#04x} (offset {error.start:#x})"
        raise MachineFileError(path, message, line=line) from None
    try:
        return TomlDocument(tomli.loads(text), text)
    except RecursionError:
        raise MachineFileError(path, "not valid TOML: arrays or tables nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or int()'s error for thousands of digits
        raise _syntax_error(path, text, " ".join(str(error).split())) from None


def _syntax_error(path: Path, text: str, message: str) -> MachineFileError:
    """The parser's error, with its line number."""
    place = _PLACE.search(message)
    if place is None:
        digits = _ENDLESS.search(text)
        line = None if digits is None else text.count("\n", 0, digits.start()) + 1
    elif place[1] is None:
        # An error at the end of the document: report its last line that is not blank.
        line = text.rstrip().count("\n") + 1
    else:
        line, message = int(place[1]), _PLACE.sub(f" (column {place[2]})", message)
    return MachineFileError(path, f"not valid TOML: {message[:200]}", line=line)


def read_document(path: Path) -> TomlDocument:
    """Read and parse a TOML file. Raises MachineFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MachineFileError(path, f"cannot be read: {reason}") from None
    if len(data) > MAX_FILE_SIZE:
        raise MachineFileError(path, f"larger than {format_size(MAX_FILE_SIZE)}, not a machine description")
    return parse_document(path, data)


def located(error: MachineFileError) -> MachineFileError:
    """Return ``error`` with the line of its key, and with the key's number as written: an error found only when a
    machine is built has neither, so the file is read again to find them."""
    if error.line is not None or error.key is None or not error.path.is_file():
        return error
    try:
        places = read_document(error.path).places()
    except MachineFileError:
        return error
    trail = _trail_of(error.key)
    place = places.get(trail)
    message = error.message if place is None else with_numbers_as_written(error.message, place.text)
    return MachineFileError(
        error.path,
        message,
        key=error.key,
        line=line_of(places, trail),
        others=error.others,
        left_out=error.left_out,
    )


def _trail_of(key: str) -> Trail:
    """The trail of a key by its full path, which may begin with an element of an array of tables."""
    element = _ELEMENT.match(key)
    if element is None:
        return _trail(tomli.loads(f"{key} = 0"))
    rest = key[element.end() :]
    return (element[1], int(element[2]), *(_trail_of(rest) if rest else ()))


def _trail(value: object) -> tuple[str, ...]:
    """The keys that lead to the document's only value."""
    if not isinstance(value, dict):
        return ()
    ((key, below),) = value.items()
    return (key, *_trail(below))


def describe_date(value: object) -> str:
    """A short description of a date, a time or both."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return "a date and time without an offset"
    return "a date or time"


def seconds_of_date(value: object) -> object:
    """Whole seconds since 1970 (UTC) of a date and time with an offset; any other value unchanged."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return int(value.timestamp())
    return value


def date_of_seconds(seconds: int) -> str:
    """The TOML date and time for seconds since 1970 (UTC)."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
