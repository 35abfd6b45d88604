"""Register layouts against values computed by hand from the Arm ARM."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.idregs import pa_range_bits
from arm_vcpu_cli.arch.layouts import LAYOUTS, layout_of
from arm_vcpu_cli.arch.registers.el1regs import (
    AFFINITY_MASK,
    EL1H_MASKED,
    Cpacr,
    Mpidr,
    Par,
    ParFault,
    Pmcr,
    Sctlr,
    Spsr,
    Tcr,
)
from arm_vcpu_cli.arch.registers.el2regs import Cnthctl, Cptr, Hcr, Hpfar, Mdcr, Vtcr, Vttbr
from arm_vcpu_cli.arch.registers.sysreg import sysregs
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa

HCR_BITS = {
    "VM": 0,
    "FMO": 3,
    "IMO": 4,
    "AMO": 5,
    "VF": 6,
    "VI": 7,
    "VSE": 8,
    "TWI": 13,
    "TWE": 14,
    "TID1": 16,
    "TID2": 17,
    "TID3": 18,
    "TSC": 19,
    "TIDCP": 20,
    "TACR": 21,
    "TSW": 22,
    "TPC": 23,
    "TPU": 24,
    "TTLB": 25,
    "TVM": 26,
    "TGE": 27,
    "HCD": 29,
    "TRVM": 30,
    "RW": 31,
    "E2H": 34,
    "APK": 40,
    "API": 41,
    "NV": 42,
    "FWB": 46,
}


def test_layouts_belong_to_registers_that_exist() -> None:
    assert set(LAYOUTS) - {"PSTATE"} <= set(sysregs())
    assert {name for name in sysregs() if name.startswith("ID_AA64")} - set(LAYOUTS) == {
        "ID_AA64FPFR0_EL1",
        "ID_AA64DFR2_EL1",
        "ID_AA64AFR0_EL1",
        "ID_AA64AFR1_EL1",
    }


@pytest.mark.parametrize(
    ("field", "bit"),
    list(HCR_BITS.items()),
)
def test_hcr_bits(field: str, bit: int) -> None:
    assert Hcr.of(**{field: 1}) == 1 << bit


def test_the_hypervisors_hcr_reads_back() -> None:
    value = Hcr.of(VM=1, RW=1, TSC=1, IMO=1, FMO=1)
    assert value == 0x80080019
    assert value.describe() == "RW=1 TSC=1 IMO=1 FMO=1 VM=1"


def test_the_reset_pstate_is_el1h_with_all_masks() -> None:
    assert EL1H_MASKED == 0x3C5
    pstate = Spsr(0x3C5)
    assert pstate.describe() == "D=1 A=1 I=1 F=1 M=0x05 (EL1h)"
    assert (pstate.el, pstate.is_aarch64) == (1, True)
    assert (Spsr(0x60000010).el, Spsr(0x13).el, Spsr(0x10).is_aarch64) == (0, 1, False)
    assert Spsr(0x3C9).el == 2


def test_the_reset_sctlr_is_its_res1_bits() -> None:
    value = Sctlr(0x30C50830)
    set_fields = {name for name, bits in value.as_dict().items() if bits}
    assert set_fields == {"LSMAOE", "nTLSMD", "SPAN", "EIS", "nTWE", "nTWI", "EOS", "CP15BEN", "SA0"}
    assert (value.M, value.C, value.I, value.WXN) == (0, 0, 0, 0)


def test_vtcr_of_a_44_bit_core() -> None:
    value = Vtcr.of(RES1=1, PS=4, SH0=3, ORGN0=1, IRGN0=1, SL0=2, T0SZ=20)
    assert value == 0x80043594
    assert value.TG0 == 0


def test_vttbr_splits_into_vmid_and_address() -> None:
    value = Vttbr(0x00FF_0000_4000_1000)
    assert (value.VMID, value.BADDR << 1, value.CnP) == (0xFF, 0x40001000, 0)


def test_mpidr_affinity_leaves_the_flag_bits_out() -> None:
    assert Mpidr(0x12_C1_34_56_78).affinity == 0x12_00_34_56_78
    assert Mpidr.of(RES1=1, Aff3=1, Aff0=2) == 0x1_8000_0002
    assert AFFINITY_MASK == 0xFF_00FF_FFFF


def test_tcr_of_linux_with_48_bit_addresses() -> None:
    value = Tcr.of(T0SZ=16, T1SZ=16, TG1=2, SH0=3, SH1=3, ORGN0=1, IRGN0=1, ORGN1=1, IRGN1=1, IPS=4, TBI0=1, A1=1, AS=1)
    assert value == 0x34_B550_3510
    assert value.describe().count("4KB") == 1


def test_timer_trap_and_monitor_controls() -> None:
    assert Cnthctl.of(EL1PCTEN=1, EL1PCEN=1) == 3
    assert Cpacr.of(FPEN=3) == 0x300000
    assert Cptr.of(TFP=1, RES1=0xFF, RES1_9=1, RES1_13=1) == 0x26FF
    assert Mdcr.of(TDA=1, TPM=1, TPMCR=1) == 0x260
    assert Pmcr(0x41013000).describe() == "IMP=0x41 IDCODE=1 N=6"


def test_par_tells_success_from_failure() -> None:
    good = Par(0xFF00_0000_4000_0B80)
    assert (good.F, good.PA << 12, good.describe()) == (0, 0x40000000, good.describe())
    assert "ATTR=0xff (Normal write-back)" in good.describe()
    assert ParFault(0x80F).describe() == "FST=0x07 (translation fault, level 3) F=1"
    assert layout_of("PAR_EL1", 0xFF00_0000_4000_0B80) is Par
    assert layout_of("PAR_EL1", 0x80F) is ParFault


def test_the_layout_of_all_other_registers_is_that_of_their_name() -> None:
    for value in (0, 1, (1 << 64) - 1):
        for name in set(LAYOUTS) - {"PAR_EL1"}:
            assert layout_of(name, value) is LAYOUTS[name]
        assert layout_of("VBAR_EL1", value) is None


def test_the_registers_of_the_cpu_interface_are_among_them() -> None:
    layout = layout_of("ICC_SGI1R_EL1", 0x5000003)
    assert layout is not None
    assert layout(0x5000003).describe() == "INTID=5 TargetList=3"


@pytest.mark.parametrize(("code", "bits"), list(enumerate((32, 36, 40, 42, 44, 48, 52, 56))))
def test_physical_address_widths_are_named(code: int, bits: int) -> None:
    assert Vtcr.of(PS=code).describe() == (f"PS={code} ({bits} bits)" if code else "0")
    assert Vtcr.PS.values[code] == f"{bits} bits"


def test_hpfar_holds_the_page_of_the_ipa() -> None:
    assert Hpfar.of(FIPA=0x0900_0000 >> 12) == 0x90000
    assert fault_ipa(0x90000, 0xFFFF_8000_0000_0ABC) == 0x0900_0ABC
    assert fault_ipa(int(Hpfar.of(NS=1, FIPA=(1 << 44) - 1)), 0) == (1 << 56) - 0x1000


@pytest.mark.parametrize(
    ("mmfr0", "bits"),
    [(0x1120, 32), (0x1121, 36), (0x1122, 40), (0x1123, 42), (0x1124, 44), (0x1125, 48), (0x1126, 52)],
)
def test_the_pa_range_is_a_width(mmfr0: int, bits: int) -> None:
    assert pa_range_bits(mmfr0) == bits


@pytest.mark.parametrize("mmfr0", [0x7, 0x8, 0xF])
def test_a_reserved_pa_range_is_refused(mmfr0: int) -> None:
    with pytest.raises(ValueError, match="PARange"):
        pa_range_bits(mmfr0)


def test_id_registers_say_what_a_cortex_a72_has() -> None:
    pfr0 = LAYOUTS["ID_AA64PFR0_EL1"](0x2222)
    assert pfr0.describe() == (
        "EL3=2 (AArch64 and AArch32) EL2=2 (AArch64 and AArch32) "
        "EL1=2 (AArch64 and AArch32) EL0=2 (AArch64 and AArch32)"
    )
    assert LAYOUTS["ID_AA64MMFR1_EL1"](0x211120).as_dict()["VH"] == 1
    assert (
        LAYOUTS["MIDR_EL1"](0x410FD083).describe() == "Implementer=0x41 (Arm) Architecture=0xf PartNum=0xd08 Revision=3"
    )
