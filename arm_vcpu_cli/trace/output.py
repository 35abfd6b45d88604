"""The file that a trace or a report goes to: whole or not at all under its name, and readable while it grows.

A regular file is written as ``FILE.partial`` beside FILE and takes FILE's name (rename(2): at once) when all of it is
there. A run that is killed leaves the partial file with every record that was written, and FILE as it was. Pipes,
terminals, devices and inherited descriptors (``/dev/stdout``) have no name to take; they are written directly.

The suffix chooses the compression: ``.gz`` (RFC 1952) or ``.zst`` (RFC 8878, with the ``zstandard`` package).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TextIO, cast, overload

from arm_vcpu_cli.errors import FileError, OutputError, UsageError

COMPRESSED: Final = (".gz", ".zst")
"""Suffixes of files that are compressed."""
PARTIAL: Final = ".partial"
"""What the name of a file ends with until all of it is there."""

_COMPRESSION: Final = "arm_vcpu_cli.trace.compression"
"""Only loaded for a suffix that asks for it."""
_LOCK_ATTEMPTS: Final = 8
_DESCRIPTOR: Final = re.compile(r"/dev/(?:fd/(?P<number>\d+)|(?P<name>stdout|stderr))|/proc/self/fd/(?P<entry>\d+)")
_STANDARD: Final = {"stdout": 1, "stderr": 2}.get


@overload
def open_output(path: Path | str, binary: Literal[False] = False) -> contextlib.AbstractContextManager[TextIO]: ...
@overload
def open_output(path: Path | str, binary: Literal[True]) -> contextlib.AbstractContextManager[BinaryIO]: ...
def open_output(path: Path | str, binary: bool = False) -> contextlib.AbstractContextManager[TextIO | BinaryIO]:
    """A context with the stream to write ``path`` with: text in UTF-8, or bytes if ``binary``.

    Each ``write`` should be one whole record (a line, a packet): it is with the system when the call returns, or with
    the compressor, which passes on what it has every 128 KiB. Leaving the context by an exception leaves the partial
    file; leaving it normally gives it its name.

    Raises:
        UsageError: ``path`` is ``-``, or its compression is not installed.
        FileError: It cannot be opened, or another run is writing it.
        OutputError: From a ``write`` or the end of the context: it could not be written.
    """
    return cast("contextlib.AbstractContextManager[TextIO | BinaryIO]", _open(Path(path), binary))


def partial_path(path: Path | str) -> Path:
    """Where the output for ``path`` is until it is complete: beside the file itself, also if ``path`` is a link."""
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + PARTIAL)


class _File(io.FileIO):
    """A file whose write errors say which file it is. After the first, what is written is dropped.

    Each write goes to the system at once, in one call where it takes it: a record is never in two halves.
    """

    def __init__(self, descriptor: int, path: Path, kept: Path | None) -> None:
        super().__init__(descriptor, "wb")
        self._path = path
        self._kept = kept
        self._put = super().write
        self.failure: OutputError | None = None

    def write(self, data: Any, /) -> int:
        size = len(data)
        if self.failure is not None:
            return size
        try:
            written = self._put(data)
            while written < size:
                written += self._put(memoryview(data)[written:])
            return size
        except OSError as error:
            hint = "" if self._kept is None else f"; what was written is in {self._kept}"
            # The guest has run by now: this is not the status of a bad command line.
            self.failure = OutputError(f"{self._path}: cannot be written: {error.strerror}{hint}")
            raise self.failure from error


@contextlib.contextmanager
def _open(path: Path, binary: bool) -> Iterator[TextIO | BinaryIO]:
    if str(path) == "-":
        raise UsageError("-: the guest's console is on standard output; to have both there, write to /dev/stdout")
    compression = import_module(_COMPRESSION) if path.suffix in COMPRESSED else None
    if compression is not None and not compression.is_known(path.suffix):
        raise UsageError(f"{path}: .zst needs the zstandard package (pip install 'arm-vcpu-cli[zstd]'); .gz does not")
    descriptor, partial = _open_file(path)
    file = _File(descriptor, path, partial)
    # Whatever ends the run, the file is closed; and only what is complete gets the name.
    try:
        with file, contextlib.ExitStack() as layers:
            buffer: Any = file
            if compression is not None:
                buffer = compression.compressed(file, path.suffix, layers)
            # What a guest says may hold what is no character; it must not end the run.
            yield (
                buffer
                if binary
                else layers.enter_context(
                    io.TextIOWrapper(buffer, "utf-8", errors="backslashreplace", newline="\n", write_through=True)
                )
            )
    except BaseException:
        if partial is not None:
            _remove_empty(partial)
        raise
    if file.failure is not None:
        raise file.failure
    if partial is not None:
        _take_name(partial, path)


def _open_file(path: Path) -> tuple[int, Path | None]:
    """(descriptor, the partial file or None where the output has no name to take)."""
    inherited = _DESCRIPTOR.fullmatch(str(path))
    try:
        if inherited is not None:
            # Opened anew, a file would have two positions, and the console and the trace would overwrite each other.
            number = _STANDARD(inherited["name"] or "") or int(inherited["number"] or inherited["entry"] or 1)
            return os.dup(number), None
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            return os.open(path, os.O_WRONLY | os.O_CLOEXEC), None
        if mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return _open_beside(path, mode)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error


def _open_beside(path: Path, mode: int | None) -> tuple[int, Path | None]:
    partial = partial_path(path)
    try:
        return _open_partial(partial, mode), partial
    except PermissionError:
        if mode is None:
            raise
        # The user may write this file, and no other in its directory.
        return os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _open_partial(partial: Path, mode: int | None) -> int:
    """An empty partial file that nobody else writes, with the permissions of the file that it will replace."""
    for _ in range(_LOCK_ATTEMPTS):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _lock(descriptor):
                raise FileError(partial, "another run is writing this file")
            # The run before may have finished in between, and given what was opened here its name.
            if _is_at(descriptor, partial):
                os.ftruncate(descriptor, 0)
                if mode is not None:
                    os.fchmod(descriptor, stat.S_IMODE(mode))
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise FileError(partial, "other runs are writing this file")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks; they are no reason to write no trace.
        return True
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_empty(partial: Path) -> None:
    with contextlib.suppress(OSError):
        if not partial.stat().st_size:
            partial.unlink()


def _take_name(partial: Path, path: Path) -> None:
    try:
        partial.replace(Path(os.path.realpath(path)))
    except OSError as error:
        raise OutputError(f"{path}: cannot be replaced: {error.strerror}; the output is in {partial}") from error
