"""What reaches a guest from outside, and when: as it comes, as it comes and recorded, or as it was recorded."""

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
"""Of a saved state."""
_MOST_DELIVERIES: Final = 1 << 32
_IDLE_NANOSECONDS: Final = round(IDLE_SECONDS * 1_000_000_000)


class UartLine:
    """The console as a UART sees it. A guest that only polls its receiver lets time pass that way.

    Under the instruction clock that is the same time at each wait, whether the host slept or had no reason to: so the
    guest's countdowns end, and runs are alike.
    """

    def __init__(self, console: Console, clock: Timeline) -> None:
        self.send = console.send
        self.receive = console.receive
        self.waiting = console.waiting
        self._console = console
        self._clock = clock

    def wait(self) -> None:
        """See :class:`~arm_vcpu_cli.devices.pl011.SerialLine`."""
        self._console.wait(skips=not self._clock.follows_host)
        self._clock.skip_to(self._clock.now() + _IDLE_NANOSECONDS)
        self._clock.rearm()


class GuestInput:
    """Gives the UARTs what the console has for them. Times are nanoseconds of the machine's clock."""

    def __init__(self, console: Console, clock: Timeline, uarts: Sequence[Pl011]) -> None:
        self._console = console
        self._clock = clock
        self._uarts = tuple(uarts)
        self._recorder: InputRecorder | None = None
        self._open = True
        self._replay: InputLog | None = None
        self._next = 0
        self._alarm = clock.alarm(self._feed, name="input", silent=True)
        self.replay_over = False
        """Whether the recorded run had ended by now, and nothing else has ended this one."""
        self.cancelled: Callable[[], bool] = bool
        """Whether the run has been stopped, which ends a wait of the guest."""

    def deliver(self) -> None:
        """Hand on what has arrived, with the guest stopped between two instructions."""
        if self._replay is not None or not self._open:
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

    def listening(self) -> bool:
        """Whether something may still arrive, at a time that nobody knows, and would interrupt the guest."""
        return (
            self._replay is None
            and self._console.input_open
            and any(uart.receive_interrupt_enabled for uart in self._uarts)
        )

    def starved(self) -> bool:
        """Whether the guest wants to be interrupted by input, and the input has ended."""
        return not self._console.input_open and any(uart.receive_interrupt_enabled for uart in self._uarts)

    def take(self, most: int) -> bytes:
        """What has arrived, at most ``most`` bytes, for a guest whose call waits for the first of them; nothing once
        the input has ended.

        Waiting takes time of the guest as :meth:`UartLine.wait` does. Raises :class:`ConsoleCancelledError` if the run
        is stopped meanwhile.
        """
        while True:
            data = self._console.take(most)
            if data:
                return data
            # Whoever is to type sees what was asked, and whoever reads the output gets what there is before the end.
            self._console.flush()
            if not self._console.input_open:
                return b""
            if self._replay is not None:
                self._feed_early(self._replay)
                continue
            if self.cancelled():
                raise ConsoleCancelledError("the guest waits for input")
            self._console.wait(skips=not self._clock.follows_host)
            self._clock.skip_to(self._clock.now() + _IDLE_NANOSECONDS)
            self._clock.rearm()
            self.deliver()

    def _feed_early(self, log: InputLog) -> None:
        """The guest waits for the next delivery of a recorded run, and nothing else happens until then."""
        if self._next < len(log.deliveries):
            self._clock.skip_to(log.deliveries[self._next][0])
            self._feed()
            self._clock.rearm()
            return
        self._clock.skip_to(self._clock.now() if log.end is None else log.end)
        self.replay_over = True
        raise ConsoleCancelledError("the recorded run has ended")

    def record(self, recorder: InputRecorder) -> None:
        """Have every delivery recorded."""
        self._recorder = recorder

    def replay(self, log: InputLog) -> None:
        """Repeat the deliveries of a recorded run at its times, and listen to nobody else."""
        self._console.replay()
        self._replay = log
        self._schedule()

    def save(self) -> dict[str, Any]:
        """How far a recorded run has been repeated; what else arrives is not the guest's."""
        return {"version": _VERSION, "next": self._next, "replay_over": self.replay_over}

    def load(self, state: object) -> None:
        """Take what :meth:`save` gave. A recorded run goes on from there, if it was given (:meth:`replay`) before.

        ValueError, and nothing changes, if it is something else.
        """
        saved = Saved(state, "input", version=_VERSION)
        last = len(self._replay.deliveries) if self._replay is not None else _MOST_DELIVERIES
        position, over = saved.number("next", last), saved.flag("replay_over")
        if self._replay is not None:
            self._next, self.replay_over = position, over
            self._schedule()
        else:
            self._alarm.cancel()

    def finish(self) -> None:
        """The run is over. What the guest has not read is left for whoever reads the same input next."""
        self._console.give_back(sum(uart.unread for uart in self._uarts))
        if self._recorder is not None:
            self._recorder.close(self._clock.now())

    def _record(self, now: int, data: bytes) -> None:
        if self._recorder is not None:
            self._recorder.record(now, data)

    def _notify(self) -> None:
        for uart in self._uarts:
            uart.poll()

    def _schedule(self) -> None:
        log = self._replay
        if log is None:
            return
        if self._next < len(log.deliveries):
            self._alarm.set_at(log.deliveries[self._next][0])
        elif log.end is not None:
            self._alarm.set_at(log.end)

    def _feed(self) -> None:
        log = self._replay
        if log is None:
            return
        if self._next >= len(log.deliveries):
            self.replay_over = True
            return
        data = log.deliveries[self._next][1]
        self._next += 1
        self._console.feed(data)
        if data:
            self._notify()
        self._schedule()
