"""The one host folder whose files a guest may use, without any way out of it.

A name is resolved one component at a time, each opened relative to the previous folder and never through a symbolic
link, so that even if the guest or another process renames files meanwhile, only a file below the folder is opened. Only
regular files are opened: opening a device may have side effects, and a FIFO may make the guest wait.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import FileError

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINKS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FILE: Final = 0o666


class Folder:
    """The folder at ``path``. Its methods raise OSError like the host's calls; names are bytes, separated by
    slashes."""

    def __init__(self, path: Path) -> None:
        """Open the folder. Raises :class:`FileError` if it does not exist."""
        try:
            self._fd = os.open(path, _FOLDER)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise FileError(path, f"cannot be used as the folder of semihosting: {reason}") from None

    def open(self, name: bytes, flags: int) -> int:
        """Open a regular file and return its descriptor. O_TRUNC takes effect only once the file is known to be
        regular."""
        truncates, flags = flags & os.O_TRUNC, flags & ~os.O_TRUNC
        with self._parent(name) as (folder, last):
            try:
                _check_regular(os.stat(last, dir_fd=folder, follow_symlinks=False))
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
            descriptor = os.open(last, flags | _NO_LINKS, _NEW_FILE, dir_fd=folder)
        try:
            _check_regular(os.fstat(descriptor))
            if truncates:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def remove(self, name: bytes) -> None:
        """Remove a regular file."""
        with self._parent(name) as (folder, last):
            _check_regular(os.stat(last, dir_fd=folder, follow_symlinks=False))
            os.unlink(last, dir_fd=folder)

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename a regular file, replacing any regular file of the new name."""
        with self._parent(old) as (source, first), self._parent(new) as (target, second):
            _check_regular(os.stat(first, dir_fd=source, follow_symlinks=False))
            with suppress(FileNotFoundError):
                _check_regular(os.stat(second, dir_fd=target, follow_symlinks=False))
            os.rename(first, second, src_dir_fd=source, dst_dir_fd=target)

    def close(self) -> None:
        """Close its descriptor."""
        os.close(self._fd)

    @contextmanager
    def _parent(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """The folder that contains the last component of a name, and that component."""
        if not name:
            raise FileNotFoundError(2, "no name")
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if not parts or name.endswith(b"/"):
            raise IsADirectoryError(21, "a folder is no file")
        if name.startswith(b"/") or b".." in parts or b"\0" in name:
            raise PermissionError(13, "outside of the folder")
        opened: list[int] = []
        try:
            at = self._fd
            for part in parts[:-1]:
                at = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                opened.append(at)
            yield at, parts[-1]
        finally:
            for descriptor in opened:
                os.close(descriptor)


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "a folder is no file")
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(13, "not a regular file")
