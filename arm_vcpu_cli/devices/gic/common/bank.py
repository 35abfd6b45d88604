"""The state of interrupts, kept as integers with a bit for each INTID (IHI 0069H, 4.1, 4.7 and 4.8; IHI 0048B, 3.2 and
3.3)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.saved import Saved

PRIORITY_BITS: Final = 5
"""Implemented bits of a priority, the upper ones of eight (4.8)."""
PRIORITY_MASK: Final = 0xFF & 0xFF << 8 - PRIORITY_BITS
IDLE_PRIORITY: Final = 0xFF
INTID_BITS: Final = 10
INTID_MASK: Final = (1 << INTID_BITS) - 1
NO_INTERRUPT: Final = IDLE_PRIORITY << INTID_BITS | INTID_MASK
"""The rank of no interrupt: idle priority, INTID 1023."""


class InterruptBank:
    """Interrupts that share a frame of registers: the SGIs and PPIs of one PE, or the SPIs of all.

    Every mask has bit n for INTID n. ``valid`` are those that exist and ``configurable`` those with a configurable
    trigger. An interrupt is pending if its ``latch`` is set, or if it is level-sensitive and its input is asserted, by
    a wire or by a message. Call :meth:`refresh` after changing a mask; call :meth:`forward` after changing ``enabled``,
    ``group`` or the Distributor's group enables.

    ``ready`` are the interrupts that may go to a PE: pending, enabled, in an enabled group, and not active.
    """

    __slots__ = (
        "_levels",
        "_masks",
        "active",
        "configurable",
        "edge",
        "enabled",
        "forwarded",
        "group",
        "latch",
        "messages",
        "priorities",
        "ready",
        "valid",
        "wires",
    )

    def __init__(self, first: int, end: int, *, edge: int = 0) -> None:
        """INTIDs ``first`` to ``end`` - 1; those in ``edge`` are permanently edge-triggered."""
        self.valid = (1 << end) - (1 << first)
        self.configurable = self.valid & ~edge
        self.edge = edge
        self.group = self.enabled = self.latch = self.wires = self.messages = self.active = 0
        self.forwarded = self.ready = 0
        self.priorities = bytearray(end)
        self._masks = {0: self.valid}
        self._levels: tuple[tuple[int, int], ...] = ((0, self.valid),)

    def pending(self) -> int:
        """Return the pending interrupts, including those that are active and pending."""
        return self.latch | (self.wires | self.messages) & ~self.edge

    def refresh(self) -> None:
        """Update ``ready``."""
        self.ready = (self.latch | (self.wires | self.messages) & ~self.edge) & self.forwarded & ~self.active

    def forward(self, enable0: bool, enable1: bool) -> None:
        """Update which interrupts may be forwarded, with the group enables of GICD_CTLR (4.7.2)."""
        groups = (self.group if enable1 else 0) | (~self.group if enable0 else 0)
        self.forwarded = self.enabled & groups
        self.refresh()

    def set_priorities(self, first: int, values: bytes) -> None:
        """Set the priorities of consecutive INTIDs from ``first`` on; those that do not exist keep 0."""
        masks = self._masks
        for intid, value in enumerate(values, first):
            bit = 1 << intid & self.valid
            if bit:
                masks[self.priorities[intid]] &= ~bit
                self.priorities[intid] = priority = value & PRIORITY_MASK
                masks[priority] = masks.get(priority, 0) | bit
        self._levels = tuple((priority << INTID_BITS, masks[priority]) for priority in sorted(masks) if masks[priority])

    def highest(self, ready: int) -> int:
        """Return the best of the interrupts ``ready``, as its rank: the priority above the INTID.

        Lower ranks come first, so among equal priorities the lowest INTID does.
        """
        for priority, mask in self._levels:
            found = ready & mask
            if found:
                return priority | (found & -found).bit_length() - 1
        return NO_INTERRUPT

    def save(self) -> dict[str, object]:
        """Return the states and the configuration of the interrupts as plain data, without derived values."""
        return {
            "group": self.group,
            "enabled": self.enabled,
            "edge": self.edge,
            "latch": self.latch,
            "wires": self.wires,
            "messages": self.messages,
            "active": self.active,
            "priorities": list(self.priorities),
        }

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError for another kind of bank. :meth:`forward` must
        follow."""
        valid, fixed = self.valid, self.valid & ~self.configurable
        group, enabled, latch, wires, messages, active, edge = (
            saved.number(name, valid) & valid
            for name in ("group", "enabled", "latch", "wires", "messages", "active", "edge")
        )
        priorities = bytes(saved.numbers("priorities", len(self.priorities), IDLE_PRIORITY))
        self.group, self.enabled, self.latch = group, enabled, latch
        self.wires, self.messages, self.active = wires, messages, active
        self.edge = edge & self.configurable | fixed
        self.set_priorities(0, priorities)
