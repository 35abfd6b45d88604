"""A clock that a test moves by hand."""

from __future__ import annotations

from collections.abc import Callable


class ManualAlarm:
    """An alarm of a :class:`ManualClock`; ``at`` is None while it is not set."""

    def __init__(self, clock: ManualClock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self.callback = callback
        self.at: int | None = None

    def set(self, tick: int) -> None:
        """Go off at ``tick``; never from within this call."""
        self.at = tick

    def cancel(self) -> None:
        """Do not go off."""
        self.at = None


class ManualClock:
    """Implements :class:`~arm_vcpu_cli.devices.device_clock.Clock`.

    Setting ``now`` fires nothing: :meth:`advance` does.
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.alarms: list[ManualAlarm] = []

    def ticks(self) -> int:
        """The counter."""
        return self.now

    def alarm(self, callback: Callable[[], None], name: str) -> ManualAlarm:
        """A new alarm."""
        alarm = ManualAlarm(self, callback)
        self.alarms.append(alarm)
        return alarm

    @property
    def deadline(self) -> int | None:
        """When the next alarm goes off."""
        return min((alarm.at for alarm in self.alarms if alarm.at is not None), default=None)

    def advance(self, to: int) -> None:
        """Let time pass up to ``to``, with every alarm on the way at its time or, if that has passed, at once."""
        while (deadline := self.deadline) is not None and deadline <= to:
            self.now = max(self.now, deadline)
            alarm = next(alarm for alarm in self.alarms if alarm.at == deadline)
            alarm.at = None
            alarm.callback()
        self.now = max(self.now, to)


class Line:
    """An interrupt line that keeps every level it was set to."""

    def __init__(self) -> None:
        self.levels: list[bool] = []

    def __call__(self, level: bool) -> None:
        self.levels.append(level)

    @property
    def level(self) -> bool:
        """The level now."""
        return self.levels[-1] if self.levels else False
