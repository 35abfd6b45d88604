"""A trace of any length, to measure readers with:  python tests/bench/make_trace.py EVENTS > trace.jsonl

The events are those of a kernel that prints through a PL011 and has a timer: the mix, the number of different places
and the length of the lines are those of a boot of Linux. Two calls with the same arguments write the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from collections.abc import Iterator
from typing import TextIO

_CHUNK = 1 << 12
_TEXT = "[    0.907356] pci-host-generic 4010000000.pcie: host bridge /pcie ranges:\n"
HEADER = {
    "type": "trace",
    "schema": "armvcpu-trace",
    "version": 1,
    "tool": "armvcpu 0.1.0",
    "guest": "vmlinuz",
    "machine": "virt",
    "cpu": "cortex-a72",
    "clock": "instructions",
    "timing": True,
    "vcpus": 1,
    "devices": [{"name": "uart0", "type": "pl011", "base": "0x9000000", "size": "0x1000", "intid": 33}],
}


def _places(chance: random.Random) -> list[str]:
    """The texts between time and fields of 300 places of the guest."""
    places = []
    for number in range(300):
        pc = 0xFFFF_8000_0800_0000 + chance.randrange(1 << 24) * 4
        place = {
            "pc": hex(pc),
            "symbol": f"function_{number}+{pc & 0xFC:#x}",
            "caller": f"caller_{number // 7}",
            "el": 1,
            "esr": "0x93800047",
            "esr_text": "EC=0x24 (Data Abort from a lower EL) IL=1 ISV=1 SAS=2 SSE=0 SRT=x0 SF=0 AR=0 WnR=1 DFSC=0x07",
        }
        places.append(json.dumps(place, separators=(",", ":"))[1:-1])
    return places


def events(count: int, seed: int) -> Iterator[str]:
    """``count`` lines of exits."""
    chance = random.Random(seed)
    places, time = _places(chance), 0
    uart = '"ipa":"{0}","va":"{0}","device":"uart0","register":"PL011.{1}","offset":"{2}","width":4,'
    data, flags = uart.format("0x9000000", "UARTDR", "0x0"), uart.format("0x9000018", "UARTFR", "0x18")
    for seq in range(1, count + 1):
        time += chance.randrange(100, 40_000)
        host = int(chance.lognormvariate(8, 0.7))
        kind = chance.random()
        where = places[int(chance.random() ** 3 * len(places))]
        if kind < 0.5:
            char = _TEXT[seq % len(_TEXT)]
            meaning = json.dumps(repr(char))
            reason, fields = "MmioWrite", f'{data}"data":"{ord(char):#x}","meaning":{meaning}'
        elif kind < 0.95:
            reason, fields = "MmioRead", f'{flags}"reg":"w1","value":"0x90","meaning":"TXFE RXFE"'
        elif kind < 0.98:
            reason, fields = "SysRegWrite", f'"sysreg":"CNTV_CVAL_EL0","value":"{chance.getrandbits(40):#x}"'
        elif kind < 0.99:
            reason, fields = "Hypercall", '"conduit":"smc","nr":"0x84000000","call":"PSCI_VERSION","result":"0x10001"'
        else:
            reason, fields = "ExternalInterrupt", '"vector":26'
        yield (
            f'{{"type":"exit","seq":{seq},"vcpu":0,"time_ns":{time},"reason":"{reason}",'
            f'{where},{fields},"host_ns":{host}}}\n'
        )


def write(stream: TextIO, count: int, seed: int = 0) -> None:
    """A whole trace, but for its last two lines."""
    stream.write(json.dumps(HEADER, separators=(",", ":")) + "\n")
    pending = io.StringIO()
    for number, line in enumerate(events(count, seed)):
        pending.write(line)
        if number % _CHUNK == _CHUNK - 1:
            stream.write(pending.getvalue())
            pending = io.StringIO()
    stream.write(pending.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description="A trace of any length, to measure readers with, on stdout.")
    parser.add_argument("events", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(sys.stdout, arguments.events, arguments.seed)


if __name__ == "__main__":
    main()
