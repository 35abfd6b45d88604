"""Completes device accesses that are decoded from the instruction: reads and writes of a platform, one by one."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS, extend_load
from arm_vcpu_cli.arm_vcpu.abort_decoder import WIDEST, Element, PendingAccess
from arm_vcpu_cli.arm_vcpu.access import MmioReason
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.arm_vcpu.reasons import mmio_read, mmio_write
from arm_vcpu_cli.engine.layout import CpuState

_QUADWORD: Final = 2
"""The 64-bit words of a vector register on every CPU."""


class DeviceAccess:
    """Executes accesses on a platform and writes their results into the saved state."""

    def __init__(self, state: CpuState, frame: TrapFrame, platform: Platform) -> None:
        self._u64 = state.u64
        self._v0 = state.layout.v0 // 8
        self._stride = state.layout.vector_stride // 8
        self._frame = frame
        self._platform = platform

    def proceed(self, access: PendingAccess) -> MmioReason | Outcome:
        """Execute the remaining accesses. DONE: committed. ABORT: nothing was changed. An exit: the caller completes
        it."""
        elements = access.elements
        while access.index < len(elements):
            element = elements[access.index]
            if access.is_load:
                value = self._platform.mmio_read(element.ipa, element.size)
                if isinstance(value, Outcome):
                    return self.reason(access) if value is Outcome.EXIT else Outcome.ABORT
                access.values.append(element.in_register(value & VALUE_MASKS[element.size]))
            else:
                outcome = self._platform.mmio_write(element.ipa, element.size, self._store_value(element))
                if outcome is not Outcome.DONE:
                    return self.reason(access) if outcome is Outcome.EXIT else Outcome.ABORT
            access.index += 1
        self._commit(access)
        return Outcome.DONE

    def go_on(self, access: PendingAccess, value: int | None) -> None:
        """Continue after the caller has completed the exit for the next access: a load with ``value``, or None if the
        caller has written the register."""
        element = access.elements[access.index]
        if access.is_load:
            mask = VALUE_MASKS[element.size]
            if value is None:
                access.values.append(self._frame.gpr(element.register) & mask)
            else:
                access.values.append(element.in_register(value & mask))
        access.index += 1

    def reason(self, access: PendingAccess) -> MmioReason:
        """Return the exit for the next access."""
        element = access.elements[access.index]
        if not access.is_load:
            return mmio_write(element.ipa, element.size, self._store_value(element))
        is_64bit = element.is_64bit or element.vector
        return mmio_read(element.ipa, element.size, element.register, is_64bit, element.sign_extend)

    def _store_value(self, element: Element) -> int:
        """Return the value that a store writes."""
        if element.vector:
            word = self._v0 + element.register * self._stride + element.at // WIDEST
            value = self._u64[word] >> 8 * (element.at % WIDEST)
        else:
            value = self._frame.gpr(element.register)
        return element.in_register(value & VALUE_MASKS[element.size])

    def _commit(self, access: PendingAccess) -> None:
        if access.is_load:
            # A write to part of a vector register clears the rest of it; a write to a lane clears the bits beyond 128.
            for register, lane in {(each.register, each.lane) for each in access.elements if each.vector}:
                word = self._v0 + register * self._stride
                for n in range(_QUADWORD if lane else 0, self._stride):
                    self._u64[word + n] = 0
        for element, value in zip(access.elements, access.values, strict=False):
            if element.vector:
                self._set_elements(element, value)
            else:
                extended = extend_load(value, element.size, element.sign_extend, element.is_64bit)
                self._frame.set_gpr(element.register, extended)
        self.write_back(access)

    def _set_elements(self, element: Element, value: int) -> None:
        """Write a loaded value to its vector register, in all its copies."""
        for at in range(element.at, element.at + element.copies * element.size, element.size):
            word, shift = self._v0 + element.register * self._stride + at // WIDEST, 8 * (at % WIDEST)
            others = self._u64[word] & ~(VALUE_MASKS[element.size] << shift)
            self._u64[word] = others | value << shift

    def write_back(self, access: PendingAccess) -> None:
        """Write the base register if the instruction does, 31 being SP; this is the instruction's last effect."""
        base, delta = access.base, access.writeback
        if delta and base == ZERO_REGISTER:
            self._frame.sp += delta
        elif delta:
            self._frame.set_gpr(base, self._frame.gpr(base) + delta)
