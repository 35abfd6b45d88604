"""The connection to a debugger: a thread that accepts and reads, so that a running guest can be stopped.

The thread that runs the guest takes arrivals from a queue and sends the answers. A connection that has not sent a
packet has no effect on the guest.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from arm_vcpu_cli.debug.rsp import Decoder, Packet, Received, Signal
from arm_vcpu_cli.host.readiness import wait_writable

_AT_ONCE: Final = 1 << 16
_MOST_WAITING: Final = 256
"""The most unanswered packets: a debugger sends one and waits, and one that does not is dropped."""
_LOOK_SECONDS: Final = 0.05
"""Seconds between two checks whether the run is cancelled."""
_AGAIN_MILLISECONDS: Final = 200
"""Milliseconds after which an unanswered request to stop the guest is repeated."""
_LEFT: Final = getattr(select, "POLLRDHUP", 0)
_PATIENCE_SECONDS: Final = 30.0
"""Seconds that a debugger may leave an answer unread before it is dropped."""
_FAREWELL_SECONDS: Final = 1.0
"""Seconds that a debugger has to read the last answer."""


class Event(Enum):
    """What happens to a connection."""

    GONE = "gone"
    """The debugger has closed the connection, or was dropped."""


Arrived = Received | Event


class Wire:
    """The connections to a listening socket, of which one is served at a time. Use it as a context manager."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        pause: Callable[[], None],
        cancelled: Callable[[], bool],
        refused: Callable[[], None],
    ) -> None:
        """``pause`` stops the guest; ``cancelled`` reports that the run is cancelled, which ends all waits; ``refused``
        is called for each debugger turned away because another is served."""
        self._listener = listener
        self._pause = pause
        self._cancelled = cancelled
        self._refused = refused
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[tuple[Arrived, socket.socket | None]] = deque()
        self._served: socket.socket | None = None
        """The socket whose packets are being answered. A different one may be connected already."""
        self._running = False
        self._attached = False
        self._deaf = False
        """Whether the debugger has detached and only its close is awaited."""
        self._told = False
        self._client: socket.socket | None = None
        self._decoder = Decoder()
        self._over = False
        self._reader, self._writer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="armvcpu-debugger", daemon=True)

    def __enter__(self) -> Wire:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._writer.send(b"\0")
        self._thread.join()
        with self._lock:
            self._close()
        self._reader.close()
        self._writer.close()

    # For the thread that runs the guest

    def take(self) -> Arrived | None:
        """Return the next arrival, waiting for it. None if the run is cancelled."""
        with self._changed:
            while not self._queue:
                if self._cancelled():
                    return None
                self._changed.wait(_LOOK_SECONDS)
            found, self._served = self._queue.popleft()
            return found

    def begin(self) -> bool:
        """Announce that the guest is about to run: arrivals stop it from now on. Return False if one has already
        arrived."""
        with self._lock:
            self._running = not self._queue
            return self._running

    def end(self) -> None:
        """Announce that the guest has stopped."""
        with self._lock:
            self._running = False

    def has_news(self) -> bool:
        """Return whether something has arrived."""
        return bool(self._queue)

    def drop_interrupts(self) -> None:
        """Drop requests to stop a guest that has already stopped."""
        with self._lock:
            kept = [each for each in self._queue if each[0] is not Signal.INTERRUPT]
            self._queue.clear()
            self._queue.extend(kept)

    def send(self, data: bytes) -> None:
        """Send to the debugger, if it is still connected. One that does not read is dropped eventually."""
        client = self._served
        if client is None:
            return
        left = memoryview(data)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        # The reader thread handles the error.
        with contextlib.suppress(OSError):
            while left:
                if wait_writable(client.fileno(), _LOOK_SECONDS):
                    left = left[_send(client, left) :]
                elif self._cancelled() or time.monotonic() > deadline:
                    self._drop(client)
                    return

    def _drop(self, client: socket.socket) -> None:
        with self._lock:
            if client is self._client:
                self._close()

    def leave(self) -> None:
        """Ignore everything from a debugger that has detached. It closes the connection, or the next one to connect
        replaces it."""
        with self._lock:
            self._attached, self._deaf = False, True
            self._queue.clear()

    def finish(self) -> None:
        """Close the connection after the debugger has read everything: closing earlier may lose data."""
        self.leave()
        deadline = time.monotonic() + _FAREWELL_SECONDS
        with self._changed:
            if self._client is not None:
                with contextlib.suppress(OSError):
                    self._client.shutdown(socket.SHUT_WR)
            while self._client is not None and time.monotonic() < deadline and not self._cancelled():
                self._changed.wait(_LOOK_SECONDS)

    # The reader

    def _serve(self) -> None:
        while not self._over:
            client = self._client
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            poll.register(self._listener, select.POLLIN)
            number = -1
            if client is not None:
                with contextlib.suppress(OSError, ValueError):
                    number = client.fileno()
                    poll.register(number, select.POLLIN | _LEFT)
            ready = dict(poll.poll(_AGAIN_MILLISECONDS if self._running and self._queue else None))
            if not ready:
                self._insist()
            if client is not None and number in ready:
                self._read(client)
            # Read a debugger that has left to the end before accepting the next one.
            if self._listener.fileno() in ready and not ready.get(number, 0) & (_LEFT | select.POLLHUP):
                self._accept()

    def _insist(self) -> None:
        """Repeat a request to stop: the guest may not have been running yet."""
        with self._lock:
            if self._running and self._queue:
                self._pause()

    def _accept(self) -> None:
        try:
            arrived, _ = self._listener.accept()
        except OSError:
            # The client has gone again, or the process is out of descriptors, which lasts.
            time.sleep(_LOOK_SECONDS)
            return
        with self._lock:
            if not self._attached:
                # The previous client never sent a packet.
                self._close()
                arrived.setblocking(False)
                with contextlib.suppress(OSError):
                    arrived.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._client, self._decoder, self._deaf = arrived, Decoder(), False
                return
            told, self._told = self._told, True
        arrived.close()
        if not told:
            self._refused()

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        with self._changed:
            if client is not self._client:
                return
            if not data:
                self._close()
            else:
                for found in self._decoder.feed(data):
                    self._put(found)
                    if self._client is None:
                        break
            self._changed.notify()
            # Hold the lock, so that this has no effect on a guest that has stopped meanwhile.
            if self._running and self._queue:
                self._pause()

    def _put(self, found: Received) -> None:
        if isinstance(found, Packet) and not self._deaf:
            self._attached = True
        if not self._attached:
            return
        self._queue.append((found, self._client))
        if len(self._queue) > _MOST_WAITING:
            self._queue.clear()
            self._close()

    def _close(self) -> None:
        """Close the connection, with the lock held. The guest's thread is notified after everything that the debugger
        sent before: the last packet may end the guest."""
        if self._client is None:
            return
        client, self._client = self._client, None
        client.close()
        if self._attached:
            self._queue.append((Event.GONE, None))
        self._changed.notify()
        self._attached = self._told = False


def _send(client: socket.socket, data: memoryview) -> int:
    try:
        return client.send(data)
    except BlockingIOError:
        return 0
