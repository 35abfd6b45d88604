"""Splits lines of events without decoding them, for code that processes millions of them.

Except for a few numbers, a line is the same as many others: reason, place, register. :func:`split` cuts a line into
that common text and those numbers. The common text of a decoded line for which :func:`is_plain` holds represents all
lines that have it: they are valid JSON too, and have the same properties. Everything else goes to the decoder.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = rb"(?:0|[1-9][0-9]{0,17})"
_HEAD: Final = re.compile(
    rb'\{"type":"([a-z]{1,16})","seq":%b,"vcpu":(%b),"time_ns":(%b),' % (_NUMBER, _NUMBER, _NUMBER)
).match
_VALUES: Final = (b',"value":"', b',"data":"')
_TIMES: Final = (b',"host_ns":', b',"latency_ns":')
_TIME_TAIL: Final = rb'(?:,"host_ns":(%b)|,"latency_ns":(%b))?\}' % (_NUMBER, _NUMBER)
_TIMES_ONLY: Final = re.compile(_TIME_TAIL).fullmatch
_VALUES_TOO: Final = re.compile(
    rb'(?:,"(?:value|data)":"0x[0-9a-f]{1,16}")?(?:,"meaning":"[ !#-\[\]-~]{0,99}")?' + _TIME_TAIL
).fullmatch
_OUTSIDE: Final = (b'"type":', b'"seq":', b'"vcpu":', b'_ns":', b"\\u")

SplitLine = tuple[bytes, bytes, bytes, int, int | None, int | None]
"""Type, vCPU, common text, ``time_ns``, and ``host_ns`` and ``latency_ns``, which are None if absent."""


def split(line: bytes, *, values: bool = False) -> SplitLine | None:
    """Cut a line; None unless it has the format of our own sink.

    The value read or written (``value`` or ``data``, ``meaning``) is dropped, unless ``values`` keeps it in the common
    text.
    """
    head = _HEAD(line)
    if head is None:
        return None
    start = head.end()
    cut = -1
    if not values:
        cut = line.find(_VALUES[0], start)
        if cut < 0:
            cut = line.find(_VALUES[1], start)
    if cut < 0:
        cut = line.find(_TIMES[0], start)
        if cut < 0:
            cut = line.find(_TIMES[1], start)
            if cut < 0:
                cut = len(line) - 1
    tail = _TIMES_ONLY(line, cut) if values else _VALUES_TOO(line, cut)
    if tail is None:
        return None
    kind, vcpu, time = head.groups()
    host, latency = tail.groups()
    return (
        kind,
        vcpu,
        line[start:cut],
        int(time),
        None if host is None else int(host),
        None if latency is None else int(latency),
    )


def is_plain(common: bytes) -> bool:
    """Return whether a common text repeats no key that the line has outside it: JSON uses the last of two."""
    return bool(common) and not any(name in common for name in _OUTSIDE)
