"""Memory made of 64-bit words, for walks through tables that a test writes by hand."""

from __future__ import annotations


class Words(dict[int, int]):
    """Words by address; pages that hold none of them are not there."""

    def read(self, address: int) -> int | None:
        """The word at an address: 0 in a page that exists, None in one that does not."""
        if address in self:
            return self[address]
        return 0 if any(known >> 12 == address >> 12 for known in self) else None
