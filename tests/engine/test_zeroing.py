"""DC ZVA that HCR_EL2.TDZ traps does what the core's own does, faults included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from arm_vcpu_cli.arch.registers.sysreg import SystemMove, lookup
from arm_vcpu_cli.arch.syndrome.esr import system_trap_esr
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import AccessFlags, NestedPageFault

from .harness import DATA, DEVICE, EL0T, EL1H, MASKED, Guest, Script, is_call
from .stage1 import AF, AP_EL0, AP_RO, KERNEL, PAGE, SCTLR_MMU_ON, TCR, USER, Stage1

DZE: Final = 1 << 14
TBI0: Final = 1 << 37
PAN: Final = 1 << 22
DC_ZVA_X1, HVC, RET, MOV_X0_7 = 0xD50B_7421, 0xD400_2002, 0xD65F_03C0, 0xD280_00E0
CODE: Final = DATA - 0x1000
VA: Final = 0x1000_0000
READ_ONLY: Final = 0x5000_0000
DEVICE_MEMORY: Final = 1 << 2
PATTERN: Final = bytes(range(1, 128)) * 33
PAGES: Final = {
    "kernel": (DATA, KERNEL),
    "kernel, read-only": (DATA, KERNEL | AP_RO),
    "user": (DATA, USER),
    "user, read-only": (DATA, KERNEL | AP_EL0 | AP_RO),
    "without access flag": (DATA, KERNEL & ~AF),
    "beyond IPS": (1 << 47, KERNEL),
    "a device": (DEVICE, KERNEL),
    "a device, as Device memory": (DEVICE, KERNEL | DEVICE_MEMORY),
    "read-only memory": (READ_ONLY, USER),
}
NAMES: Final = (*PAGES, "nothing")


class Both:
    """A guest whose DC ZVA is trapped, and one whose is not."""

    def __init__(self, model: str) -> None:
        self.guests = [Guest("exceptions", model=model, platform=Script(), hcr=hcr) for hcr in ((), ("TDZ",))]
        for guest in self.guests:
            guest.map(READ_ONLY, PAGE, "r")
            guest.write_code(CODE, DC_ZVA_X1, HVC)

    def outcomes(
        self, address: int, mode: int, *, sctlr: int, tcr: int = TCR, pstate: int = MASKED
    ) -> list[list[object]]:
        """What happens in each."""
        return [self._outcome(guest, address, mode, sctlr, tcr, pstate) for guest in self.guests]

    def _outcome(self, guest: Guest, address: int, mode: int, sctlr: int, tcr: int, pstate: int) -> list[object]:
        guest.write(DATA, PATTERN[:PAGE])
        guest["SCTLR_EL1"] = sctlr & ~1
        tables = Stage1(guest)
        for number, (ipa, attributes) in enumerate(PAGES.values()):
            tables.map(VA + number * PAGE, ipa, 3, attributes)
        tables.enable(sctlr=sctlr, tcr=tcr)
        guest["FAR_EL1"] = guest["ESR_EL1"] = 0
        reason = guest.start(CODE, mode=mode, pstate=pstate, x={1: address})
        return [is_call(reason) or reason, guest["ESR_EL1"], guest["FAR_EL1"], guest.pc, guest.read(DATA, PAGE)]


@pytest.fixture(scope="module", params=["cortex-a72", "max"])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    made = Both(request.param)
    yield made
    for guest in made.guests:
        guest.host.close()


MODE = pytest.mark.parametrize("mode", [EL1H, EL0T], ids=["EL1", "EL0"])


def place_of(name: str) -> int:
    return VA + NAMES.index(name) * PAGE


@MODE
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [0x40, 0xFF, PAGE - 1])
def test_it_zeroes_or_faults_as_the_core_does(both: Both, name: str, offset: int, mode: int) -> None:
    plain, trapped = both.outcomes(place_of(name) + offset, mode, sctlr=SCTLR_MMU_ON | DZE)
    assert trapped == plain
    block = offset & -64
    done = name.startswith("user") if mode == EL0T else name in ("kernel", "user")
    done = done and not name.endswith("read-only")
    zeroed = PATTERN[:block] + bytes(64) + PATTERN[block + 64 : PAGE]
    assert plain[-1] == (zeroed if done else PATTERN[:PAGE])


@MODE
@pytest.mark.parametrize("tcr", [TCR, TCR | TBI0], ids=["tag counts", "tag ignored"])
def test_the_top_byte_may_be_a_tag(both: Both, mode: int, tcr: int) -> None:
    plain, trapped = both.outcomes(place_of("user") | 0x5A << 56, mode, sctlr=SCTLR_MMU_ON | DZE, tcr=tcr)
    assert trapped == plain
    assert (plain[-1] == PATTERN[:PAGE]) is (tcr == TCR)


def test_pan_keeps_el1_from_memory_of_el0(both: Both) -> None:
    plain, trapped = both.outcomes(place_of("user"), EL1H, sctlr=SCTLR_MMU_ON, pstate=MASKED | PAN)
    assert trapped == plain
    assert (plain[-1] == PATTERN[:PAGE]) is (both.guests[0].core.model == "max")


def test_el0_needs_sctlr_dze(both: Both) -> None:
    plain, trapped = both.outcomes(place_of("user"), EL0T, sctlr=SCTLR_MMU_ON & ~DZE)
    assert trapped == plain
    assert trapped[1] == system_trap_esr(SystemMove(lookup("DC ZVA"), 1, False))


@pytest.mark.parametrize("outcome", Outcome)
def test_stage_2_decides_what_becomes_of_a_store_to_read_only_memory(both: Both, outcome: Outcome) -> None:
    for guest in both.guests:
        assert isinstance(guest.vcpu._platform, Script)
        guest.vcpu._platform.on_fault = outcome
    plain, trapped = both.outcomes(place_of("read-only memory") + 0x40, EL1H, sctlr=SCTLR_MMU_ON)
    assert trapped == plain
    if outcome is Outcome.EXIT:
        assert trapped[0] == NestedPageFault(READ_ONLY + 0x40, AccessFlags.WRITE)
    for guest in both.guests:
        assert isinstance(guest.vcpu._platform, Script)
        guest.vcpu._platform.on_fault = Outcome.ABORT


def test_zeroed_code_is_not_executed_any_more(both: Both) -> None:
    for guest in both.guests:
        guest["SCTLR_EL1"] = SCTLR_MMU_ON & ~1
        code = DATA + 0x2000
        guest.write_code(code, MOV_X0_7, HVC)
        assert is_call(guest.start(code))
        assert guest.x(0) == 7
        assert is_call(guest.start(CODE, x={1: code}))
        guest["ESR_EL1"] = 0
        guest.start(code)
        assert (guest.x(0), guest.esr, guest["ELR_EL1"]) == (0, 0x0200_0000, code)
