"""Where a debugger connects: a TCP port or a Unix socket, as users write it and as an open socket."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.record import Record

LOOPBACK: Final = "127.0.0.1"
_LAST_PORT: Final = 0xFFFF
_UNIX: Final = "unix:"
_TCP: Final = re.compile(r"(?:tcp:)?(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]/]*):)?(?P<port>[0-9]{1,5})", re.ASCII)
_OWNER_ONLY: Final = 0o600


class Endpoint(Record):
    """A place to connect to: ``path`` of a Unix socket, or ``host`` and ``port``; port 0 stands for any free port."""

    host: str = LOOPBACK
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"{_UNIX}{printable_path(self.path)}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def for_gdb(self) -> str:
        """The argument of gdb's ``target remote``."""
        if self.path is not None:
            return str(self.path)
        return f":{self.port}" if self.host == LOOPBACK else str(self)

    @property
    def for_lldb(self) -> str:
        """The argument of lldb's ``process connect``."""
        return f"unix-connect://{self.path}" if self.path is not None else f"connect://{self}"


def parse(text: str) -> Endpoint:
    """Parse ``[HOST:]PORT`` or ``unix:PATH``. Raises ValueError."""
    if text.startswith(_UNIX):
        path = text[len(_UNIX) :]
        if not path or "\0" in path:
            raise ValueError(f"{text!r} is not a socket; expected unix:PATH")
        return Endpoint(path=Path(path))
    found = _TCP.fullmatch(text)
    port = -1 if found is None else int(found["port"])
    if found is None or port > _LAST_PORT:
        raise ValueError(f"{text!r} is not an address such as 1234, 0.0.0.0:1234 or unix:/tmp/gdb.sock")
    return Endpoint((found["host"] or LOOPBACK).strip("[]"), port)


def listen(wanted: Endpoint) -> tuple[socket.socket, Endpoint]:
    """Open a listening socket; return it and its actual place. Raises :class:`UsageError`."""
    made: socket.socket | None = None
    try:
        if wanted.path is not None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            _remove_left_over(wanted.path)
            made.bind(str(wanted.path))
            wanted.path.chmod(_OWNER_ONLY)
            actual = wanted
        else:
            family, _, _, _, address = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0]
            made = socket.socket(family, socket.SOCK_STREAM)
            # Reuse a port whose connections from an earlier run are still closing.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            actual = Endpoint(wanted.host, made.getsockname()[1])
        made.listen()
        made.setblocking(False)
    except (OSError, UnicodeError) as error:
        if made is not None:
            made.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"--gdb {wanted}: {reason}") from error
    return made, actual


def unlisten(listener: socket.socket, place: Endpoint) -> None:
    """Close a socket, and remove its file."""
    listener.close()
    if place.path is not None:
        with contextlib.suppress(OSError):
            place.path.unlink()


def _remove_left_over(path: Path) -> None:
    """Remove the file of a socket on which no process listens any more."""
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            try:
                asking.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
