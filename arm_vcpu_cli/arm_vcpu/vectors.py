"""The EL2 vector table: 16 entries of 0x80 bytes, four sources by four kinds."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, Generic, TypeVar

ENTRY_SIZE: Final = 0x80
TABLE_SIZE: Final = 16 * ENTRY_SIZE
TABLE_ALIGNMENT: Final = 0x800
KINDS: Final = 4


class TrapSource(IntEnum):
    """The source of an exception, in the order of the table."""

    CURRENT_SP_EL0 = 0
    CURRENT_SP_ELX = 1
    LOWER_AARCH64 = 2
    LOWER_AARCH32 = 3


class TrapKind(IntEnum):
    """The kind of an exception, in the order of the table."""

    SYNCHRONOUS = 0
    IRQ = 1
    FIQ = 2
    SERROR = 3


def vector_offset(source: TrapSource, kind: TrapKind) -> int:
    """Return the offset of an entry from VBAR, in bytes."""
    return (source * KINDS + kind) * ENTRY_SIZE


ReturnT = TypeVar("ReturnT")


class VectorTable(Generic[ReturnT]):
    """The 16 entries: each is initially ``invalid`` and is set by source and kind."""

    def __init__(self, invalid: Callable[[TrapSource, TrapKind], ReturnT]) -> None:
        def entry(source: TrapSource, kind: TrapKind) -> Callable[[], ReturnT]:
            return lambda: invalid(source, kind)

        self._entries = [entry(source, kind) for source in TrapSource for kind in TrapKind]

    def set(self, source: TrapSource, kind: TrapKind, handler: Callable[[], ReturnT]) -> None:
        """Install the handler of one entry."""
        self._entries[source * KINDS + kind] = handler

    def slot(self, source: int, kind: int) -> Callable[[], ReturnT]:
        """Return the handler of one entry."""
        return self._entries[source * KINDS + kind]
