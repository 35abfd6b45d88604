"""Caches exit reasons, which are immutable: building one takes longer than finding it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from arm_vcpu_cli.axvcpu.exit import AccessWidth, Hypercall, MmioRead, MmioWrite

_REMEMBERED: Final = 4096
_WIDTHS: Final = {width.value: width for width in AccessWidth}


@lru_cache(maxsize=_REMEMBERED)
def mmio_write(ipa: int, size: int, value: int) -> MmioWrite:
    """Return a store of ``size`` bytes."""
    return MmioWrite(ipa, _WIDTHS[size], value)


@lru_cache(maxsize=_REMEMBERED)
def mmio_read(ipa: int, size: int, register: int, is_64bit: bool, sign_extend: bool) -> MmioRead:
    """Return a load of ``size`` bytes."""
    width = AccessWidth.QWORD if is_64bit else AccessWidth.DWORD
    return MmioRead(ipa, _WIDTHS[size], register, width, sign_extend)


@lru_cache(maxsize=_REMEMBERED)
def hypercall(number: int, args: tuple[int, ...]) -> Hypercall:
    """Return a hypervisor call."""
    return Hypercall(number, args)
