"""Values in words: fields, sentences about syndromes, conclusions and oddities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.explain.esr_words import esr_sentence
from arm_vcpu_cli.arch.explain.explanation import Explanation, FieldLine, explain, explain_layout
from arm_vcpu_cli.arch.explain.meanings import byte_count, general_register, memory_attribute
from arm_vcpu_cli.arch.explain.registers import register_info, register_names
from arm_vcpu_cli.arch.syndrome.esr import EC_NAMES


def explained(name: str, value: int, *, e2h: bool = False) -> Explanation:
    return explain(register_info(name), value, e2h=e2h)


def line(name: str, value: int, field: str, parent: str = "") -> FieldLine:
    return next(each for each in explained(name, value).fields if (each.name, each.parent) == (field, parent))


# Fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("HCR_EL2", 1 << 13, "TWI", "trap WFI"),
        ("HCR_EL2", 0, "TWI", "no: trap WFI"),
        ("HCR_EL2", 2 << 10, "BSU", "barriers of EL1 reach at least this domain: outer shareable"),
        ("VTCR_EL2", 0x80043594, "PS", "size of output addresses: 44 bits"),
        ("VTCR_EL2", 0x80043594, "T0SZ", "44-bit addresses"),
        ("VTCR_EL2", 0x80043594, "RES1", "RES1"),
        ("VTTBR_EL2", 0x40001000, "BADDR", "0x40001000"),
        ("HPFAR_EL2", 0x90000, "FIPA", "0x9000000"),
        ("MAIR_EL1", 0xFF440C0400, "Attr2", "Device-GRE"),
        ("TCR_EL1", 0, "TG1", "upper half: granule: reserved"),
        ("CTR_EL0", 0x8444C004, "IminLine", "64 bytes"),
        ("CCSIDR_EL1", 0x701FE00A, "NumSets", "256"),
        ("ICC_IAR1_EL1", 1023, "INTID", "spurious: none is pending"),
        ("ICC_IAR1_EL1", 27, "INTID", "PPI 27"),
        ("CNTFRQ_EL0", 62_500_000, "ClockFrequency", "62.5 MHz"),
        ("CNTV_TVAL_EL0", 0xFFFF_FF9C, "TimerValue", "100 ticks ago"),
        ("ID_AA64ISAR0_EL1", 1 << 44, "DP", "FEAT_DotProd"),
        ("ID_AA64ISAR0_EL1", 0, "DP", "not implemented"),
        ("ID_AA64DFR0_EL1", 0x5 << 12, "BRPs", "6"),
        ("ID_ISAR5_EL1", 2 << 4, "AES", "AES and VMULL"),
        ("SPSR_EL1", 0x3C5, "M", "Exception level and stack pointer: EL1h"),
        ("SPSR_EL1", 0x1D3, "M", "mode: Supervisor"),
        ("DBGBCR0_EL1", 8 << 20, "BT", "kind of match: VMID"),
    ],
)
def test_a_field_says_what_its_value_means(name: str, value: int, field: str, meaning: str) -> None:
    assert line(name, value, field).meaning == meaning


@pytest.mark.parametrize(
    ("esr", "field", "meaning"),
    [
        (0x93258005, "SAS", "1 byte"),
        (0x93258005, "SRT", "x5"),
        (0x93250005, "SRT", "w5"),
        (0x93258005, "WnR", "read"),
        (0x93258045, "WnR", "write"),
        (0x93258005, "DFSC", "fault status: translation fault, level 1"),
        (0x96000410, "FnV", "FAR is not valid"),
        (0x6232F93F, "Rt", "x9"),
    ],
)
def test_the_fields_of_a_syndrome_are_explained(esr: int, field: str, meaning: str) -> None:
    assert line("ESR_EL2", esr, field, "ISS").meaning == meaning


def test_iss2_is_shown_where_it_says_something() -> None:
    assert not [each for each in explained("ESR_EL1", 0x96000045).fields if each.parent == "ISS2"]
    assert line("ESR_EL1", 1 << 38 | 0x9600004F, "Overlay", "ISS2").value == 1


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (0x00, "Device-nGnRnE"),
        (0x04, "Device-nGnRE"),
        (0x0C, "Device-GRE"),
        (0x44, "Normal non-cacheable"),
        (0xFF, "Normal write-back, read and write allocate"),
        (0xBB, "Normal write-through, read and write allocate"),
        (0xEE, "Normal write-back, read allocate"),
        (0x77, "Normal write-back transient, read and write allocate"),
        (0x4F, "Normal, outer non-cacheable, inner write-back, read and write allocate"),
        (0xF0, "Normal write-back, tagged"),
        (0x40, "Normal non-cacheable, XS = 0"),
        (0x01, "Device-nGnRnE, XS = 0"),
        (0x02, "reserved"),
        (0x80, "reserved"),
    ],
)
def test_memory_attributes_are_those_of_mair(attribute: int, words: str) -> None:
    assert memory_attribute(attribute) == words


def test_sizes_and_registers_have_names() -> None:
    assert [byte_count(number) for number in (1, 64, 1024, 3 << 20, 1536)] == [
        "1 byte",
        "64 bytes",
        "1 KiB",
        "3 MiB",
        "1536 bytes",
    ]
    assert [general_register(0), general_register(31), general_register(30, is_64bit=False)] == ["x0", "xzr", "w30"]


# Sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "esr", "sentence"),
    [
        (
            "ESR_EL2",
            0x93258005,
            "Data abort from a lower Exception level: a sign-extending 1-byte read into x5 found no translation "
            "at level 1 of stage 2. The virtual address is in FAR_EL2, its IPA in HPFAR_EL2.",
        ),
        (
            "ESR_EL2",
            0x93C08047,
            "Data abort from a lower Exception level: an 8-byte write of x0 found no translation at level 3 of "
            "stage 2. The virtual address is in FAR_EL2, its IPA in HPFAR_EL2.",
        ),
        (
            "ESR_EL1",
            0x9600004F,
            "Data abort from the same Exception level: a write by an instruction that the syndrome does not describe "
            "was not permitted by the descriptor at level 3 of stage 1. The virtual address is in FAR_EL1.",
        ),
        (
            "ESR_EL1",
            0x96000410,
            "Data abort from the same Exception level: a read by an instruction that the syndrome does not describe "
            "ended with a synchronous external abort. The address is not known: FAR_EL1 is not valid.",
        ),
        (
            "ESR_EL2",
            0x82000086,
            "Instruction abort from a lower Exception level: the fetch found no translation at level 2 of stage 2 "
            "while it walked the stage-1 tables. The virtual address is in FAR_EL2, its IPA in HPFAR_EL2.",
        ),
        (
            "ESR_EL2",
            0x8200000F,
            "Instruction abort from a lower Exception level: the fetch was not permitted by the descriptor at level 3 "
            "of stage 2. The virtual address is in FAR_EL2; HPFAR_EL2 is UNKNOWN.",
        ),
        (
            "ESR_EL2",
            0x92000010,
            "Data abort from a lower Exception level: a read by an instruction that the syndrome does not describe "
            "ended with a synchronous external abort. The virtual address is in FAR_EL2; HPFAR_EL2 is UNKNOWN.",
        ),
        ("ESR_EL2", 0x5A000012, "Hypervisor call: HVC #0x12."),
        ("ESR_EL1", 0x56000000, "System call: SVC #0x0."),
        ("ESR_EL2", 0x06000066, "Trapped WFIT with its timeout in x3."),
        ("ESR_EL2", 0x623A3096, "Trapped MSR ICC_SGI1R_EL1, x4: a write of x4 to ICC_SGI1R_EL1."),
        ("ESR_EL2", 0x6232F921, "Trapped MRS x9, CNTPCT_EL0: a read of CNTPCT_EL0 into x9."),
        ("ESR_EL1", 0xF2000800, "BRK #0x800."),
        ("ESR_EL1", 0x72000003, "A pointer failed authentication with data key B."),
        ("ESR_EL1", 0xBE000011, "Asynchronous SError; the error is uncontainable."),
        ("ESR_EL1", 0xD60A0062, "Watchpoint 2 from the same Exception level: a write of the address in FAR_EL1."),
        ("ESR_EL1", 0xB8000000, "Exception class 0x2e is reserved."),
    ],
)
def test_a_syndrome_is_a_sentence(register: str, esr: int, sentence: str) -> None:
    assert esr_sentence(register, esr) == sentence
    assert explained(register, esr).facts == (sentence,)


@given(st.sampled_from(["ESR_EL1", "ESR_EL2", "ESR_EL3"]), st.integers(0, 2**64 - 1))
def test_every_syndrome_is_a_sentence(register: str, esr: int) -> None:
    sentence = esr_sentence(register, esr)
    assert sentence.endswith(".")
    assert ("reserved." in sentence) >= (esr >> 26 & 63 not in EC_NAMES)


# What follows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("SPSR_EL1", 0x3C5, "EL1h: EL1 with SP_EL1."),
        ("SPSR_EL1", 0x3C5, "Masked: debug, SError, IRQ, FIQ."),
        ("PSTATE", 0x60000000, "Flags: nZCv."),
        ("PSTATE", 0x60000000, "EL0t: EL0 with SP_EL0."),
        ("SPSR_EL1", 0x2, "M = 0x2 is reserved: a return to it is illegal."),
        ("SPSR_EL1", 0x1F3, "AArch32, Supervisor, T32 instructions."),
        ("MPIDR_EL1", 0x80000102, "Affinity 0.0.1.2 (device tree and PSCI: 0x102)."),
        ("HCR_EL2", 0x80080019, "EL1 is AArch64, stage 2 is on."),
        ("HCR_EL2", 0x80080019, "To EL2: IRQ, FIQ."),
        ("HCR_EL2", 0x80080019, "Traps: TSC."),
        ("HCR_EL2", 0x488000000, "EL2 is a host: EL0 runs its applications, EL1 is not used."),
        ("SCTLR_EL1", 0x34D5D91D, "The MMU is on, data and instruction accesses are cacheable."),
        ("TCR_EL1", 0x34_B550_3510, "Lower half (TTBR0): 48-bit addresses, 4KB granule, the walk starts at level 0."),
        ("TCR_EL1", 25 | 25 << 16, "Lower half (TTBR0): 39-bit addresses, 4KB granule, the walk starts at level 1."),
        ("TCR_EL1", 1 << 23, "Upper half (TTBR1): no walks."),
        ("TCR_EL1", 22 | 1 << 14, "Lower half (TTBR0): 42-bit addresses, 64KB granule, the walk starts at level 2."),
        ("TCR_EL2", 0x80843510, "TTBR0: 48-bit addresses, 4KB granule, the walk starts at level 0."),
        ("VTCR_EL2", 0x80043594, "44-bit IPAs, 4KB granule, the walk starts at level 0."),
        # What KVM uses for 40 bits: two tables side by side.
        ("VTCR_EL2", 0x80023558, "40-bit IPAs, 4KB granule, the walk starts at level 1 in 2 concatenated tables."),
        ("VTCR_EL2", 0x80023518, "T0SZ and SL0 do not fit"),
        ("VTTBR_EL2", 0x1_0000_4000_1000, "Table at 0x40001000, VMID 1."),
        ("TTBR0_EL1", 0x7_0000_4100_0001, "Table at 0x41000000, ASID 7."),
        ("HPFAR_EL2", 0x90000, "page of IPA 0x9000000"),
        ("PAR_EL1", 0xFF00000040000B80, "The address is in the page at 0x40000000, Normal write-back"),
        ("PAR_EL1", 0x80F, "The translation failed at stage 1: translation fault, level 3."),
        ("ICC_SGI1R_EL1", 0x5000003, "SGI 5 to PE 0.0.0.0, 0.0.0.1."),
        ("ICC_SGI1R_EL1", 0x100_0200_0000, "SGI 2 to all PEs but this one."),
        ("ICC_SGI1R_EL1", 0x2000_0100_0001, "SGI 1 to PE 0.0.0.32."),
        ("ICH_LR0_EL2", 0x50A0_0000_0000_001B, "Virtual INTID 27, group 1, priority 0xa0, pending."),
        ("CNTV_CTL_EL0", 5, "The timer is on and has fired; its interrupt is not masked."),
        ("CCSIDR_EL1", 0x701FE00A, "32 KiB: 256 sets, 2 ways, lines of 64 bytes."),
        ("CLIDR_EL1", 0xA200023, "Caches: L1 separate, L2 unified."),
    ],
)
def test_what_follows_from_a_value_is_said(name: str, value: int, fact: str) -> None:
    assert any(fact in said for said in explained(name, value).facts), explained(name, value).facts


# What is odd ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "warnings"),
    [
        ("VTCR_EL2", 0x80043594, ()),
        ("VTCR_EL2", 0x43594, ("Bit 31 is not all ones, and RES1.",)),
        ("VTCR_EL2", 0xFE000000_80043594, ("Bits 63:57 are set, and RES0.",)),
        ("VBAR_EL1", 0x801, ("Bit 0 is set, and RES0.",)),
        ("CTR_EL0", 0x8444C004, ()),
        ("CCSIDR_EL1", 0x701FE00A, ()),
        ("PAR_EL1", 0x80F, ()),
        ("PMEVTYPER3_EL0", 0x8, ()),
    ],
)
def test_reserved_bits_are_pointed_out(name: str, value: int, warnings: tuple[str, ...]) -> None:
    assert explained(name, value).warnings == warnings


def test_a_reserved_bit_of_a_syndrome_is_pointed_out() -> None:
    odd = line("ESR_EL1", 0x5601FFFF, "RES0", "ISS")
    assert (odd.bits, odd.note) == ("16", "not zero")


def test_fields_that_are_not_as_after_reset_are_pointed_out() -> None:
    assert line("SCTLR_EL1", 1, "M").note == "reset 0"
    assert line("SCTLR_EL1", 1, "C").note == ""
    assert line("SCTLR_EL1", 1, "EIS").note == "RES1 without FEAT_ExS"
    assert line("SCTLR_EL1", 1 << 22, "EIS").note == ""


def test_a_register_alone_shows_its_layout_with_the_reset_values() -> None:
    found = explain_layout(register_info("PMCR_EL0"))
    assert found.value is None
    assert {each.name: each.value for each in found.fields if each.value is not None} == {"E": 0}
    vs = next(each for each in explain_layout(register_info("VTCR_EL2")).fields if each.name == "VS")
    assert vs.meaning == "size of the VMID: 0 8-bit VMID, 1 16-bit VMID"


def test_e2h_selects_the_other_layout() -> None:
    assert {"FPEN", "ZEN"} <= {each.name for each in explained("CPTR_EL2", 0, e2h=True).fields}
    assert {"TFP", "TZ"} <= {each.name for each in explained("CPTR_EL2", 0x33FF).fields}


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_value_that_does_not_fit_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits of HCR_EL2"):
        explained("HCR_EL2", value)


@given(st.sampled_from(register_names()), st.integers(0, 2**64 - 1), st.booleans())
def test_every_value_of_every_register_is_explained(name: str, value: int, e2h: bool) -> None:
    found = explained(name, value, e2h=e2h)
    bits = 0
    for each in found.fields:
        if not each.parent:
            assert each.value is not None
            bits |= each.value << each.lsb
    reserved = value & ~bits if found.fields else 0
    assert bits | reserved == value or not found.fields
    assert all(each.endswith(".") for each in (*found.facts, *found.warnings))


@pytest.mark.parametrize("register", ["TTBR0_EL1", "TTBR1_EL1", "TTBR0_EL2", "VTTBR_EL2"])
def test_low_bits_of_a_table_base_are_upper_ones_with_52_bits(register: str) -> None:
    facts = explain(register_info(register), 0x4008_003D).facts
    assert facts[0].startswith("Table at 0x4008003c")
    assert facts[1].endswith("the table is at 0xf000040080000.")
    assert len(explain(register_info(register), 0x4008_0001).facts) == 1
