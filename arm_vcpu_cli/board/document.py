"""TOML documents: reading them, and the dates in them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import tomli

from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.sizes import format_size

MAX_FILE_SIZE: Final = 1 << 20  # bytes; a description is a page of text


def parse_document(path: Path, data: bytes) -> dict[str, object]:
    """The TOML document in ``data``; ``path`` is for messages. Raises MachineFileError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte {data[error.start]:#04x} at line {line} (offset {error.start:#x})"
        raise MachineFileError(path, message) from None
    try:
        return tomli.loads(text)
    except RecursionError:
        raise MachineFileError(path, "not valid TOML: arrays or tables nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or what int() says about thousands of digits
        message = " ".join(str(error).split())
        raise MachineFileError(path, f"not valid TOML: {message[:200]}") from None


def read_document(path: Path) -> dict[str, object]:
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


def describe_date(value: object) -> str:
    """What a value that is a date, a time or both is, in a few words."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return "a date and time without an offset"
    return "a date or time"


def seconds_of_date(value: object) -> object:
    """Whole seconds since 1970 (UTC) of a date and time with an offset; any other value as it is."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return int(value.timestamp())
    return value


def date_of_seconds(seconds: int) -> str:
    """The date and time, as a document would have it, of seconds since 1970 (UTC)."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
