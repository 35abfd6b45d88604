"""The whole translation map of a guest: regions of equal attributes, and the memory or device behind each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.translation.stage1map import MAX_TABLES, Mapped, Stage1Map, TooManyTablesError
from arm_vcpu_cli.inspect.tables.both_stages import Permissions
from arm_vcpu_cli.inspect.tables.ipa_map import Place, places
from arm_vcpu_cli.sizes import format_size
from arm_vcpu_cli.vm.machine import Machine

_HALVES: Final = ((0, "TTBR0_EL1"), (1, "TTBR1_EL1"))
MAX_REGIONS: Final = 1 << 14
"""The most regions listed; a running Linux has a few hundred."""
_SHAREABILITY: Final = ("non-shareable", "reserved-shareable", "outer-shareable", "inner-shareable")


@dataclass(frozen=True)
class MappedRegion:
    """A range of addresses with the same translation attributes. ``output`` is an IPA in stage 1 and a PA in stage 2;
    ``leaves`` are the bytes of each block or page, None where the tables are not examined that closely. ``behind``
    names the memory or device there.
    """

    start: int
    size: int
    output: int
    el0: Permissions | None
    el1: Permissions
    memory: str
    leaves: int | None
    behind: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class MapSection:
    """One set of tables: ``is_used`` is false if no access uses them. ``left_out`` says from which address on the list
    is cut off, and why; None if it is complete."""

    heading: str
    regions: tuple[MappedRegion, ...]
    is_used: bool = True
    left_out: tuple[int, str] | None = None


def stage1_sections(machine: Machine) -> Iterator[MapSection]:
    """The mappings of both halves of the guest's address space."""
    memory = machine.current.arch.memory()
    sctlr = memory.sctlr()
    if not Sctlr(sctlr).M:
        yield MapSection("stage 1 is off (SCTLR_EL1.M = 0): the IPA is the VA", (), is_used=False)
        return
    for upper, name in _HALVES:
        ttbr = _sysreg(machine, name)
        tables = Stage1Map(
            machine.ram.view,
            upper=bool(upper),
            ttbr=ttbr,
            tcr=memory.tcr(),
            sctlr=sctlr,
            mair=_sysreg(machine, "MAIR_EL1"),
            pan=bool(machine.current.arch.ctx.spsr.PAN),
            pa_bits=memory.controls.pa_bits,
        )
        granule = format_size(1 << tables.half.granule)
        heading = f"stage 1, {name} {ttbr:#x}, {granule} granule, {tables.half.size_bits}-bit VAs"
        if tables.half.disabled:
            yield MapSection(f"{heading}: disabled (TCR_EL1.EPD{upper} = 1)", (), is_used=False)
            continue
        regions, left_out = _collect(machine, tables)
        yield MapSection(heading, regions, left_out=left_out)


def stage2_section(machine: Machine) -> MapSection:
    """The mappings of stage 2; an access to any other address, device or not, exits."""
    regions, known = [], places(machine.description)
    for region in machine.stage2.regions():
        may = Permissions(region.attributes.read, region.attributes.write, region.attributes.execute)
        memory, behind = region.attributes.memory.value, _behind(known, region.ipa)
        regions.append(MappedRegion(region.ipa, region.size, region.pa, None, may, memory, None, behind))
    return MapSection(f"stage 2, VTTBR_EL2 {_sysreg(machine, 'VTTBR_EL2'):#x}, 4 KiB granule", tuple(regions))


def executed(machine: Machine) -> list[range] | None:
    """The IPAs that the guest has executed from, by pages, and by blocks of 2 MiB where stage 1 keeps code and data
    apart; None if execution is not tracked."""
    return list(machine.stage2.executed()) if machine.core.prefers_execute_on_demand else None


