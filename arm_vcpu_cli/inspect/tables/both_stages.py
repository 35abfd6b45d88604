"""Both stages of the translation of an address, level by level, with every descriptor decoded: as facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.registers.el1regs import Mair, Sctlr, Tcr
from arm_vcpu_cli.arch.registers.el2regs import Vtcr
from arm_vcpu_cli.arch.registers.fieldvalues import MAIR_ATTRIBUTE, NON_SHAREABLE, SHAREABILITY
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.translation.combine import combine_memory, combine_shareability
from arm_vcpu_cli.arch.translation.descriptor import Stage1Leaf, Stage1Table, Stage2Leaf, TableDescriptor, decode_stage2
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType, mair_memory_type, stage2_memory_type
from arm_vcpu_cli.arch.translation.stage1walk import half_geometry, select_half
from arm_vcpu_cli.arch.translation.walk import Walk, WalkStep
from arm_vcpu_cli.inspect.tables.ipa_map import DEVICE_PREFIX, nearest
from arm_vcpu_cli.inspect.virt_board import virt_device
from arm_vcpu_cli.sizes import format_size
from arm_vcpu_cli.vm.machine import Machine

AP_TEXT: Final = ("EL1 rw", "EL1 rw, EL0 rw", "EL1 r", "EL1 r, EL0 r")
"""AP[2:1] of a stage-1 block or page (DDI 0487, D8.4.1.2.1)."""
APTABLE_TEXT: Final = ("no effect", "none of EL0", "no writes", "no writes, none of EL0")
S2AP_TEXT: Final = ("none", "r", "w", "rw")
MAX_PA_BITS: Final = 52
_LEAVES: Final = ("block", "page")

Fields = tuple[tuple[str, str], ...]
_NO_FIELDS: Final[Fields] = ()


@dataclass(frozen=True)
class Step:
    """One descriptor of a walk.

    ``address`` is where it is (an IPA in stage 1), ``paddr`` where that is in the host's physical memory, None if stage
    2 does not allow it to be read. ``output`` is the next table or the block or page, None for an invalid one.
    """

    level: int
    address: int
    paddr: int | None
    descriptor: int
    kind: str
    output: int | None
    fields: Fields


@dataclass(frozen=True)
class Stage:
    """One stage: its input and output; ``controls`` describes its configuration in words."""

    number: int
    controls: str
    input: int
    steps: tuple[Step, ...]
    output: int | None
    fault: str
    fault_status: int | None
    fault_level: int | None
    fault_kind: str
    size: int


@dataclass(frozen=True)
class Permissions:
    """The access permissions of one Exception level."""

    read: bool
    write: bool
    execute: bool

    def __str__(self) -> str:
        letters = (("r", self.read), ("w", self.write), ("x", self.execute))
        return "".join(letter if may else "-" for letter, may in letters)


@dataclass(frozen=True)
class Translated:
    """A translation: ``stage1`` is None for an IPA, and ``mmu`` whether the guest has stage 1 switched on.

    ``el0``, ``el1``, ``memory`` and ``shareability`` are what both stages allow together, where both have a block or
    page, whether or not the requested access faults.
    """

    address: int
    el: int
    access: Access | None
    mmu: bool
    stage1: Stage | None
    stage2: Stage | None
    el0: Permissions | None = None
    el1: Permissions | None = None
    memory: MemoryType | None = None
    shareability: int | None = None
    trapped_to: str = ""
    """The device that an access goes to because stage 2 maps nothing at its IPA, such as ``device.uart0``."""
    absent: str = ""
    """The device of QEMU's virt board at an IPA where this machine has none, such as ``fw_cfg``."""

    @property
    def ipa(self) -> int | None:
        """The intermediate physical address, None where stage 1 faults."""
        return self.stage2.input if self.stage2 is not None else None

    @property
    def paddr(self) -> int | None:
        """The host-physical address, None where either stage faults."""
        return self.stage2.output if self.stage2 is not None else None

    @property
    def faulting(self) -> Stage | None:
        """The stage that faults."""
        for stage in (self.stage1, self.stage2):
            if stage is not None and stage.output is None:
                return stage
        return None


