"""The registers of PL011 and PL031, accessed at random here and on QEMU's virt board: what is read must be the same.

    python -m tests.fuzz.devices --count 20000 --seed 7

Each access is one of the forms of a load or store of 32 bits that AArch64 has, and of pairs; both devices keep what was
written, so an example is a sequence. Left out is what depends on time (RTCDR), and loop-back, which QEMU 7.2 has not.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.identification.sysreg_access import EL1
from arm_vcpu_cli.arch.registers.sysreg import lookup
from tests.engine.harness import RAM
from tests.fuzz.encodings import REGION, VECTORS, WFI, Lab
from tests.fuzz.qemu.cases import Case
from tests.fuzz.qemu.option import add_option, say_outcomes, wanted
from tests.fuzz.qemu.second import SecondOpinion

MODEL: Final = "cortex-a72"
WIDTH: Final = "width of a register"
RULES: Final[Mapping[str, str]] = MappingProxyType(
    {WIDTH: "PL011's registers have 3 to 16 bits (DDI 0183, 3.2), and QEMU keeps all 32 that are written"}
)
_UART, _RTC = 0x0900_0000, 0x0901_0000
_BLOCK: Final = 1 << 21
_IDS: Final[Mapping[int, int]] = MappingProxyType(dict.fromkeys(range(4064, 4096, 4), 255))
_FULL: Final = 0xFFFF_FFFF
_CONTROL, _LOOP_BACK = 0x30, 1 << 7
_UART_REGISTERS: Final[Mapping[int, int]] = MappingProxyType(
    {
        0: 0xFFF,
        4: 0xF,
        0x18: 0x1FF,
        0x20: 0xFF,
        0x24: 0xFFFF,
        0x28: 0x3F,
        0x2C: 0xFF,
        _CONTROL: 0xFF87,
        0x34: 0x3F,
        0x38: 0x7FF,
        0x3C: 0x7FF,
        0x40: 0x7FF,
        0x44: 0x7FF,
        0x48: 7,
        **_IDS,
    }
)
_RTC_REGISTERS: Final[Mapping[int, int]] = MappingProxyType({**dict.fromkeys(range(4, 0x20, 4), _FULL), **_IDS})
"""The bits of each register, by offset."""
_MATCH, _SET = 4, 8
_FAR_AWAY, _SMALL = 0x7FFF_FFFF, 0x3FFF_FFFF
"""The clock never reaches RTCMR, whatever is written to RTCLR."""
_LOADS: Final = (0xB940_0001, 0xB840_0001, 0xB840_4401, 0xB85F_CC01, 0xB980_0001, 0xBD40_0001, 0xB840_0801, 0xB862_6801)
"""LDR, LDUR, with post-index 4 and pre-index -4, LDRSW, of a SIMD register, LDTR, and with X2; to 1 from X0."""
_STORES: Final = (0xB900_0001, 0xB800_0001, 0xB800_4401, 0xB81F_CC01, 0xBD00_0001, 0xB800_0801, 0xB822_6801)
_PAIR_LOADS: Final = (0x2940_0C01, 0x6940_0C01, 0x28C0_8C01)
"""LDP, LDPSW, LDP with post-index; to 1 and 3."""
_PAIR_STORES: Final = (0x2900_0C01, 0x2880_8C01)
_PRE_INDEX: Final = (0xB85F_CC01, 0xB81F_CC01)
_CODE: Final = RAM + 0x80_0000
_BATCH: Final = 4000


@dataclass(frozen=True)
class Step:
    """An access, and the bits that the registers which it reads have."""

    word: int
    address: int
    values: tuple[int, int]
    bits: tuple[int, int]

    def x(self) -> list[int]:
        """X0 to X30 before it."""
        x = [0] * 31
        x[0], x[1], x[3] = self.address, *self.values
        return x


def steps(random: Random) -> Iterator[Step]:
    """Random accesses."""
    while True:
        base, registers = random.choice(((_UART, _UART_REGISTERS), (_RTC, _RTC_REGISTERS)))
        offset = random.choice(tuple(registers))
        is_store, is_pair = random.random() < 0.5, offset + 4 in registers and random.random() < 0.3
        forms = (_PAIR_STORES if is_pair else _STORES) if is_store else _PAIR_LOADS if is_pair else _LOADS
        word = random.choice(forms)
        values = (_value(random, base, offset), _value(random, base, offset + 4))
        address = base + offset + 4 * (word in _PRE_INDEX)
        yield Step(word, address, values, (registers[offset], registers.get(offset + 4, 0)))


def _value(random: Random, base: int, offset: int) -> int:
    value = random.choice((random.getrandbits(32), random.getrandbits(16), random.getrandbits(8), 0, 0x301))
    if base == _UART:
        return value & ~_LOOP_BACK if offset == _CONTROL else value
    return _FAR_AWAY if offset == _MATCH else value & _SMALL if offset == _SET else value


class Devices:
    """A machine, and QEMU's."""

    def __init__(self) -> None:
        self._lab = Lab(MODEL)
        self._sysregs = self._lab.case(WFI, EL1, False).sysregs
        contents = [(VECTORS, struct.pack("<I", WFI) * (0x800 // 4))]
        self._second = SecondOpinion(MODEL, [REGION, (_UART, _BLOCK)], contents)
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        """End the machine."""
        self._lab.close()

    def compare(self, sequence: Sequence[Step]) -> Iterator[str]:
        """What differs. The devices are as at reset on QEMU, so a sequence is compared by one call."""
        batch = []
        for step in sequence:
            vectors = [0, 0, step.values[0], *[0] * 61]
            batch.append(Case(self._sysregs, step.x(), vectors, [(_CODE, struct.pack("<2I", step.word, WFI))]))
        for number, (step, there) in enumerate(zip(sequence, self._second.run(batch), strict=True)):
            assert there is not None
            here = self._execute(step)
            theirs = (there.x[0], there.x[1], there.x[3], there.v[2])
            if here == theirs:
                self.outcomes["the same"] += 1
            elif self._within(step, here, theirs):
                self.outcomes[WIDTH] += 1
            else:
                self.outcomes["differ"] += 1
                places = [f"{ours:#x} ({other:#x})" for ours, other in zip(here, theirs, strict=True)]
                what = f"{step.word:#010x} at {step.address:#x}"
                yield f"access {number}, {what}: X0, X1, X3, V1 {', '.join(places)} (on QEMU)"

    def _within(self, step: Step, here: tuple[int, ...], there: tuple[int, ...]) -> bool:
        """Whether the two only differ in bits that the registers do not have."""
        bits = (_FULL, *step.bits, step.bits[0])
        return all(ours in (other, other & wide) for ours, other, wide in zip(here, there, bits, strict=True))

    def _execute(self, step: Step) -> tuple[int, ...]:
        lab = self._lab
        lab.enter(EL1, False)
        lab.machine.ram.write(_CODE, struct.pack("<2I", step.word, WFI))
        vcpu, layout = lab.vcpu, lab.vcpu.state.layout
        for number, value in enumerate(step.x()):
            vcpu.ctx.set_gpr(number, value)
        vector = (layout.v0 + layout.vector_stride) // 8
        vcpu.state.u64[vector], vcpu.state.u64[vector + 1] = step.values[0], 0
        lab.run()
        assert vcpu.read_sysreg(lookup("ELR_EL1")) == _CODE
        return (vcpu.ctx.gpr(0), vcpu.ctx.gpr(1), vcpu.ctx.gpr(3), vcpu.state.u64[vector])


def hunt(seed: int, count: int) -> tuple[list[str], Counter[str]]:
    """Try a sequence of so many accesses; what was found, and the outcomes."""
    random, devices = Random(f"{seed} devices"), Devices()
    source = steps(random)
    try:
        return list(devices.compare([next(source) for _ in range(count)])), devices.outcomes
    finally:
        devices.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=_BATCH, help="accesses, at most 4000 in each sequence")
    add_option(parser)
    options = parser.parse_args(arguments)
    if not wanted(options):
        return 0
    failed, started = False, time.monotonic()
    for number in range(-(-options.count // _BATCH)):
        findings, outcomes = hunt(options.seed + number, min(_BATCH, options.count))
        for finding in findings:
            failed = True
            print(f"seed {options.seed + number}: {finding}", flush=True)
        print(f"seed {options.seed + number}, {time.monotonic() - started:.0f} s", flush=True)
        say_outcomes(outcomes, RULES)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
