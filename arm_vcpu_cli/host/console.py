"""The serial line between a guest's UART and the host: bytes out to a file descriptor, bytes in from another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.host.console_output import CHUNK, NEWLINE, ConsoleOutput
from arm_vcpu_cli.host.inbox import LIMIT, FileAhead, Inbox, has_bytes, is_file, read_available, start_reader
from arm_vcpu_cli.host.readiness import wait_readable
from arm_vcpu_cli.saved import Saved

ESCAPE: Final = 0x01
"""Ctrl-A starts an escape on an interactive line: x quits, Ctrl-A sends itself."""
INTERRUPT: Final = 0x03
_QUIT: Final = frozenset(b"xX")
_VERSION: Final = 1
"""The version of the saved state."""
_MOST_WAITS: Final = 1 << 32
IDLE_SECONDS: Final = 0.01
"""Seconds that an idle guest sleeps before it may check its receiver again."""
STALLED_SECONDS: Final = 5.0
"""Seconds that a guest may wait for input that has ended, printing nothing, before it counts as stuck. Boot loaders
count down for a few seconds before they continue without a key."""
SKIPPED_SECONDS: Final = 60.0
"""The same limit where waiting takes no host time."""
_LOOKS_AT_ONCE: Final = 8
"""The number of checks for unrequested input before the host is queried again."""
_ASLEEP_SECONDS: Final = 0.02
"""Seconds between two checks for cancellation while a guest sleeps until input arrives."""


class InputEndedError(ArmVcpuError):
    """The guest does nothing but wait for input, and none will arrive."""


def _nothing_unread(_byte: int) -> bool:
    """Stand in for the UART where there is none."""
    return False


def _nobody() -> None:
    """Ignore a report."""


class Console(ConsoleOutput):
    """A serial line on two file descriptors; ``input_fd`` None is a line on which nothing ever arrives.

    An ``interactive`` line is written byte by byte and, once it is connected, read by a thread of its own, so that
    the escape works while the guest computes. Other output is written by the line.

    Input reaches the guest in one of three ways. At first, :meth:`receive` takes what has arrived by itself. After
    :meth:`watch`, arrivals are announced, and the guest gets them when they are delivered. After :meth:`replay`, it
    gets what it is fed.
    """

    def __init__(
        self,
        output_fd: int,
        input_fd: int | None,
        *,
        interactive: bool = False,
        error_fd: int | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(output_fd, error_fd, by_byte=interactive)
        self._input_fd = input_fd
        self.is_silent = input_fd is None
        self._interactive = interactive
        self._sleep = sleep
        self._quit_requested: Callable[[], None] = _nobody
        self._ignored: Callable[[], None] = _nobody
        # What the guest may receive belongs to the main thread; all threads share the inbox.
        self._in: deque[int] = deque()
        self._inbox = Inbox()
        self.file: FileAhead | None = None
        """The source of the input, once it is known to be a file."""
        self.repeated: bool | None = None
        """In a run that repeats earlier execution: whether input may still arrive."""
        self.breaks_off: Callable[[], bool] = bool
        """Returns whether to end a wait for input because the guest is to stop."""
        self._ended = input_fd is None
        self._escaped = False
        self._refill: Callable[[], None] = self._take_keys if interactive else self._read_now
        self._drained: Callable[[], None] = _nobody
        self._request: Callable[[], None] = _nobody
        self._room = threading.Event()
        self._watched = False
        self._begun = interactive
        self._looks = 0
        self._seen_waiting = False
        self._fed = False
        self._unread: Callable[[int], bool] = _nothing_unread

    @property
    def interactive(self) -> bool:
        """Whether a person is at the other end."""
        return self._interactive

    @property
    def in_line(self) -> bool:
        """Whether a person sees the cursor behind an unfinished line of the guest."""
        return self._interactive and self._last != NEWLINE

    @property
    def input_open(self) -> bool:
        """Whether something may still arrive, or has arrived and is not delivered."""
        if self.repeated is not None:
            return self.repeated
        return not self._ended or len(self._inbox) > 0 or (self.file is not None and self.file.has_more)

    def connect(
        self,
        *,
        quit_requested: Callable[[], None],
        ignored: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Set the functions to call for the escape and for a Ctrl-C typed before the guest has taken the previous one,
        and the function that reports whether the run is cancelled, which ends a wait for the reader. Keys are read from
        now on."""
        self._quit_requested = quit_requested
        self._ignored = ignored
        self._cancelled = cancelled
        if self._interactive:
            start_reader("armvcpu-terminal", self._read_terminal)

    def ask(self, unread: Callable[[int], bool]) -> None:
        """Set the function that reports whether the guest's UART holds a byte that the guest has not read."""
        self._unread = unread

    # Input, as the guest's UART sees it

    def receive(self) -> int | None:
        """Return the next byte for the guest, None while there is none."""
        if not self._in:
            self._refill()
            if not self._in:
                return None
        self._idle_waits = 0
        byte = self._in.popleft()
        if not self._in:
            self._drained()
        return byte

    def waiting(self) -> bool:
        """Return whether :meth:`receive` would return a byte, as far as that is known without reading."""
        if self._in:
            return True
        fd = self._input_fd
        if self._begun or self._fed or fd is None:
            return self._refill == self._take_keys and len(self._inbox) > 0
        # A guest also checks before each byte that it prints, and available input stays available.
        if not self._seen_waiting and self._looks % _LOOKS_AT_ONCE == 0:
            self._seen_waiting = self._file_ahead().has_more if is_file(fd) else has_bytes(fd)
        self._looks += 1
        return self._seen_waiting

    def give_back(self, unread: int | None) -> None:
        """End the guest's input. What it has not read of a file, including the last ``unread`` bytes that it has
        received, stays for the next reader; with None it keeps what it has received."""
        if self.file is not None and not self._fed:
            self.file.leave(0 if unread is None else unread + len(self._in))

    def take(self, most: int) -> bytes:
        """Return the input available to the guest now, at most ``most`` bytes."""
        data = bytearray()
        while len(data) < most and (byte := self.receive()) is not None:
            data.append(byte)
        return bytes(data)

    def wait(self, *, skips: bool = False) -> None:
        """Sleep briefly, or until input arrives. Raises :class:`InputEndedError` when waiting is pointless.

        ``skips``: the guest's clock can skip ahead, so this only sleeps while input may still arrive.
        """
        self.flush()
        if not self.input_open:
            # Count waits rather than the time since the first one: the guest may have computed in between.
            if self._idle_waits * IDLE_SECONDS >= (SKIPPED_SECONDS if skips else STALLED_SECONDS):
                raise InputEndedError("the guest waits for input, and the input has ended")
            self._idle_waits += 1
            if not skips and not self._fed:
                self._sleep(IDLE_SECONDS)
        elif self._fed or self.repeated is not None or self._has_news():
            return
        elif self._interactive or (self._watched and self._begun):
            self._inbox.wait(IDLE_SECONDS)
        elif self._input_fd is not None:
            wait_readable(self._input_fd, IDLE_SECONDS)

    # Input that the machine delivers at times of its choice

    def watch(self, request: Callable[[], None], *, ahead: bool = True) -> None:
        """From now on, call ``request`` whenever something has arrived, including the end of the input; the guest
        receives only what :meth:`deliver` has delivered, in order.

        Without ``ahead``, nothing is read from a pipe or a terminal until the first :meth:`receive`.

        A reader thread calls it, so it must be safe from any thread. A regular file and the null device need no thread:
        they are read as the guest takes the bytes, so what it receives does not depend on time. Those are announced
        from the main thread, at once and inside :meth:`receive`.
        """
        self._refill = _nobody
        self._request = request
        self._watched = True
        if not self._interactive and self._input_fd is not None:
            if is_file(self._input_fd):
                self._file_ahead()
                self._begun = True
                self._drained = self._announce_file
                request()
                return
            self._drained = self._room.set
            if ahead:
                self._read_ahead()
            else:
                self._refill = self._read_first
        if self._inbox.has_news():
            request()

    def deliver(self) -> bytes:
        """Give the stopped guest what has arrived, and return it; empty if at most the end of the input has arrived."""
        data = self._inbox.take()
        if not data and self.file is not None and not self._in:
            data = self.file.take()
        self._in.extend(data)
        return data

    def wait_for_input(self, seconds: float | None) -> bool:
        """Sleep until there is input to deliver or the input has ended (return True), or until the time has passed
        (None: no limit), the run is cancelled or :attr:`breaks_off` returns true (return False).

        Buffered output is written first, with the errors of :meth:`flush`.
        """
        self.flush()
        deadline = None if seconds is None else time.monotonic() + seconds
        while not (self._cancelled() or self.breaks_off()):
            if self._has_news():
                return True
            left = _ASLEEP_SECONDS if deadline is None else min(_ASLEEP_SECONDS, deadline - time.monotonic())
            if left <= 0:
                return False
            self._inbox.wait(left)
        return False

    def announce(self) -> None:
        """Announce again that something has arrived, unless it is delivered already."""
        if self._has_news():
            self._request()

    def _has_news(self) -> bool:
        """Return whether :meth:`deliver` has work. The next part of a file is due once the guest has taken the last."""
        return self._inbox.has_news() or (self.file is not None and self.file.has_more and not self._in)

    # Replayed input

    def replay(self) -> None:
        """From now on, the guest receives only what it is fed, after what it has received already. Keys are read for
        the escape only."""
        self._refill = _nobody
        self._fed = True
        self._ended = False
        self._inbox.take()

    def feed(self, data: bytes) -> None:
        """Give the guest ``data``; empty for the end of the input."""
        self._in.extend(data)
        if not data:
            self._ended = True

    # The guest's part of the state, as plain data

    def save(self) -> dict[str, Any]:
        """Return the guest's unwritten output, its undelivered input, and how long it has waited. The source of the
        input and the destination of the output are not part of the state."""
        return {
            "version": _VERSION,
            "unwritten": bytes(self._out),
            "last": self._last,
            "received": bytes(self._in),
            "ended": self._fed and self._ended,
            "idle_waits": self._idle_waits,
        }

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned, after :meth:`watch` or :meth:`replay`. Raises ValueError, without a
        change, for anything else."""
        saved = Saved(state, "console", version=_VERSION)
        out, received, ended = saved.data("unwritten"), saved.data("received"), saved.flag("ended")
        last, idle_waits = saved.number("last", 0xFF), saved.number("idle_waits", _MOST_WAITS)
        self._out[:] = out
        self._in = deque(received)
        self._last, self._idle_waits = last, idle_waits
        if self._fed:
            self._ended = ended

    # Sources of input

    def _take_keys(self) -> None:
        self._in.extend(self._inbox.take())

    def _file_ahead(self) -> FileAhead:
        """Return the file that input is read from; its end is known from the start."""
        if self.file is None:
            assert self._input_fd is not None
            self.file = FileAhead(self._input_fd)
            self._ended = True
        return self.file

    def _read_first(self) -> None:
        """Process the guest's first request for input, some of which may be available already."""
        self._refill = _nobody
        self._read_pipe_now()
        self._read_ahead()

    def _read_ahead(self) -> None:
        self._begun = True
        if not self._ended:
            start_reader("armvcpu-input", self._read_pipe)

    def _read_now(self) -> None:
        fd = self._input_fd
        if not self._begun and fd is not None:
            self._begun = True
            if is_file(fd):
                self._file_ahead()
        if self.file is not None:
            self._in.extend(self.file.take())
        else:
            self._read_pipe_now()

    def _read_pipe_now(self) -> None:
        fd = self._input_fd
        if self._ended or fd is None or not wait_readable(fd, 0):
            return
        data = read_available(fd, CHUNK)
        self._ended = data == b""
        self._in.extend(data or b"")

    def _announce_file(self) -> None:
        if self.file is not None and self.file.has_more:
            self._request()

    def _read_pipe(self) -> None:
        fd = self._input_fd
        while fd is not None and not self._ended:
            self._room.clear()
            ahead = len(self._inbox) + len(self._in)
            if ahead >= LIMIT:
                self._room.wait()
                continue
            data = read_available(fd, LIMIT - ahead)
            if data is not None:
                self._arrive(data, ended=not data)

    def _read_terminal(self) -> None:
        fd = self._input_fd
        while fd is not None:
            data = read_available(fd, CHUNK)
            if data is None:
                continue
            self._arrive(self._keys_of(data), ended=not data)
            if not data:
                return

    def _arrive(self, data: bytes, *, ended: bool) -> None:
        """Store what a reader has read for the guest; ``ended``: it was the last."""
        if self._fed:
            return
        if ended:
            self._ended = True
        if data or ended:
            self._inbox.put(data)
            self._request()

    def _keys_of(self, typed: bytes) -> bytes:
        """Return the part of the typed keys that goes to the guest."""
        keys = bytearray()
        for byte in typed:
            if self._escaped:
                self._escaped = False
                if byte in _QUIT:
                    self._quit_requested()
                    continue
                if byte != ESCAPE:
                    keys.append(ESCAPE)
                keys.append(byte)
            elif byte == ESCAPE:
                self._escaped = True
            else:
                ahead = byte == INTERRUPT and (byte in keys or byte in self._inbox or byte in tuple(self._in))
                if ahead or (byte == INTERRUPT and self._unread(byte)):
                    self._ignored()
                keys.append(byte)
        return bytes(keys)
