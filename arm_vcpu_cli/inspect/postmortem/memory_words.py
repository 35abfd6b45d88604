"""Words of a stopped guest's memory, by virtual address."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.vm.machine import Machine

WORD: Final = 4


def word_at(machine: Machine, address: int) -> int | None:
    """The instruction at a virtual address; where that is not mapped, the one at the IPA of that number."""
    if address % WORD:
        return None
    data = machine.core.read_virtual(address, WORD)
    if data is None:
        view = machine.ram.view(address, WORD)
        data = None if view is None else bytes(view)
    return None if data is None else int.from_bytes(data, "little")


def words_before(machine: Machine, address: int, count: int) -> tuple[int, ...]:
    """The instructions before an address, the nearest first; fewer where they cannot be read."""
    words = []
    for place in range(address - WORD, address - WORD * (count + 1), -WORD):
        word = word_at(machine, place)
        if word is None:
            break
        words.append(word)
    return tuple(words)
