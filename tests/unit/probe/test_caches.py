"""The geometry of caches in CLIDR_EL1 and CCSIDR_EL1 (DDI 0487, D24.2)."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.probe.caches import Cache, read_caches
from tests.support.fake_core import FakeCore

CLIDR, CCSIDR, CSSELR = lookup("CLIDR_EL1"), lookup("CCSIDR_EL1"), lookup("CSSELR_EL1")
# The Cortex-A72 as the engine has it: L1 separate, L2 unified.
A72 = {0: 0x701F_E00A, 1: 0x201F_E012, 2: 0x707F_E07A}


class CoreWithCaches(FakeCore):
    """CCSIDR_EL1 is that of the cache that CSSELR_EL1 selects."""

    sizes: dict[int, int]

    def read_sysreg(self, reg: SysReg) -> int:
        return self.sizes[self.registers.get(CSSELR, 0)] if reg == CCSIDR else super().read_sysreg(reg)


def core(clidr: int, sizes: dict[int, int]) -> CoreWithCaches:
    made = CoreWithCaches()
    made.registers[CLIDR] = clidr
    made.sizes = sizes
    return made


def test_each_cache_is_selected_and_read() -> None:
    made = core(0xA20_0023, A72)
    found = read_caches(made, is_wide=False)
    assert found == (
        Cache(1, "data", 2, 256, 64),
        Cache(1, "instruction", 3, 256, 64),
        Cache(2, "unified", 16, 1024, 64),
    )
    assert [cache.size >> 10 for cache in found] == [32, 48, 1024]
    assert made.registers[CSSELR] == 0


def test_a_core_with_the_wide_format_has_its_numbers_elsewhere() -> None:
    assert read_caches(core(2, {0: 127 << 32 | 3 << 3 | 1}), is_wide=True) == (Cache(1, "data", 4, 128, 32),)


def test_a_core_without_caches_has_none() -> None:
    assert read_caches(core(0, {}), is_wide=False) == ()
    without = FakeCore()
    without.missing = {CLIDR}
    assert read_caches(without, is_wide=False) == ()
