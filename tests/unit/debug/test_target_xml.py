"""The target description has what gdb expects of AArch64, plus the system registers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from arm_vcpu_cli.debug.numbering import numbered
from arm_vcpu_cli.debug.scalable_vectors import sve_registers
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


# SVE --------------------------------------------------------------------------------------------------------------


def with_sve(bits: int, *, lldb: bool = False) -> ElementTree.Element:
    registers = [each for each in NAMES if each.group == "general"]
    registers += [*sve_registers(bits), *(Register(name, 64, "system") for name in SYSTEM)]
    return ElementTree.fromstring(target_xml(numbered(registers), lldb=lldb))


def named(element: ElementTree.Element) -> dict[str, dict[str, str]]:
    return {each.attrib["name"]: each.attrib for each in element.iter("reg")}


@pytest.mark.parametrize("bits", [128, 512, 2048])
def test_sve_is_described_as_gdb_does(bits: int) -> None:
    """Names, sizes and order are those of gdb's features/aarch64-sve.c; fpu must not be there as well."""
    found = with_sve(bits)
    features = {each.attrib["name"]: each for each in found.iter("feature")}
    assert list(features) == ["org.gnu.gdb.aarch64.core", "org.gnu.gdb.aarch64.sve", "org.armvcpu.aarch64.sysregs"]
    registers = named(features["org.gnu.gdb.aarch64.sve"])
    predicates = [*(f"p{number}" for number in range(16)), "ffr"]
    assert list(registers) == [*(f"z{number}" for number in range(32)), "fpsr", "fpcr", *predicates, "vg"]
    assert {registers[f"z{number}"]["bitsize"] for number in range(32)} == {str(bits)}
    assert {registers[name]["bitsize"] for name in predicates} == {str(bits // 8)}
    assert (registers["vg"]["bitsize"], registers["vg"]["type"]) == ("64", "int")
    assert [int(each["regnum"]) for each in named(found).values()] == list(range(86 + len(SYSTEM)))
    vectors = {each.attrib["id"]: each.attrib for each in found.iter("vector")}
    assert (vectors["svevdf"]["type"], vectors["svevdf"]["count"]) == ("ieee_double", str(bits // 64))
    assert (vectors["svep"]["type"], vectors["svep"]["count"]) == ("uint8", str(bits // 64))
    assert registers["z0"]["type"] == "svev"


def test_lldb_is_told_that_v_is_in_z() -> None:
    gdb, lldb = named(with_sve(256)), named(with_sve(256, lldb=True))
    assert "v0" not in gdb
    added = {name: each for name, each in lldb.items() if name not in gdb}
    assert list(added) == [f"v{number}" for number in range(32)]
    for name, each in added.items():
        assert each["value_regnums"] == each["invalidate_regnums"] == lldb[f"z{name[1:]}"]["regnum"]
        assert (each["bitsize"], each["encoding"]) == ("128", "vector")
    assert len({each["regnum"] for each in lldb.values()}) == len(lldb)
    assert "v0" in named(described())


def test_sve_is_no_part_of_what_g_transfers() -> None:
    registers = numbered([each for each in NAMES if each.group == "general"] + list(sve_registers(2048)))
    assert {each.register.group for each in registers if each.in_file} == {"general"}


def test_every_number_stands_once() -> None:
    numbers = Counter(int(each.attrib["regnum"]) for each in described().iter("reg"))
    assert sorted(numbers) == list(range(68 + len(SYSTEM)))
    assert set(numbers.values()) == {1}


@pytest.mark.parametrize("document", [described, lambda: with_sve(2048, lldb=True)], ids=["fpu", "sve"])
def test_every_type_is_declared_before_it_is_used(document: Callable[[], ElementTree.Element]) -> None:
    known = {"int", "code_ptr", "data_ptr", "bool"}
    known |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64, 128)}
    known |= {"ieee_single", "ieee_double"}
    for element in document().iter():
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