def translate(machine: Machine, vaddr: int, *, el: int = 1, access: Access | None = None) -> Translated:
    """Walk both stages for an access of EL1 or EL0 to a virtual address; permissions count only with ``access``."""
    memory = machine.current.arch.memory()
    pan = el == 1 and bool(machine.current.arch.ctx.spsr.PAN)
    first = memory.translate(vaddr, el=el, access=access, pan=pan).stage1
    stage1 = _stage1(machine, vaddr, first)
    mmu = bool(Sctlr(_sysreg(machine, "SCTLR_EL1")).M)
    # A permission fault still yields an address, which stage 2 translates.
    unchecked = memory.translate(vaddr, el=el).stage1
    if unchecked.output is None:
        return Translated(vaddr, el, access, mmu, stage1, None)
    second = memory.walk_ipa(unchecked.output, access)
    if first.output is None:
        stage2, device, absent = None, "", ""
    else:
        stage2 = _stage2(machine, unchecked.output, second)
        device = _trapped_to(machine, unchecked.output, second, access)
        absent = _absent(machine, unchecked.output, second)
    combined = _combine(machine, vaddr, second) if second.attributes is not None else (None, None, None, None)
    return Translated(vaddr, el, access, mmu, stage1, stage2, *combined, trapped_to=device, absent=absent)


def translate_ipa(machine: Machine, ipa: int, *, access: Access | None = None) -> Translated:
    """Walk stage 2 only."""
    walk = machine.current.arch.memory().walk_ipa(ipa, access)
    stage2 = _stage2(machine, ipa, walk)
    if walk.attributes is None:
        device, absent = _trapped_to(machine, ipa, walk, access), _absent(machine, ipa, walk)
        return Translated(ipa, 1, access, True, None, stage2, trapped_to=device, absent=absent)
    may = Permissions(walk.attributes.read, walk.attributes.write, walk.attributes.execute)
    memory = walk.attributes.memory
    shareability = combine_shareability(memory, NON_SHAREABLE, _shareability(walk))
    return Translated(ipa, 1, access, True, None, stage2, may, may, memory, shareability)


def _trapped_to(machine: Machine, ipa: int, walk: Walk, access: Access | None) -> str:
    """The device at an IPA where stage 2 maps nothing; none for a fetch, which devices do not answer."""
    if walk.output is not None or access is Access.EXECUTE:
        return ""
    place = nearest(machine.description, ipa)
    if place is None or not place.base <= ipa < place.end:
        return ""
    return place.name if place.name.startswith(DEVICE_PREFIX) else ""


def _absent(machine: Machine, ipa: int, walk: Walk) -> str:
    place = nearest(machine.description, ipa)
    if walk.output is not None or (place is not None and place.base <= ipa < place.end):
        return ""
    device = virt_device(machine.description, ipa)
    return "" if device is None else device.name


_Combined = tuple[Permissions | None, Permissions | None, MemoryType | None, int | None]


def _combine(machine: Machine, vaddr: int, second: Walk) -> _Combined:
    """(EL0's permissions, EL1's permissions, memory type, shareability) of both stages combined."""
    memory = machine.current.arch.memory()
    both = second.attributes
    pan = bool(machine.current.arch.ctx.spsr.PAN)
    levels = []
    for el in (0, 1):
        one = memory.translate(vaddr, el=el, pan=pan and el == 1).stage1.attributes
        levels.append(
            None
            if one is None or both is None
            else Permissions(one.read and both.read, one.write and both.write, one.execute and both.execute)
        )
    walk = memory.translate(vaddr).stage1
    one = walk.attributes
    if one is None or both is None:
        return levels[0], levels[1], None, None
    kind = combine_memory(one.memory, both.memory)
    own = getattr(one, "shareability", NON_SHAREABLE)
    return levels[0], levels[1], kind, combine_shareability(kind, own, _shareability(second))


def _shareability(walk: Walk) -> int:
    """SH of the stage-2 block or page that a walk reached."""
    return Stage2Leaf(walk.steps[-1].descriptor).SH


def _stage1(machine: Machine, vaddr: int, walk: Walk) -> Stage:
    mair = Mair(_sysreg(machine, "MAIR_EL1"))
    steps = tuple(_step1(machine, vaddr, step, mair) for step in walk.steps)
    return _stage(1, _stage1_controls(machine, vaddr), vaddr, steps, walk)


def _stage2(machine: Machine, ipa: int, walk: Walk) -> Stage:
    control = Vtcr(_sysreg(machine, "VTCR_EL2"))
    controls = f"VTTBR_EL2 {_sysreg(machine, 'VTTBR_EL2'):#x}, 4 KiB granule, {64 - control.T0SZ}-bit IPAs"
    return _stage(2, controls, ipa, tuple(_step2(step) for step in walk.steps), walk)


def _stage(number: int, controls: str, address: int, steps: tuple[Step, ...], walk: Walk) -> Stage:
    fault = walk.fault
    if fault is None:
        return Stage(number, controls, address, steps, walk.output, "", None, None, "", walk.size)
    name = fault_status_name(fault.fault_status)
    return Stage(number, controls, address, steps, None, name, fault.fault_status, fault.level, fault.kind, walk.size)


