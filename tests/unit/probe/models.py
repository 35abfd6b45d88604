"""The modelled CPUs without an engine: the engine's ID registers on a fake core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.probe.cpu_facts import CpuFacts, describe_cpu
from tests.support.fake_core import FakeCore, FakeHal

PAGE: Final = 0x1000

CORTEX: Final[Mapping[str, int]] = {
    "ID_AA64PFR0_EL1": 0x2222,
    "ID_AA64DFR0_EL1": 0x1030_5106,
    "ID_AA64ISAR0_EL1": 0x1_1120,
    "ID_PFR0_EL1": 0x131,
}
MODELS: Final[Mapping[str, Mapping[str, int]]] = {
    "cortex-a53": {**CORTEX, "ID_AA64MMFR0_EL1": 0x1122, "MIDR_EL1": 0x410F_D034},
    "cortex-a57": {**CORTEX, "ID_AA64MMFR0_EL1": 0x1124, "MIDR_EL1": 0x411F_D070},
    "cortex-a72": {**CORTEX, "ID_AA64MMFR0_EL1": 0x1124, "MIDR_EL1": 0x410F_D083},
    "max": {
        "ID_AA64PFR0_EL1": 0x1_0011_2222,
        "ID_AA64PFR1_EL1": 0x1,
        "ID_AA64DFR0_EL1": 0x1030_5506,
        "ID_AA64ISAR0_EL1": 0x1021_1111_1021_2120,
        "ID_AA64ISAR1_EL1": 0x111_0121_1012,
        "ID_AA64MMFR0_EL1": 0x1124,
        "ID_AA64MMFR1_EL1": 0x21_1120,
        "ID_AA64MMFR2_EL1": 0x11,
        "MIDR_EL1": 0xF_0510,
        "ID_PFR0_EL1": 0x131,
        "ID_ISAR6_EL1": 0x1_1111,
    },
}


class Frames(FakeHal):
    """Frames that can be had contiguously too."""

    def alloc_frames(self, count: int) -> int | None:
        for base in sorted(self.free):
            run = range(base, base + count * PAGE, PAGE)
            if base % (count * PAGE) == 0 and all(frame in self.free for frame in run):
                self.free = [frame for frame in self.free if frame not in run]
                return base
        return None


def fake_model(name: str, **changes: int) -> FakeCore:
    """A core with the ID registers of a model, some of them changed."""
    core = FakeCore(model=name)
    core.registers = {lookup(register): value for register, value in {**MODELS[name], **changes}.items()}
    return core


def facts(name: str, **changes: int) -> CpuFacts:
    """What the probe says of it."""
    return describe_cpu(fake_model(name, **changes), Frames())
