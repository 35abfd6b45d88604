"""Surveys a guest file and its needs without running it, and without refusing files that cannot run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.code_scan import code_ranges
from arm_vcpu_cli.guest.code_survey import CodeSurvey, survey_code
from arm_vcpu_cli.guest.elf import ELF_MAGIC
from arm_vcpu_cli.guest.elf_survey import CodePart, ElfSurvey, survey_elf
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.image import GuestImage, ImageKind, Segment
from arm_vcpu_cli.guest.linux import is_image, is_linux, is_zboot
from arm_vcpu_cli.guest.linux_survey import LinuxSurvey, survey_linux
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbols import SymbolTable


@dataclass(frozen=True)
class GuestSurvey:
    """A guest file of ``size`` bytes.

    ``problem`` is why the loader refuses it, None if it does not; only then are there ``segments``. ``elf`` and
    ``linux`` are set for files of that kind.
    """

    path: Path
    kind: ImageKind
    size: int
    problem: str | None
    segments: tuple[Segment, ...] = ()
    elf: ElfSurvey | None = None
    linux: LinuxSurvey | None = None
    code: CodeSurvey = field(default_factory=CodeSurvey)


def survey_guest(
    path: Path,
    *,
    ram_base: int,
    load_address: int | None = None,
    kind: ImageKind | None = None,
) -> GuestSurvey:
    """Survey the guest file at ``path``; the other arguments are those of the loader.

    Raises GuestFileError if it cannot be read.
    """
    data = read_file(path, "a guest image")
    image: GuestImage | None = None
    problem = None
    try:
        image = load_guest(path, load_address=load_address, ram_base=ram_base, kind=kind)
    except GuestFileError as error:
        problem = f"{error.where()}{error.message}"
    if kind is None:
        kind = "elf" if data.startswith(ELF_MAGIC) else "linux" if is_linux(data) else "raw"
    segments = () if image is None else image.segments
    if kind == "elf":
        elf = survey_elf(data)
        code = CodeSurvey()
        if elf is not None and elf.is_native:
            code = survey_code([likely for part in elf.code for likely in _likely_code(part)], elf.symbols)
        return GuestSurvey(path, kind, len(data), problem, segments, elf=elf, code=code)
    unpacked = segments[0].data if segments else data
    whole = CodePart("file", segments[0].address if segments else 0, unpacked)
    code = survey_code(_likely_code(whole), SymbolTable())
    linux = None
    if kind == "linux" and is_image(unpacked):
        linux = survey_linux(unpacked, _container(data))
    return GuestSurvey(path, kind, len(data), problem, segments, linux=linux, code=code)


def _likely_code(part: CodePart) -> list[CodePart]:
    """Return the parts that look like code, in bytes without mapping symbols."""
    if part.marks:
        return [part]
    return [
        CodePart(part.name, part.address + each.start, part.data[each.start : each.stop])
        for each in code_ranges(part.data)
    ]


def _container(data: bytes) -> str | None:
    if is_image(data):
        return None
    return "EFI zboot" if is_zboot(data) else "gzip"