def _stage1_controls(machine: Machine, vaddr: int) -> str:
    """The stage-1 configuration of the half of the address space that holds an address."""
    if not Sctlr(_sysreg(machine, "SCTLR_EL1")).M:
        return "off (SCTLR_EL1.M = 0): the IPA is the VA"
    control = Tcr(machine.current.arch.memory().tcr())
    upper = vaddr >> 55 & 1
    name = f"TTBR{upper}_EL1"
    half = select_half(bool(upper), 0, 0, control, None)
    disabled = f", disabled (TCR_EL1.EPD{upper} = 1)" if half.disabled else ""
    granule = format_size(1 << half.granule)
    return f"{name} {_sysreg(machine, name):#x}, {granule} granule, {half.size_bits}-bit VAs{disabled}"


def _step1(machine: Machine, vaddr: int, step: WalkStep, mair: Mair) -> Step:
    control = Tcr(machine.current.arch.memory().tcr())
    geometry = half_geometry(select_half(bool(vaddr >> 55 & 1), 0, 0, control, None), control, MAX_PA_BITS)
    paddr = machine.current.arch.memory().walk_ipa(step.address, Access.READ).output
    output, fields = None, _NO_FIELDS
    if step.kind == "table":
        output, fields = geometry.address_in(step.descriptor), stage1_table_fields(step.descriptor)
    elif step.kind in _LEAVES:
        size = 1 << geometry.shift(step.level)
        output, fields = geometry.address_in(step.descriptor) & -size, stage1_leaf_fields(step.descriptor, mair)
    return Step(step.level, step.address, paddr, step.descriptor, step.kind, output, fields)


def _step2(step: WalkStep) -> Step:
    entry = decode_stage2(step.level, step.descriptor)
    paddr = None if step.kind == "external" else step.address
    if entry is None:
        return Step(step.level, step.address, paddr, step.descriptor, step.kind, None, _NO_FIELDS)
    if isinstance(entry, TableDescriptor):
        return Step(step.level, step.address, paddr, step.descriptor, step.kind, entry.address, _NO_FIELDS)
    fields = stage2_leaf_fields(step.descriptor)
    return Step(step.level, step.address, paddr, step.descriptor, step.kind, entry.pa, fields)


def stage1_table_fields(descriptor: int) -> Fields:
    """The hierarchical limits of a stage-1 table descriptor that have an effect."""
    entry = Stage1Table(descriptor)
    shown = [("NSTable", str(entry.NSTable)), ("UXNTable", str(entry.UXNTable)), ("PXNTable", str(entry.PXNTable))]
    fields = [(name, value) for name, value in shown if value != "0"]
    if entry.APTable:
        fields.append(("APTable", f"{entry.APTable} ({APTABLE_TEXT[entry.APTable]})"))
    return tuple(fields)


def stage1_leaf_fields(descriptor: int, mair: int) -> Fields:
    """The attributes of a stage-1 block or page descriptor; rarely used bits appear only if set."""
    leaf = Stage1Leaf(descriptor)
    attribute = mair >> 8 * leaf.AttrIndx & 0xFF
    memory = MAIR_ATTRIBUTE.get(attribute, mair_memory_type(attribute).value)
    return (
        ("AP", f"{leaf.AP} ({AP_TEXT[leaf.AP]})"),
        ("UXN", str(leaf.UXN)),
        ("PXN", str(leaf.PXN)),
        ("AF", str(leaf.AF)),
        ("SH", _shareability_text(leaf.SH)),
        ("AttrIndx", f"{leaf.AttrIndx} (MAIR_EL1 {attribute:#04x}: {memory})"),
        ("nG", str(leaf.nG)),
        *_set(leaf, ("NS", "GP", "DBM", "Contiguous", "PBHA")),
    )


def stage2_leaf_fields(descriptor: int) -> Fields:
    """The attributes of a stage-2 block or page descriptor."""
    leaf = Stage2Leaf(descriptor)
    return (
        ("S2AP", f"{leaf.S2AP} ({S2AP_TEXT[leaf.S2AP]})"),
        ("XN", str(leaf.XN)),
        ("AF", str(leaf.AF)),
        ("SH", _shareability_text(leaf.SH)),
        ("MemAttr", f"{leaf.MemAttr:#x} ({stage2_memory_type(leaf.MemAttr).value})"),
        *_set(leaf, ("DBM", "Contiguous", "FnXS", "AssuredOnly")),
    )


def _set(leaf: Register, names: tuple[str, ...]) -> Fields:
    values = leaf.as_dict()
    return tuple((name, str(values[name])) for name in names if values[name])


def _shareability_text(value: int) -> str:
    return f"{value} ({SHAREABILITY.get(value, 'reserved')})"


def _sysreg(machine: Machine, name: str) -> int:
    return machine.current.arch.read_sysreg(lookup(name))