def executed_lines(ranges: list[range]) -> Iterator[str]:
    """A heading and a line for each range."""
    yield "executed from so far, by IPA (pages, and blocks of 2 MiB where stage 1 keeps code and data apart)"
    for ipas in ranges:
        yield f"  {ipas.start:#018x}-{ipas.stop - 1:#018x}  {_short(len(ipas)):>8}"
    if not ranges:
        yield "  nowhere"


def _collect(machine: Machine, tables: Stage1Map) -> tuple[tuple[MappedRegion, ...], tuple[int, str] | None]:
    found: list[MappedRegion] = []
    known = places(machine.description)
    try:
        for mapped in tables.mappings():
            if len(found) == MAX_REGIONS:
                return tuple(found), (mapped.va, f"only the first {MAX_REGIONS} regions are shown")
            found.append(_region(known, tables, mapped))
    except TooManyTablesError as error:
        return tuple(found), (error.va, f"only the first {MAX_TABLES} tables are walked; they may point to themselves")
    return tuple(found), None


def _region(known: list[Place], tables: Stage1Map, mapped: Mapped) -> MappedRegion:
    one = mapped.el1
    flags = [] if mapped.accessed else ["AF=0"]
    if one.not_global:
        flags.append("nG")
    if not one.memory.is_device:
        flags.append(_SHAREABILITY[one.shareability & 3])
    return MappedRegion(
        start=mapped.va,
        size=mapped.size,
        output=mapped.ipa,
        el0=Permissions(mapped.el0.read, mapped.el0.write, mapped.el0.execute),
        el1=Permissions(one.read, one.write, one.execute),
        memory=one.memory.value,
        leaves=1 << tables.geometry.shift(mapped.level),
        behind=_behind(known, mapped.ipa),
        flags=tuple(flags),
    )


def _behind(known: list[Place], ipa: int) -> str:
    """The name of the place at an IPA, among places sorted by address."""
    index = bisect_right(known, ipa, key=attrgetter("base")) - 1
    return known[index].name if index >= 0 and ipa < known[index].end else "nothing"


def _sysreg(machine: Machine, name: str) -> int:
    return machine.current.arch.read_sysreg(lookup(name))


def section_lines(section: MapSection) -> Iterator[str]:
    """A heading and a line for each region."""
    yield section.heading
    for region in section.regions:
        yield f"  {_line(region)}"
    if section.is_used and not section.regions:
        yield "  nothing is mapped"
    if section.left_out is not None:
        start, reason = section.left_out
        yield f"  ... everything from {start:#018x} on is omitted: {reason}"


def _line(region: MappedRegion) -> str:
    last = region.start + region.size - 1
    may = f"EL1 {region.el1}  EL0 {region.el0}" if region.el0 is not None else str(region.el1)
    pieces = "" if region.leaves is None else f"{_short(region.leaves)} each"
    return (
        f"{region.start:#018x}-{last:#018x}  {_short(region.size):>8}  {pieces:<8}  {may}  {region.memory:<20}"
        f"  -> {region.output:#012x}  {region.behind:<14} {' '.join(region.flags)}"
    ).rstrip()


def _short(size: int) -> str:
    return format_size(size).replace("iB", "").replace(" ", "")


def section_object(section: MapSection) -> dict[str, object]:
    """The section for JSON; addresses are strings in hexadecimal."""
    return {
        "tables": section.heading,
        "complete": section.left_out is None,
        **({} if section.left_out is None else {"left_out": _left_out(*section.left_out)}),
        "regions": [
            {
                "start": hex(region.start),
                "size": region.size,
                "output": hex(region.output),
                **({} if region.el0 is None else {"el0": str(region.el0)}),
                "el1": str(region.el1),
                "memory": region.memory,
                **({} if region.leaves is None else {"leaf": region.leaves}),
                "behind": region.behind,
                "flags": list(region.flags),
            }
            for region in section.regions
        ],
    }


def _left_out(start: int, reason: str) -> dict[str, str]:
    return {"from": hex(start), "reason": reason}
