"""An output file that appears under its name only when complete, and is readable while it grows.

A regular file is written as ``FILE.partial`` beside FILE and renamed to FILE (atomically, rename(2)) when complete. A
run that is killed leaves the partial file with every record written so far, and FILE unchanged. Pipes, terminals,
devices and inherited descriptors (``/dev/stdout``) cannot be renamed; they are written directly. A wait for their
reader ends when the run is stopped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from arm_vcpu_cli.errors import FileError, OutputCancelledError, OutputError, UsageError
from arm_vcpu_cli.trace.patience import Cancelled, PatientWriter, may_block, never, own_terminal

PARTIAL: Final = ".partial"
"""The suffix of a file's name until the file is complete."""

_LOCK_ATTEMPTS: Final = 8
_PARTIAL_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A link or a FIFO of that name would lead to another user's file."""
_LOOK_SECONDS: Final = 0.05
_DESCRIPTOR: Final = re.compile(r"/dev/(?:fd/(?P<number>\d+)|(?P<name>stdout|stderr))|/proc/self/fd/(?P<entry>\d+)")
_STANDARD: Final = {"stdout": 1, "stderr": 2}.get


def partial_path(path: Path | str) -> Path:
    """Return the path of the incomplete output for ``path``: beside the file itself, even if ``path`` is a link."""
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + PARTIAL)


def inherited_descriptor(path: Path | str) -> int | None:
    """Return the number of the open file that a name such as ``/dev/stdout`` denotes; None for all other names."""
    found = _DESCRIPTOR.fullmatch(str(path))
    if found is None:
        return None
    return _STANDARD(found["name"] or "") or int(found["number"] or found["entry"] or 1)


class Destination(io.FileIO):
    """A file whose write errors name the file. After the first error, output is dropped.

    Each write goes to the system at once, in one call if the system accepts it: a record is never split. ``kept`` is
    where the output can be found after an error. ``drops``: no write raises, the error is only in ``failure``.
    """

    def __init__(
        self,
        descriptor: int,
        path: Path | str,
        kept: Path | None = None,
        cancelled: Cancelled = never,
        *,
        drops: bool = False,
    ) -> None:
        super().__init__(descriptor, "wb")
        self._path = path
        self._kept = kept
        self._drops = drops
        self._put = super().write
        self._patient = PatientWriter(descriptor, cancelled) if may_block(descriptor) else None
        self.failure: OutputError | None = None

    def write(self, data: Any, /) -> int:
        size = len(data)
        if self.failure is not None:
            return size
        try:
            written = self._put_all(data, size)
        except OSError as error:
            hint = "" if self._kept is None else f"; what was written is in {self._kept}"
            self.failure = OutputError(f"{self._path}: cannot be written: {error.strerror}{hint}")
        else:
            if written < size:
                self.failure = OutputCancelledError(f"{self._path}: it has no reader")
        if self.failure is not None and not self._drops:
            raise self.failure
        return size

    def abandon(self) -> None:
        """Record that the run is being stopped: there are no more waits."""
        if self._patient is not None and self.failure is None:
            self.failure = OutputCancelledError(f"{self._path}: it has no reader")

    def _put_all(self, data: Any, size: int) -> int:
        if self._patient is not None:
            return self._patient.write(data)
        written = self._put(data)
        while written < size:
            written += self._put(memoryview(data)[written:])
        return written


@contextlib.contextmanager
def open_destination(path: Path, cancelled: Cancelled = never) -> Iterator[Destination]:
    """Open the file to write ``path`` with. Leaving the context with an exception leaves the partial file; leaving it
    normally renames it.

    Raises:
        UsageError: ``path`` is ``-``.
        FileError: It cannot be opened, or another run is writing it.
        OutputCancelledError: The run was stopped while ``path``, a FIFO, waited for a reader, or a write did.
        OutputError: From a ``write`` or the end of the context: it could not be written.
    """
    if str(path) == "-":
        raise UsageError(
            "-: expected the name of a file; standard output, where the guest's console goes, is /dev/stdout"
        )
    descriptor, partial = _open_file(path, cancelled)
    file = Destination(descriptor, path, partial, cancelled)
    # Close the file whatever ends the run, but rename it only if it is complete.
    try:
        with file:
            yield file
    except BaseException:
        if partial is not None:
            _remove_empty(partial)
        raise
    if file.failure is not None:
        raise file.failure
    if partial is not None:
        _take_name(partial, path)


def _open_file(path: Path, cancelled: Cancelled) -> tuple[int, Path | None]:
    """Return (descriptor, the partial file or None if the output cannot be renamed)."""
    inherited = inherited_descriptor(path)
    try:
        if inherited is not None:
            # A file opened a second time would have two positions, and the console and the trace would overwrite each
            # other.
            return own_terminal(inherited), None
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            return _open_special(path, cancelled), None
        if mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return _open_beside(path, mode)
    except (OSError, ValueError, OverflowError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(path, f"cannot be written: {reason}") from error


def _open_special(path: Path, cancelled: Cancelled) -> int:
    """Open a FIFO, waiting for a reader if it has none, or a device."""
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(path.stat().st_mode):
                raise
        if cancelled():
            raise OutputCancelledError(f"{path}: it has no reader")
        time.sleep(_LOOK_SECONDS)


def _open_beside(path: Path, mode: int | None) -> tuple[int, Path | None]:
    partial = partial_path(path)
    try:
        return _open_partial(partial, mode), partial
    except PermissionError:
        if mode is None:
            raise
        # The user may write this file, but no other in its directory.
        return _open_alone(path), None


def _open_alone(path: Path) -> int:
    """Open a file for exclusive writing under its own name, emptied."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if not _lock(descriptor):
            raise FileError(path, "another run is writing this file")
        os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _open_partial(partial: Path, mode: int | None) -> int:
    """Open an empty partial file for exclusive writing, with the permissions of the file that it will replace."""
    for _ in range(_LOCK_ATTEMPTS):
        descriptor = os.open(partial, _PARTIAL_FLAGS, 0o666)
        try:
            if may_block(descriptor):
                raise FileError(partial, "is in the way: not a regular file")
            if not _lock(descriptor):
                raise FileError(partial, "another run is writing this file")
            # The previous run may have finished in between and renamed the file that was opened here.
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
        # Some network file systems have no locks; that must not prevent writing a trace.
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
