"""Traces as files, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEADER: Mapping[str, Any] = {
    "type": "trace", "schema": "armvcpu-trace", "version": 1, "tool": "armvcpu 0.1.0", "guest": "guest.elf",
    "machine": "virt", "cpu": "cortex-a72", "clock": "instructions", "timing": True, "vcpus": 1,
    "devices": [{"name": "uart0", "type": "pl011", "base": "0x9000000", "size": "0x1000", "intid": 33}],
}  # fmt: skip
END: Mapping[str, Any] = {
    "type": "end", "ending": "powered off", "status": 0, "message": "the guest powered off", "exits": 3, "time_ns": 99,
}  # fmt: skip
SUMMARY: Mapping[str, Any] = {"type": "summary", "exits": {"MmioWrite": 3}, "total": 3}
PLACE: Mapping[str, Any] = {"pc": "0x40080154", "symbol": "uart_putc+0x24", "caller": "main", "el": 1}


def line(record: Mapping[str, Any]) -> str:
    """A line as our sink writes it."""
    return json.dumps(record, separators=(",", ":")) + "\n"


def event(kind: str, seq: int = 1, time: int = 10, **more: Any) -> dict[str, Any]:
    """An event with what all have, in the order of the sink."""
    return {"type": kind, "seq": seq, "vcpu": 0, "time_ns": time, **more}


def exit_(reason: str, seq: int = 1, time: int = 10, **more: Any) -> dict[str, Any]:
    """An exit with a place."""
    return event("exit", seq, time, reason=reason, **{**PLACE, **more})


def write(char: str, seq: int = 1, time: int = 10, **more: Any) -> dict[str, Any]:
    """A character to the UART."""
    fields = {"ipa": "0x9000000", "device": "uart0", "register": "PL011.UARTDR", "offset": "0x0", "width": 4}
    return exit_("MmioWrite", seq, time, **fields, data=hex(ord(char)), meaning=repr(char), **more)


def read(value: int, seq: int = 1, time: int = 10, **more: Any) -> dict[str, Any]:
    """A read of the UART's flags."""
    fields = {"ipa": "0x9000018", "device": "uart0", "register": "PL011.UARTFR", "offset": "0x18", "width": 4}
    return exit_("MmioRead", seq, time, **{**fields, "reg": "w1", "value": hex(value), **more})


def trace(path: Path, events: Iterable[Mapping[str, Any]], *, closed: bool = True, **header: Any) -> Path:
    """A trace in a file; ``closed`` with its last two lines."""
    records = [{**HEADER, **header}, *events, *((END, SUMMARY) if closed else ())]
    path.write_text("".join(line(record) for record in records))
    return path
