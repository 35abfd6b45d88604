"""Stand-ins for hardware that a guest accesses without needing it to work."""

from __future__ import annotations

from typing import Any, Final

from arm_vcpu_cli.saved import Saved

_VERSION: Final = 1
"""The version of the saved state."""


class ReadAsZero:
    """Reads as zero and ignores writes."""

    def read(self, offset: int, width: int) -> int:  # noqa: ARG002
        """Return zero."""
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Ignore the write."""


_TRANSPORT_SIZE: Final = 0x200
"""Bytes of registers of a transport, as on QEMU's virt board."""
_MAGIC, _TRANSPORT_VERSION, _NO_DEVICE = 0x7472_6976, 2, 0
_TRANSPORT_REGISTERS: Final = (("MagicValue", _MAGIC), ("Version", _TRANSPORT_VERSION), ("DeviceID", _NO_DEVICE))
"""Names and values of the registers that tell a driver that there is no device (Virtual I/O Device 1.2, 4.2.2): four
bytes each, in this order."""


class EmptyTransports:
    """Virtio-mmio transports without a device, 512 bytes each. Drivers that probe the addresses of QEMU's virt board
    find these, as on that board."""

    gives_way: Final = True
    """Whether another device may replace them; see :meth:`~arm_vcpu_cli.devices.bus.Bus.add`."""

    def read(self, offset: int, width: int) -> int:
        """Return the magic value, version 2 and device 0; zero elsewhere."""
        index, at = divmod(offset % _TRANSPORT_SIZE, 4)
        value = _TRANSPORT_REGISTERS[index][1] if index < len(_TRANSPORT_REGISTERS) else 0
        return value >> 8 * at & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        """Ignore the write."""

    def register_name(self, offset: int, width: int) -> str:  # noqa: ARG002
        """Return the transport and register that an access is to, such as ``virtio0.DeviceID``."""
        slot, at = divmod(offset, _TRANSPORT_SIZE)
        index = at // 4
        return f"virtio{slot}.{_TRANSPORT_REGISTERS[index][0]}" if index < len(_TRANSPORT_REGISTERS) else ""

    def register_meaning(self, offset: int, width: int, value: int) -> str:  # noqa: ARG002
        """Return the meaning of a register's value: a DeviceID that the transport has no device."""
        return "no device" if self.register_name(offset, width).endswith("DeviceID") else ""


class Scratch:
    """Registers that read as written; ``size`` bytes, zero at reset. They have no other effect."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes: dict[int, int] = {}

    def read(self, offset: int, width: int) -> int:
        """Return the bytes at ``offset``, zero where nothing was written."""
        stored = self._bytes
        return sum(stored.get(offset + n, 0) << 8 * n for n in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        """Store the bytes inside the region."""
        for n in range(min(width, self._size - offset)):
            self._bytes[offset + n] = value >> 8 * n & 0xFF

    def save(self) -> dict[str, Any]:
        """Return the written bytes."""
        offsets = sorted(self._bytes)
        return {"version": _VERSION, "offsets": offsets, "bytes": bytes(self._bytes[offset] for offset in offsets)}

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned. Raises ValueError, without a change, for anything else."""
        saved = Saved(state, "registers", version=_VERSION)
        offsets = saved.numbers("offsets", None, self._size - 1)
        self._bytes = dict(zip(offsets, saved.data("bytes", len(offsets)), strict=True))
