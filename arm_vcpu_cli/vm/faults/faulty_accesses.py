"""Faults of device accesses: wrappers around a vCPU's accesses that abort, change or delay some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.board.durations import format_duration
from arm_vcpu_cli.board.fault_description import AtAccess, Direction, ExternalAbort, Late, WrongValue
from arm_vcpu_cli.vm.faults.armed_fault import ArmedFault

Tell = Callable[[ArmedFault, int, str], None]
"""``tell(fault, vcpu, effect)``: reports an injection."""


class FaultyAccesses:
    """The accesses of one vCPU, some of them with faults.

    ``occurs`` counts an access and returns whether it is affected; ``delay`` lets guest time pass, in nanoseconds;
    ``later`` injects a fault that affects more than the access, once the access is complete.
    """

    def __init__(
        self,
        vcpu: int,
        faults: Sequence[ArmedFault],
        read: Callable[[int, int], int | Outcome],
        write: Callable[[int, int, int], Outcome],
        *,
        occurs: Callable[[ArmedFault, int], bool],
        tell: Tell,
        delay: Callable[[int], None],
        later: Callable[[ArmedFault, int], None],
    ) -> None:
        self._vcpu = vcpu
        self._read = read
        self._write = write
        self._occurs = occurs
        self._tell = tell
        self._delay = delay
        self._later = later
        self._readers: Final = tuple(fault for fault in faults if _counts(fault, Direction.READ))
        self._writers: Final = tuple(fault for fault in faults if _counts(fault, Direction.WRITE))

    def read(self, ipa: int, width: int) -> int | Outcome:
        """Read a device register, with the faults that affect the access."""
        affected = self._affected(self._readers, ipa, width)
        if self._aborts(affected, f"read of {ipa:#x}"):
            return Outcome.ABORT
        value = self._read(ipa, width)
        for fault in affected:
            effect = fault.description.effect
            if isinstance(effect, WrongValue) and isinstance(value, int):
                before = value
                value = (value ^ effect.xor if effect.value is None else effect.value) & VALUE_MASKS[width]
                self._tell(fault, self._vcpu, f"read of {ipa:#x}: {value:#x} in place of {before:#x}")
            else:
                self._then(fault, f"read of {ipa:#x}")
        return value

    def write(self, ipa: int, width: int, value: int) -> Outcome:
        """Write a device register, with the faults that affect the access."""
        affected = self._affected(self._writers, ipa, width)
        if self._aborts(affected, f"write to {ipa:#x}"):
            return Outcome.ABORT
        outcome = self._write(ipa, width, value)
        for fault in affected:
            self._then(fault, f"write to {ipa:#x}")
        return outcome

    def _affected(self, faults: tuple[ArmedFault, ...], ipa: int, width: int) -> list[ArmedFault]:
        return [fault for fault in faults if _covers(fault, ipa, width) and self._occurs(fault, self._vcpu)]

    def _aborts(self, affected: list[ArmedFault], access: str) -> bool:
        for fault in affected:
            if isinstance(fault.description.effect, ExternalAbort):
                self._tell(fault, self._vcpu, f"external abort on the {access}")
                return True
        return False

    def _then(self, fault: ArmedFault, access: str) -> None:
        effect = fault.description.effect
        if isinstance(effect, Late):
            self._tell(fault, self._vcpu, f"{access}: takes {format_duration(effect.delay)} longer")
            self._delay(effect.delay)
        elif not isinstance(effect, WrongValue):
            self._later(fault, self._vcpu)


def _counts(fault: ArmedFault, direction: Direction) -> bool:
    trigger = fault.description.trigger
    return isinstance(trigger, AtAccess) and trigger.direction in (direction, Direction.ANY)


def _covers(fault: ArmedFault, ipa: int, width: int) -> bool:
    trigger = fault.description.trigger
    assert isinstance(trigger, AtAccess)  # _counts
    return any(ipa < window.stop and window.start < ipa + width for window in trigger.windows)
