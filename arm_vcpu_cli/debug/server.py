"""Runs a guest to its end while debuggers attach, which stops it, and detach, which lets it continue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.debug.client import BAD_ARGUMENT, Client, State
from arm_vcpu_cli.debug.packets import answer
from arm_vcpu_cli.debug.query_packets import in_pieces
from arm_vcpu_cli.debug.rsp import Packet, Signal, encode
from arm_vcpu_cli.debug.target import Reason, Stop, Target
from arm_vcpu_cli.debug.wire import Arrived, Event, Wire
from arm_vcpu_cli.printable import printable_lines

_LONG_SECONDS: Final = 1.0
_CHOOSES_THREAD: Final = b"H"
Monitor = Callable[[Client, str, Callable[[str], None]], None]
"""Executes a command of the user, and prints its result line by line."""


class DebugServer:
    """Serves one debugger at a time on a wire."""

    def __init__(
        self,
        target: Target,
        wire: Wire,
        monitor: Monitor,
        *,
        launched: bool = False,
        load_bias: int = 0,
    ) -> None:
        """For ``launched`` and ``load_bias`` see :class:`Client`."""
        self._target = target
        self._wire = wire
        self._monitor = monitor
        self._launched = launched
        self._load_bias = load_bias
        self._client: Client | None = None
        self._awaited = False
        """Whether the debugger waits for an answer, and can show text."""
        self._since = 0.0
        """When the debugger began to wait."""
        self._last = b""
        self._early = False
        """Whether a request to stop arrived just before a packet that may resume the guest."""

    def run(self, *, wait: bool) -> Stop | None:
        """Run the guest to its end; None if a debugger has ended it, or the run is cancelled. With ``wait``, it does
        not start until a debugger resumes it."""
        is_attended = wait
        while True:
            if not is_attended:
                stop = self._run_free()
                if stop.reason is Reason.ENDED:
                    return stop
            client = self._attend()
            if client is None:
                return None
            if client.state is not State.DETACHED:
                self._wire.finish()
                return client.last if client.state is State.ENDED else None
            is_attended = False

    def show(self, data: bytes) -> bool:
        """Show console output in the debugger; return whether that is possible now."""
        if not self._awaited:
            return False
        for packet in in_pieces(data):
            self._wire.send(encode(packet))
        return True

    # Without a debugger

    def _run_free(self) -> Stop:
        """Run the guest until it ends, or a debugger attaches."""
        self._target.set_breakpoints((), ())
        self._target.set_watchpoints(())
        return self._go(self._target.resume)

    def _go(self, move: Callable[[], Stop]) -> Stop:
        """Run the guest until it stops, or something arrives from the debugger."""
        early, self._early = self._early, False
        while True:
            if early or not self._wire.begin():
                stop = Stop(Reason.PAUSE, self._target.current)
                break
            try:
                stop = move()
            finally:
                self._wire.end()
            # A request may arrive too late for the stop that it was meant for.
            if stop.reason is not Reason.PAUSE or self._wire.has_news():
                break
        self._wire.drop_interrupts()
        return stop

    # With one

    def _attend(self) -> Client | None:
        """Serve a debugger until it leaves or the run ends. None if the run is cancelled."""
        client = self._client = Client(
            self._target,
            self._go,
            self._wire.has_news,
            self._say,
            self._command,
            launched=self._launched,
            load_bias=self._load_bias,
        )
        self._last, self._early = b"", False
        self._target.keep_history()
        self._target.on_progress(self._tell_progress)
        try:
            while client.state is State.ATTACHED:
                arrived = self._wire.take()
                if arrived is None:
                    return None
                self._handle(client, arrived)
        finally:
            self._target.on_progress(None)
            self._client = None
        return client

    def _handle(self, client: Client, arrived: Arrived) -> None:
        if isinstance(arrived, Packet):
            self._serve(client, arrived.data)
            # A packet in between shows that the request was meant for an earlier run, which had stopped on its own.
            self._early = self._early and arrived.data.startswith(_CHOOSES_THREAD)
        elif arrived is Signal.INTERRUPT:
            # gdb sends a Ctrl-C typed while it prepares to resume just before it resumes, not after.
            self._early = True
        elif arrived is Signal.RESEND:
            self._wire.send(self._last)
        elif arrived is Signal.DAMAGED:
            self._wire.send(b"-")
        elif arrived is Signal.TOO_LONG:
            self._reply(BAD_ARGUMENT)
        elif arrived is Event.GONE:
            # The debugger left without a word. If the guest was started for it alone, so has the user.
            client.state = State.KILLED if self._launched else State.DETACHED

    def _serve(self, client: Client, packet: bytes) -> None:
        if not client.without_acks:
            self._wire.send(b"+")
        self._awaited, self._since = True, time.monotonic()
        try:
            found = answer(client, packet)
        finally:
            self._awaited = False
        if client.state is State.DETACHED:
            # Before the debugger knows: then it may leave, and the next one arrive.
            self._wire.leave()
        if found is not None:
            self._reply(found)

    def _reply(self, payload: bytes) -> None:
        self._last = encode(payload)
        self._wire.send(self._last)

    def _say(self, text: str) -> None:
        self.show(printable_lines(text).encode())

    def _tell_progress(self, text: str) -> None:
        """Report progress to a user who has been waiting for a while."""
        if time.monotonic() - self._since > _LONG_SECONDS:
            self._say(f"{text}\n")

    def _command(self, text: str) -> None:
        assert self._client is not None
        self._monitor(self._client, text, lambda line: self._say(f"{line}\n"))
