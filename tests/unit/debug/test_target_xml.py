"""The target description is what gdb expects of AArch64, with the system registers beside it."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from arm_vcpu_cli.debug.numbering import numbered
from arm_vcpu_cli.debug.target import Register
from arm_vcpu_cli.debug.target_xml import target_xml
from tests.support.fake_target import NAMES

SYSTEM = (
    "SCTLR_EL1",
    "TTBR0_EL1",
    "VBAR_EL1",
    "FAR_EL2",
    "MAIR_EL1",
    "CNTFRQ_EL0",
    "SPSR_EL1",
    "ESR_EL1",
    "NO_SUCH_EL1",
)


def described() -> ElementTree.Element:
    registers = [each for each in NAMES if each.group != "system"]
    registers += [Register(name, 64, "system") for name in SYSTEM]
    return ElementTree.fromstring(target_xml(numbered(registers)))


def kinds() -> dict[str, str]:
    return {each.attrib["name"]: each.attrib["type"] for each in described().iter("reg")}


def test_the_features_are_those_of_gdb_and_one_of_our_own() -> None:
    names = [each.attrib["name"] for each in described().iter("feature")]
    assert names == ["org.gnu.gdb.aarch64.core", "org.gnu.gdb.aarch64.fpu", "org.armvcpu.aarch64.sysregs"]


def test_a_cpu_without_fp_claims_none() -> None:
    text = target_xml(numbered([each for each in NAMES if each.group != "vector"]))
    assert "fpu" not in text
    assert 'name="SCTLR_EL1" bitsize="64" type="sctlr_el1_flags" regnum="68"' in text


def test_every_number_stands_once() -> None:
    numbers = Counter(int(each.attrib["regnum"]) for each in described().iter("reg"))
    assert sorted(numbers) == list(range(68 + len(SYSTEM)))
    assert set(numbers.values()) == {1}


def test_every_type_is_declared_before_it_is_used() -> None:
    known = {"int", "code_ptr", "data_ptr", "bool"}
    known |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64, 128)}
    known |= {"ieee_single", "ieee_double"}
    for element in described().iter():
        used = element.attrib.get("type")
        assert used is None or used in known, element.attrib
        if "id" in element.attrib:
            known.add(element.attrib["id"])


def test_registers_have_the_types_that_serve_users() -> None:
    found = kinds()
    assert found["SCTLR_EL1"] == "sctlr_el1_flags"
    assert found["cpsr"] == "cpsr_flags"
    # With addresses users compute, and debuggers know the symbols at them.
    assert (found["TTBR0_EL1"], found["VBAR_EL1"], found["FAR_EL2"]) == ("int", "code_ptr", "data_ptr")
    # What is one number, or unknown, is one number.
    assert (found["CNTFRQ_EL0"], found["NO_SUCH_EL1"]) == ("int", "int")
    assert found["v31"] == "aarch64v"


def test_fields_are_those_of_the_layout() -> None:
    flags = next(each for each in described().iter("flags") if each.attrib["id"] == "esr_el1_flags")
    fields = {each.attrib["name"]: (each.attrib["start"], each.attrib["end"]) for each in flags}
    assert fields["EC"] == ("26", "31")
    assert fields["ISS"] == ("0", "24")
    assert all(int(each.attrib["end"]) < 32 for each in next(described().iter("flags")))
