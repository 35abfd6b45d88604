"""Code that differs from the guest's file: the loaded bytes, the current bytes, and the extent of the change."""

from __future__ import annotations

from typing import Final, NamedTuple

from arm_vcpu_cli.guest.image import Segment
from arm_vcpu_cli.inspect.postmortem.memory_words import WORD, word_at
from arm_vcpu_cli.printable import decoded
from arm_vcpu_cli.vm.machine import Machine

_MOST_BYTES: Final = 64 << 10
"""The greatest extent of a change that is examined, in each direction."""
_SHOWN: Final = 24
_LEAST_TEXT: Final = 8
_PRINTABLE: Final = frozenset(range(0x20, 0x7F))


class Changed(NamedTuple):
    """The words from ``start`` to before ``end``, virtual addresses, differ from the file, all of them; ``loaded`` and
    ``now`` are the requested word. ``content`` describes the present content, if it is recognised, and ``behind`` is
    the symbol that ends immediately before ``start``."""

    start: int
    end: int
    loaded: int
    now: int
    content: str
    behind: str


def changed_at(machine: Machine, address: int) -> Changed | None:
    """The change around a virtual address; None if the word there matches the file, or belongs to no file.

    Linux kernels patch their own code.
    """
    now = word_at(machine, address)
    if now is None or machine.image.kind == "linux":
        return None
    translated = machine.current.arch.memory().translate(address)
    ipa = address if translated.stage2 is None else translated.stage1.output
    segment = _segment_at(machine, ipa)
    if ipa is None or segment is None:
        return None
    offset = ipa - segment.address
    loaded = int.from_bytes(segment.data[offset : offset + WORD], "little")
    if loaded == now:
        return None
    view = machine.ram.view(segment.address, len(segment.data))
    if view is None:
        return None
    first = _edge(view, segment.data, offset, -WORD)
    end = _edge(view, segment.data, offset, WORD) + WORD
    content = _content(bytes(view[first:end]))
    start = address - offset + first
    return Changed(start, address - offset + end, loaded, now, content, _ends_at(machine, start))


def _segment_at(machine: Machine, ipa: int | None) -> Segment | None:
    """The segment of the file that was loaded at an IPA."""
    if ipa is None:
        return None
    return next((each for each in machine.image.segments if 0 <= ipa - each.address <= len(each.data) - WORD), None)


def _edge(view: memoryview, loaded: bytes, offset: int, step: int) -> int:
    """The offset of the last differing word in one direction."""
    limit = offset + step * (_MOST_BYTES // WORD)
    following = offset + step
    while 0 <= following <= len(loaded) - WORD and following != limit:
        if view[following : following + WORD] == loaded[following : following + WORD]:
            break
        offset, following = following, following + step
    return offset


def _ends_at(machine: Machine, address: int) -> str:
    """The symbol whose last byte immediately precedes an address."""
    symbols = machine.image.symbols
    before, here = symbols.resolve(address - 1), symbols.resolve(address)
    return "" if before is None or (here is not None and here[0] == before[0]) else before[0]


def _content(data: bytes) -> str:
    if not any(data):
        return "zeros"
    if len(data) >= _LEAST_TEXT and _PRINTABLE.issuperset(data):
        text = decoded(data, _SHOWN)
        return f'the text "{text}{"..." if len(data) > _SHOWN else ""}"'
    return ""
