"""``armvcpu explain``: what it accepts, prints and refuses."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from arm_vcpu_cli.arch.explain.registers import register_names
from arm_vcpu_cli.cli.explain import command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def output(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exception is None, result.exception
    assert result.return_value == 0
    return result.stdout


def objects(*arguments: str) -> Any:
    return json.loads(output("--json", *arguments))


def refusal(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, click.UsageError)
    assert result.exception.exit_code == 2
    return result.exception.format_message()


def test_a_syndrome_is_taken_apart() -> None:
    text = output("ESR_EL2=0x93258005")
    assert text.splitlines()[:3] == [
        "ESR_EL2 = 0x93258005  Exception Syndrome Register (EL2)",
        "S3_4_C5_C2_0  op0=3 op1=4 CRn=5 CRm=2 op2=0  DDI 0487, D24.2",
        "Reset: architecturally UNKNOWN.",
    ]
    rows = [line.split(maxsplit=3) for line in text.splitlines()]
    assert ["31:26", "EC", "0x24", "exception class: Data Abort from a lower Exception level"] in rows
    assert ["20:16", "SRT", "5", "x5"] in rows
    assert "a sign-extending 1-byte read into x5 found no translation at level 1 of stage 2." in text


def test_fields_go_from_the_highest_bit_to_the_lowest() -> None:
    rows = output("VTTBR_EL2=0x1000040001001").partition("Meaning\n")[2].splitlines()[:3]
    assert [row.split()[0] for row in rows] == ["63:48", "47:1", "0"]


@pytest.mark.parametrize(
    "value",
    ["0x80080019", "0d2148007961", "0b1000_0000_0000_1000_0000_0000_0001_1001", "0x8008_0019", "000000080080019"],
)
@pytest.mark.parametrize("name", ["HCR_EL2", "hcr_el2", "S3_4_C1_C1_0"])
def test_names_and_values_may_be_written_in_many_ways(name: str, value: str) -> None:
    assert output(f"{name}={value}") == output("HCR_EL2=0x80080019")


@pytest.mark.parametrize(
    ("word", "value", "note"),
    [
        ("ESR_EL1=96000210", "0x96000210", "96000210 is read as hexadecimal; write 0d96000210 for decimal."),
        ("PSTATE=60400005", "0x60400005", "60400005 is read as hexadecimal; write 0d60400005 for decimal."),
        ("ESR_EL1=02000000", "0x2000000", None),
        ("ESR_EL1=0000000096000210", "0x96000210", None),
        ("SCTLR_EL1=30d0d91d", "0x30d0d91d", None),
        ("HCR_EL2=2148007961", "0x80080019", "2148007961 is read as decimal; write 0x2148007961 for hexadecimal."),
        ("MPIDR_EL1=80000003", "0x80000003", "80000003 is read as hexadecimal; write 0d80000003 for decimal."),
        # Only one of the two is aligned as a vector table.
        ("VBAR_EL1=4000", "0x4000", "4000 is read as hexadecimal; write 0d4000 for decimal."),
        ("VBAR_EL1=7", "0x7", None),
    ],
)
def test_digits_without_a_prefix_are_read_as_kernels_print_them(word: str, value: str, note: str | None) -> None:
    (found,) = objects(word)
    assert (found["value"], found["note"]) == (value, note)
    assert (f"Note: {note}\n" in output(word)) is (note is not None)


def test_digits_that_fit_in_neither_base_are_taken_as_they_look() -> None:
    (found,) = objects("VBAR_EL1=4001")
    assert found["value"] == hex(4001)
    assert found["warnings"]


def test_an_opcode_may_be_written_as_in_a_disassembly() -> None:
    assert objects("d53800a1")[0]["instruction"] == objects("D53800A1")[0]["instruction"] == "MRS x1, MPIDR_EL1"


@pytest.mark.parametrize(
    ("value", "output_size"),
    [
        ("TCR_EL1=0x680100010", "48 bits (DS = 0)"),
        ("TCR_EL1=0x800000680100010", "52 bits"),
        ("TCR_EL1=0x6c0104010", "52 bits"),
        ("TCR_EL1=0x680104010", "52 bits, with the 4KB granule 48 bits (DS = 0)"),
        ("TCR_EL1=0x580100010", "48 bits"),
        ("VTCR_EL2=0x80060010", "48 bits (DS = 0)"),
        ("VTCR_EL2=0x180060010", "52 bits"),
        ("TCR_EL2=0x80860010", "48 bits (DS = 0)"),
    ],
)
def test_ds_decides_what_52_bits_mean(value: str, output_size: str) -> None:
    (fact,) = [fact for fact in objects(value)[0]["facts"] if fact.startswith("Output addresses: ")]
    assert fact.removeprefix("Output addresses: ").partition(";")[0].rstrip(".") == output_size


def test_controls_under_e2h_name_the_tables_of_their_own_level() -> None:
    facts = objects("--e2h", "TCR_EL2=0x500803510")[0]["facts"]
    assert facts[2].endswith("ASID: 8 bits in TTBR0_EL2.")
    assert objects("TCR_EL12=0x500803510")[0]["facts"][2].endswith("ASID: 8 bits in TTBR0_EL1.")


def test_a_field_without_the_one_that_it_needs_has_no_effect() -> None:
    assert "HD has no effect with HA = 0." in objects("TCR_EL1=0x10000000000")[0]["facts"]
    assert "HD has no effect with HA = 0." not in objects("TCR_EL1=0x18000000000")[0]["facts"]
    assert "SL2 has no effect with DS = 0." in objects("VTCR_EL2=0x280023559")[0]["facts"]


def test_brief_leaves_zeros_out() -> None:
    rows = output("--brief", "HCR_EL2=0x80080019").partition("Meaning\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split()[1] for row in rows] == ["RW", "TSC", "IMO", "FMO", "VM"]


def test_several_registers_are_printed_one_after_the_other() -> None:
    text = output("SPSR_EL1=0x3c5", "MIDR_EL1=0x410fd083")
    assert text.index("SPSR_EL1 = 0x3c5") < text.index("EL1h: EL1 with SP_EL1.") < text.index("MIDR_EL1 = 0x410fd083")
    assert "Arm Cortex-A72 r0p3." in text


def test_reserved_bits_and_reset_values_are_pointed_out() -> None:
    assert "Warning: Bit 0 is set, and RES0.\n" in output("VBAR_EL1=0x801")
    assert "the MMU is on (stage 1) (reset 0)\n" in output("SCTLR_EL1=0x30d50801")


def test_a_register_alone_shows_its_layout() -> None:
    text = output("pmcr_el0")
    assert text.startswith("PMCR_EL0  Performance Monitors Control Register\n")
    assert "Reset: E=0; the rest is UNKNOWN.\n" in text
    assert ["0", "E", "0", "counters are on"] in [line.split(maxsplit=3) for line in text.splitlines()]
    assert ["15:11", "N", "-", "event counters"] in [line.split(maxsplit=3) for line in text.splitlines()]


def test_a_register_without_known_fields_says_so() -> None:
    assert "implementation defined, or unknown" in output("S3_1_C15_C2_0=3")


@pytest.mark.parametrize(
    ("opcode", "assembly"),
    [
        ("0xd53800a1", "MRS x1, MPIDR_EL1"),
        ("0xd51c1100", "MSR HCR_EL2, x0"),
        ("0xd50b7421", "DC ZVA, x1"),
        ("0xd508831f", "TLBI VMALLE1IS, xzr"),
        ("0xd5087fe0", "SYS #0, C7, C15, #7, x0"),
        ("0xd52b7fe3", "SYSL x3, #3, C7, C15, #7"),
        ("0xd539f041", "MRS x1, S3_1_C15_C0_2"),
    ],
)
def test_the_word_of_a_system_instruction_is_disassembled(opcode: str, assembly: str) -> None:
    assert output(opcode).splitlines()[0] == assembly
    assert objects(opcode)[0]["instruction"] == assembly


def test_json_has_the_fields_and_the_facts() -> None:
    (found,) = objects("ESR_EL2=0x93258005")
    assert found["register"] == "ESR_EL2"
    assert found["value"] == "0x93258005"
    assert found["encoding"] == {"op0": 3, "op1": 4, "CRn": 5, "CRm": 2, "op2": 0}
    assert found["generic_name"] == "S3_4_C5_C2_0"
    srt = {"name": "SRT", "parent": "ISS", "msb": 20, "lsb": 16, "value": 5, "meaning": "x5", "note": None}
    assert srt in found["fields"]
    assert found["facts"][0].startswith("Data abort from a lower Exception level")
    assert found["warnings"] == []
    assert objects("PSTATE=0x3c5")[0]["encoding"] is None
    assert objects("HCR_EL2")[0]["value"] is None


def test_without_arguments_all_registers_are_listed() -> None:
    text = output()
    assert text == output("--list")
    assert text.splitlines()[0] == "Identification"
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
    assert {"HCR_EL2", "PSTATE", "DBGBVR<n>_EL1", "ICC_IAR1_EL1"} <= listed
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line]
    assert ["DBGBVR<n>_EL1", "n = 0 to 15    Debug Breakpoint Value Register n"] in rows
    assert len(objects("--list")) == len(register_names())


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("vt*", {"VTTBR_EL2", "VTCR_EL2"}),
        ("hypervisor conf", {"HCR_EL2", "HCRX_EL2"}),
        ("oslsr", {"OSLSR_EL1"}),
    ],
)
def test_a_pattern_selects_by_name_or_title(pattern: str, names: set[str]) -> None:
    assert {each["register"] for each in objects("--list", pattern)} == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["HRC_EL2=1"], "there is no register HRC_EL2; did you mean HCR_EL2"),
        (["hcr_el"], "there is no register hcr_el"),
        (["DC ZVA=1"], "there is no register DC ZVA"),
        (["HCR_EL2=0x1_0000_0000_0000_0000"], "does not fit in the 64 bits of HCR_EL2"),
        (["HCR_EL2=-1"], "does not fit"),
        (["HCR_EL2=0xzz"], "HCR_EL2=0xzz: expected a number"),
        (["HCR_EL2="], "expected a number"),
        (["=5"], "'=5': expected a register"),
        (["0x80080019"], "a value needs its register: REG=0x80080019"),
        (["0x1d53800a1"], "an instruction has 32 bits"),
        (["12xyz"], "expected a number"),
        (["12abc"], "a value needs its register: REG=12abc"),
        (["--list", "nothing_like_it"], "no register matches"),
        (["--list", "*", "HCR_EL2"], "--list takes no registers"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(arguments: list[str], words: str) -> None:
    message = refusal(*arguments)
    assert words in message
    assert "\n" not in message


def test_completion_offers_register_names_with_an_equals_sign() -> None:
    parameter = next(each for each in command.params if each.name == "words")
    offered = {item.value for item in parameter.shell_complete(click.Context(command), "hcr")}
    assert offered == {"HCR_EL2=", "HCRX_EL2="}
    assert parameter.shell_complete(click.Context(command), "HCR_EL2=0x") == []
