"""The output stream of a trace, a report or a summary: text or bytes, compressed according to the file's suffix.

``.gz`` (RFC 1952) or ``.zst`` (RFC 8878, with the ``zstandard`` package). :mod:`~arm_vcpu_cli.trace.destination`
describes how the file gets its name.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TextIO, cast, overload

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.trace.destination import Destination, open_destination
from arm_vcpu_cli.trace.patience import Cancelled, never, own_terminal

COMPRESSED: Final = (".gz", ".zst")
"""Suffixes of compressed files."""

_COMPRESSION: Final = "arm_vcpu_cli.trace.compression"
"""Loaded only for such a suffix."""
_BUFFER: Final = 1 << 13


@overload
def open_output(
    path: Path | str, binary: Literal[False] = False, *, cancelled: Cancelled = never
) -> contextlib.AbstractContextManager[TextIO]: ...
@overload
def open_output(
    path: Path | str, binary: Literal[True], *, cancelled: Cancelled = never
) -> contextlib.AbstractContextManager[BinaryIO]: ...
def open_output(
    path: Path | str, binary: bool = False, *, cancelled: Cancelled = never
) -> contextlib.AbstractContextManager[TextIO | BinaryIO]:
    """Open the stream to write ``path`` with: text in UTF-8, or bytes if ``binary``.

    Each ``write`` should be one whole record (a line, a packet): when the call returns, the system has it, or the
    compressor, which passes on its data every 128 KiB. Leaving the context with an exception leaves the partial file;
    leaving it normally renames it. If nothing reads the output, ``cancelled`` returns whether to stop waiting.

    Raises:
        UsageError: ``path`` is ``-``, or its compression is not installed.
        FileError: It cannot be opened, or another run is writing it.
        OutputError: From a ``write`` or the end of the context: it could not be written.
    """
    return cast("contextlib.AbstractContextManager[TextIO | BinaryIO]", _open(Path(path), binary, cancelled))


@contextlib.contextmanager
def _open(path: Path, binary: bool, cancelled: Cancelled) -> Iterator[TextIO | BinaryIO]:
    compression = import_module(_COMPRESSION) if path.suffix in COMPRESSED else None
    if compression is not None and not compression.is_known(path.suffix):
        raise UsageError(f"{path}: .zst needs the zstandard package (pip install 'arm-vcpu-cli[zstd]'); .gz does not")
    with open_destination(path, cancelled) as file, contextlib.ExitStack() as layers:
        buffer: Any = file
        if compression is not None:
            buffer = compression.compressed(file, path.suffix, layers)
        # A guest's output may contain invalid characters, which must not end the run.
        with _given_up(file):
            yield (
                buffer
                if binary
                else layers.enter_context(
                    io.TextIOWrapper(buffer, "utf-8", errors="backslashreplace", newline="\n", write_through=True)
                )
            )


@contextlib.contextmanager
def _given_up(file: Destination) -> Iterator[None]:
    """Stop waiting, after Ctrl-C, for what the layers still hold."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        file.abandon()
        raise


@contextlib.contextmanager
def open_stderr(cancelled: Cancelled = never, *, drops: bool = False) -> Iterator[TextIO]:
    """Open stderr as such a stream. Unless it is a terminal it has a buffer, which is faster than the interpreter's
    stream, which writes each line separately. ``drops``: output that cannot be written is lost silently."""
    sys.stderr.flush()
    try:
        descriptor = own_terminal(sys.stderr.fileno())
    except (OSError, ValueError):
        # It is not a file.
        yield sys.stderr
        return
    with Destination(descriptor, "stderr", None, cancelled, drops=drops) as file:
        direct = file.isatty()
        buffer: Any = file if direct else io.BufferedWriter(file, _BUFFER)
        with (
            io.TextIOWrapper(
                buffer, sys.stderr.encoding, errors="backslashreplace", newline="\n", write_through=direct
            ) as stream,
            _given_up(file),
        ):
            yield stream
