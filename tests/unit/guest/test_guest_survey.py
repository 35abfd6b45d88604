"""The survey of a guest file without running it: what its code needs and where."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.code_survey import EL2, CodeSurvey, Use, survey_code
from arm_vcpu_cli.guest.elf_survey import CodePart
from arm_vcpu_cli.guest.guest_survey import GuestSurvey, survey_guest
from arm_vcpu_cli.guest.symbol import Symbol as Named
from arm_vcpu_cli.guest.symbols import SymbolTable

from .elf_writer import STB_LOCAL, STT_NOTYPE, ElfFile, Load, Symbol
from .linux_writer import image, zboot

RAM = 0x4000_0000
BASE = 0x4008_0000
LDADD, CRC32, NOP, HVC, PACIASP, RNDR = 0xB8200022, 0x9AC25C20, 0xD503201F, 0xD4000002, 0xD503233F, 0xD53B2400
MRS_HCR, MRS_CURRENTEL, MRS_ISAR0 = 0xD53C1100, 0xD5384240, 0xD5380600


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def code(
    *values: int, symbols: SymbolTable | None = None, marks: tuple[tuple[int, bool], ...] = ((BASE, True),)
) -> CodeSurvey:
    return survey_code([CodePart(".text", BASE, words(*values), marks)], symbols or SymbolTable())


def test_uses_are_counted_and_the_first_is_named_by_its_function() -> None:
    symbols = SymbolTable([Named("main", BASE, 40)])
    found = code(NOP, PACIASP, LDADD, NOP, LDADD, HVC, RNDR, symbols=symbols)
    assert [(use.need, use.total, use.mnemonic, use.place) for use in found.uses] == [
        ("hints", 1, "pauth hint", "main+0x4"),
        ("FEAT_LSE", 2, "ldadd", "main+0x8"),
        ("HVC", 1, "hvc", "main+0x14"),
        ("FEAT_RNG", 1, "mrs RNDR", "main+0x18"),
    ]
    assert (found.is_certain, found.words) == (True, 7)


def test_what_the_guest_asks_about_is_no_need() -> None:
    found = code(MRS_CURRENTEL, MRS_ISAR0, MRS_HCR)
    assert found.asks == {"ID_AA64ISAR0_EL1"}
    assert found.asks_level
    assert [(use.need, use.mnemonic) for use in found.uses] == [(EL2, "mrs HCR_EL2")]


def test_literals_behind_a_mapping_symbol_are_no_instructions() -> None:
    found = code(NOP, LDADD, marks=((BASE, True), (BASE + 4, False)))
    assert found.uses == ()
    assert code(NOP, LDADD, marks=()).use("FEAT_LSE") == Use(
        "FEAT_LSE", 1, 0, "ldadd", BASE + 4, f"{BASE + 4:#x}", is_certain=False
    )


@pytest.mark.parametrize(
    ("function", "chosen"),
    [
        ("__aarch64_ldadd4_acq_rel", 1),
        ("__aarch64_cas8_relax", 1),
        ("__memcpy_sve", 1),
        ("__aarch64_have_lse_atomics", 0),
        ("ldadd4", 0),
        ("main", 0),
    ],
)
def test_functions_that_are_called_only_where_the_feature_is(function: str, chosen: int) -> None:
    use = code(LDADD, symbols=SymbolTable([Named(function, BASE, 4)])).use("FEAT_LSE")
    assert use is not None
    assert use.chosen == chosen


def survey(tmp_path: Path, data: bytes) -> GuestSurvey:
    path = tmp_path / "guest"
    path.write_bytes(data)
    return survey_guest(path, ram_base=RAM)


def test_an_elf_file_is_surveyed_by_its_addresses(tmp_path: Path) -> None:
    symbols = [Symbol("main", BASE, 16), Symbol("$x", BASE, kind=STT_NOTYPE, binding=STB_LOCAL)]
    found = survey(
        tmp_path, ElfFile([Load(BASE, words(NOP, LDADD, NOP, 0x14000000))], BASE, symbols=symbols).to_bytes()
    )
    assert (found.kind, found.problem, found.linux) == ("elf", None, None)
    assert found.code.is_certain
    assert [use.place for use in found.code.uses] == ["main+0x4"]


def test_what_the_loader_refuses_is_surveyed_all_the_same(tmp_path: Path) -> None:
    found = survey(tmp_path, ElfFile([Load(BASE)], BASE, machine=62).to_bytes())
    assert found.elf is not None
    assert found.elf.machine_name == "x86-64"
    assert found.problem is not None
    assert found.problem.startswith("offset 0x12: expected machine EM_AARCH64")
    assert survey(tmp_path, b"").problem == "the file is empty, expected a guest image"


@pytest.mark.parametrize("container", [None, "gzip", "EFI zboot"])
def test_a_kernel_is_unpacked_first(tmp_path: Path, container: str | None) -> None:
    plain = image(body=words(NOP, LDADD, CRC32, 0x94000001) * 64)
    packed = gzip.compress(plain)
    data = {None: plain, "gzip": packed, "EFI zboot": zboot(packed, b"gzip")}[container]
    found = survey(tmp_path, data)
    assert found.linux is not None
    assert (found.kind, found.linux.container) == ("linux", container)
    assert {use.need for use in found.code.uses} == {"FEAT_LSE", "FEAT_CRC32"}
    assert not found.code.is_certain


def test_a_raw_binary_has_only_its_code(tmp_path: Path) -> None:
    found = survey(tmp_path, words(LDADD, NOP, 0x14000000))
    assert (found.kind, found.elf, found.linux) == ("raw", None, None)
    assert [(use.need, use.address) for use in found.code.uses] == [("FEAT_LSE", RAM + 0x80000)]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GuestFileError, match="cannot be read"):
        survey_guest(tmp_path / "nothing", ram_base=RAM)
