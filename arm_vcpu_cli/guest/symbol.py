"""One symbol of a guest image. Most runs never need one."""

from __future__ import annotations

from typing import NamedTuple


class Symbol(NamedTuple):
    """One symbol; ``address`` is as linked, ``size`` in bytes and 0 where the file does not say.

    ``limit`` is the first address behind the section that holds it, up to which a symbol without a size may
    reach; None where that is not known. ``rank`` orders the names of one address, the lowest is shown.
    ``is_place`` is false for an absolute value, which can be looked up but is no place in the image.
    """

    name: str
    address: int
    size: int = 0
    limit: int | None = None
    rank: int = 0
    is_place: bool = True


def is_mapping_symbol(name: str) -> bool:
    """Whether ``name`` marks the start of code or data and names nothing: ``$x``, ``$d``, ``$x.42``.

    See IHI 0056, section "Mapping symbols".
    """
    return name[:2] in ("$x", "$d") and (len(name) == 2 or name[2] == ".")
