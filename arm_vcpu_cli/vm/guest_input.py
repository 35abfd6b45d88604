"""The guest's input: live, live and recorded, or replayed from a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.host.console import IDLE_SECONDS, Console
from arm_vcpu_cli.host.console_output import ConsoleCancelledError
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.timeline import Timeline

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.inputlog import InputLog, InputRecorder

_VERSION: Final = 1
"""The version of a saved state."""
_MOST_DELIVERIES: Final = 1 << 32
_IDLE_NANOSECONDS: Final = round(IDLE_SECONDS * 1_000_000_000)


class UartLine:
    """The console as a UART sees it. Time also passes for a guest that only polls its receiver.

    Under the instruction clock each wait takes the same time whether or not the host slept, so the guest's countdowns
    end and runs repeat exactly.
    """

    def __init__(self, console: Console, clock: Timeline) -> None:
        self.send = console.send
        self.receive = console.receive
        self.waiting = console.waiting
        self._console = console
        self._clock = clock

    def wait(self) -> None:
        """Let time pass for a guest that polls its empty line."""
        self._console.wait(skips=not self._clock.follows_host)
        self._clock.skip_to(self._clock.now() + _IDLE_NANOSECONDS)
        self._clock.rearm()


class GuestInput:
    """Delivers console input to the UARTs. Times are nanoseconds of the machine's clock."""

    def __init__(self, console: Console, clock: Timeline, uarts: Sequence[Pl011]) -> None:
        self._console = console
        self._clock = clock
        self._uarts = tuple(uarts)
        self._recorder: InputRecorder | None = None
        self._open = True
        self._replay: InputLog | None = None
        self._next = 0
        self._alarm = clock.alarm(self._feed, name="input", silent=True)
        self._journal: list[tuple[int, bytes]] | None = None
        """All deliveries so far, and the later ones if the run has gone back."""
        self._told = 0
        """The number of deliveries in the recording."""
        self._ended_at: int | None = None
        """The number of deliveries up to the end of the input."""
        self._repeating = False
        self._answers = bytearray()
        self.is_saved = False
        """Whether unread input is saved with the machine, and so not given back."""
        self.shows_prompts = False
        """Whether all output is shown before the guest waits, including an unfinished line."""
        self.replay_over = False
        """Whether the recorded run had ended by now, and this one has not ended otherwise."""
        self.cancelled: Callable[[], bool] = bool
        """Returns whether the run was stopped, which ends any wait of the guest."""

    def deliver(self) -> None:
        """Deliver the input that has arrived, with the guest stopped between two instructions."""
        if self.shows_prompts:
            self._console.flush()
        if self._replay is not None or not self._open or self.repeating:
            return
        data = self._console.deliver()
        ended = not self._console.input_open
        if not data and not ended:
            return
        now = self._clock.now()
        if data:
            self._record(now, data)
            self._notify()
        if ended:
            self._open = False
            self._record(now, b"")
            self._ended_at = self._next

    def send(self, data: bytes) -> None:
        """Deliver ``data`` on a console whose input is fed, with the guest stopped between two instructions."""
        self._console.feed(data)
        self._record(self._clock.now(), data)
        self._notify()

    def listening(self) -> bool:
        """Whether input may still arrive, at an unpredictable time, and would interrupt the guest."""
        return (
            self._replay is None
            and self._console.input_open
            and any(uart.receive_interrupt_enabled for uart in self._uarts)
        )

    def starved(self) -> bool:
        """Whether the guest has enabled input interrupts, but the input has ended."""
        return not self._console.input_open and any(uart.receive_interrupt_enabled for uart in self._uarts)

    def take(self, most: int) -> bytes:
        """Return the input that has arrived, at most ``most`` bytes, for a guest whose call waits for the first of
        them; empty once the input has ended.

        Waiting takes guest time, as in :meth:`UartLine.wait`. Raises :class:`ConsoleCancelledError` if the run is
        stopped meanwhile.
        """
        while True:
            data = self._console.take(most)
            if data:
                return data
            # Flush first: the user must see the prompt, and a reader of the output must get all of it before the end.
            self._console.flush()
            if self._answers:
                # They are for this call, before any UART.
                self._console.feed(bytes(self._answers))
                self._answers.clear()
                continue
            if not self._console.input_open:
                return b""
            if self._replay is not None:
                self._feed_early(self._replay.deliveries, self._replay.end)
                continue
            if self._journal is not None and self._next < len(self._journal):
                self._feed_early(self._journal, None)
                continue
            if self.cancelled():
                raise ConsoleCancelledError("the guest waits for input")
            self._console.wait(skips=not self._clock.follows_host)
            self._clock.skip_to(self._clock.now() + _IDLE_NANOSECONDS)
            self._clock.rearm()
            self.deliver()

    def _feed_early(self, deliveries: Sequence[tuple[int, bytes]], end: int | None) -> None:
        """Advance to the next delivery of a recorded run, for which the guest waits with no event in between."""
        if self._next < len(deliveries):
            self._clock.skip_to(deliveries[self._next][0])
            self._feed()
            self._clock.rearm()
            return
        self._clock.skip_to(self._clock.now() if end is None else end)
        self.replay_over = True
        raise ConsoleCancelledError("the recorded run has ended")

    def answer(self, data: bytes) -> None:
        """Send ``data`` now to a guest that has no other input, even inside an exit."""
        self._answers += data
        self._alarm.set_at(self._clock.now())

    def record(self, recorder: InputRecorder) -> None:
        """Record every delivery from now on."""
        self._recorder = recorder

    def replay(self, log: InputLog, start: int = 0) -> None:
        """Repeat the deliveries of a recorded run at its times, starting with number ``start``, and ignore all other
        input."""
        self._console.replay()
        self._replay, self._next = log, start
        if start and not log.deliveries[start - 1][1]:
            self._console.feed(b"")
        self._schedule()

    @property
    def delivered(self) -> Sequence[tuple[int, bytes]] | None:
        """All deliveries so far; None if they were not kept."""
        if self._replay is None and self._journal is None:
            return None
        return self._recorded()[0][: self._next]

    # A run that goes back in time

    def keep(self) -> None:
        """Keep all deliveries from now on, so that a run that continues from an earlier state (:meth:`load`) gets them
        again at the same times. Input known in advance, such as a file, repeats itself."""
        self._journal = []

    def repeat(self, repeating: bool) -> None:
        """Set whether the run repeats earlier execution: then nothing new arrives, and the run does not wait for it."""
        self._repeating = repeating
        self._console.repeated = self._open if self.repeating else None
        if not repeating:
            self._console.announce()

    @property
    def repeating(self) -> bool:
        """Whether the run repeats earlier execution, and its input does not repeat itself."""
        return self._repeating and not self._is_known

    @property
    def _is_known(self) -> bool:
        """Whether all input is known from the start."""
        return self._console.file is not None or self._console.is_silent

    def forget_future(self) -> None:
        """Forget the deliveries that would be repeated from here on."""
        if self._journal is not None:
            del self._journal[self._next :]
            self._told = self._next
            if self._open:
                self._ended_at = None
            self._alarm.cancel()

    def save(self) -> dict[str, Any]:
        """Return the position in a recorded run; live input is not part of the state."""
        return {"version": _VERSION, "next": self._next, "replay_over": self.replay_over}

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned. A replay set up earlier (:meth:`replay`) continues from there.

        Raises ValueError, without any change, for any other state.
        """
        saved = Saved(state, "input", version=_VERSION)
        last = len(self._replay.deliveries) if self._replay is not None else _MOST_DELIVERIES
        position, over = saved.number("next", last), saved.flag("replay_over")
        if self._replay is not None:
            self._next, self.replay_over = position, over
            self._schedule()
        elif self._journal is not None:
            self._next = position
            self._open = self._ended_at is None or position < self._ended_at
            self._schedule()
        else:
            self._alarm.cancel()

    def finish(self) -> None:
        """End the run. Input that the guest has not read stays for the next reader of the same source."""
        self._console.give_back(None if self.is_saved else sum(uart.unread for uart in self._uarts))
        if self._recorder is not None:
            self._recorder.close(self._clock.now())

    def _record(self, now: int, data: bytes) -> None:
        if self._journal is not None:
            self._next += 1
            if not self._is_known:
                self._journal.append((now, data))
            if self._next <= self._told:
                return
            self._told = self._next
        if self._recorder is not None:
            self._recorder.record(now, data)

    def _notify(self) -> None:
        for uart in self._uarts:
            uart.poll()

    def _schedule(self) -> None:
        deliveries, end = self._recorded()
        if self._next < len(deliveries):
            self._alarm.set_at(deliveries[self._next][0])
        elif end is not None:
            self._alarm.set_at(end)

    def _feed(self) -> None:
        if self._answers:
            self._console.feed(bytes(self._answers))
            self._answers.clear()
            self._notify()
            return
        deliveries, _ = self._recorded()
        if self._next >= len(deliveries):
            self.replay_over = self._replay is not None
            return
        data = deliveries[self._next][1]
        self._next += 1
        self._console.feed(data)
        if data:
            self._notify()
        elif self._journal is not None:
            self._open = False
            self.repeat(self._repeating)
        self._schedule()

    def _recorded(self) -> tuple[Sequence[tuple[int, bytes]], int | None]:
        """Return the deliveries to repeat, and the time at which they end, if that ends the run."""
        if self._replay is not None:
            return self._replay.deliveries, self._replay.end
        return self._journal or (), None
