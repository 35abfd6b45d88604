"""The ``[cpu]`` table of a machine description."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.board.description import CpuDescription, GicDescription
from arm_vcpu_cli.board.schema import (
    CPU_MODELS,
    MAX_CPUS,
    MAX_PHYS_CPUS,
    REDISTRIBUTOR_SIZE,
    Table,
)

CPU_KEYS: Final = ("model", "count", "clusters", "mpidr", "phys_cpus", "phys_cpu_sets", "features")
_AFF0_CPUS: Final = 16
"""The default number of CPUs per Aff1 value: one for each bit of an SGI's target list (ICC_SGI1R_EL1), as on QEMU's
virt board."""
_MAX_GICV2_CPUS: Final = 8  # IHI 0048, 1.3: a bit each in registers of 8 bits
_AFF1_SHIFT: Final = 8
_SETS: Final = "bit masks or arrays of the numbers of physical CPUs, one for each CPU"


def read_address_limit(table: Table) -> int:
    """Return the first address beyond the CPU model's address space; the largest if the model is refused."""
    model = _read_model(table)
    bits = [CPU_MODELS[model].pa_bits] if table.is_valid("model") else [each.pa_bits for each in CPU_MODELS.values()]
    return 1 << max(bits)


def _read_model(table: Table) -> str:
    return table.choice("model", tuple(CPU_MODELS), "cortex-a72")


def read_cpu(table: Table, gic: GicDescription | None) -> CpuDescription:
    """The CPU description in the table, for a machine with the interrupt controller ``gic``."""
    clusters = table.integers("clusters", low=1, high=MAX_CPUS, counts=(1, MAX_CPUS)) if "clusters" in table else ()
    affinities = _read_affinities(table, clusters)
    _check_interrupt_controller(table, len(affinities), gic)
    phys_cpus = table.integer("phys_cpus", low=1, high=MAX_PHYS_CPUS, default=1)
    return CpuDescription(
        model=_read_model(table),
        affinities=affinities,
        features=_read_features(table) if "features" in table else (),
        phys_cpus=phys_cpus,
        phys_cpu_sets=_read_sets(table, len(affinities), phys_cpus),
        clusters=clusters,
    )


def _read_affinities(table: Table, clusters: tuple[int, ...]) -> tuple[int, ...]:
    """The affinity of each CPU; empty if an error leaves their number unknown."""
    count = _read_count(table)
    if "clusters" in table:
        if "mpidr" in table:
            table.refuse("mpidr", f"{table.key_of('clusters')} says the affinities already")
        if not table.is_valid("clusters"):
            return ()
        if sum(clusters) > MAX_CPUS:
            table.refuse("clusters", f"expected at most {MAX_CPUS} CPUs, found {sum(clusters)}")
            return ()
        _check_count(table, "clusters", count, sum(clusters))
        return tuple(aff1 << _AFF1_SHIFT | aff0 for aff1, cpus in enumerate(clusters) for aff0 in range(cpus))
    if table.is_array("mpidr"):
        affinities = table.integers("mpidr", low=0, high=AFFINITY_MASK, counts=(1, MAX_CPUS))
        if not table.is_valid("mpidr"):
            return ()
        _check_count(table, "mpidr", count, len(affinities))
    elif "mpidr" in table:
        affinities = (table.integer("mpidr", low=0, high=AFFINITY_MASK),)
        if count is not None and count > 1 and table.is_valid("mpidr"):
            message = f"expected an array of {count} integers, one for each CPU ({table.key_of('count')}), found one"
            table.refuse("mpidr", message)
    else:
        return tuple(n // _AFF0_CPUS << _AFF1_SHIFT | n % _AFF0_CPUS for n in range(count or 1))
    for position, mpidr in enumerate(affinities):
        index = position if table.is_array("mpidr") else None
        if mpidr & ~AFFINITY_MASK:
            shown = table.found("mpidr", mpidr, index)
            table.refuse("mpidr", f"expected affinity fields only (mask {AFFINITY_MASK:#x}), found {shown}")
        if mpidr in affinities[:position]:
            table.refuse("mpidr", f"{table.found('mpidr', mpidr, index)} is listed twice")
    return affinities


def _read_count(table: Table) -> int | None:
    """The number of CPUs, if the table states it."""
    return table.optional_integer("count", low=1, high=MAX_CPUS)


def _check_count(table: Table, name: str, count: int | None, found: int) -> None:
    """Refuse a number of CPUs that contradicts the key ``name``."""
    if count is not None and count != found:
        table.refuse("count", f"expected {found}, the CPUs of {table.key_of(name)}, found {count}")


def _check_interrupt_controller(table: Table, count: int, gic: GicDescription | None) -> None:
    """Refuse more CPUs than the interrupt controller can have."""
    if gic is None:
        return
    if gic.redistributors is None:
        most, owner = _MAX_GICV2_CPUS, f"device.{gic.name}, a GICv2,"
    else:
        most, owner = gic.redistributors.size // REDISTRIBUTOR_SIZE, f"device.{gic.name}.redistributor_size"
    if count > most:
        name = next((name for name in ("count", "clusters") if name in table), "mpidr")
        table.refuse(name, f"{count} CPUs, but {owner} has room for {most}")


def _read_sets(table: Table, count: int, phys_cpus: int) -> tuple[int | None, ...]:
    name = "phys_cpu_sets"
    if name not in table:
        return (None,) * count
    if not all(table.is_valid(key) for key in ("count", "clusters", "mpidr", "phys_cpus")):
        # The number of vCPUs, or of physical CPUs, is unknown then.
        return (None,) * count
    sets = table.array(name, count, _SETS)
    return tuple(_read_set(table, index, value, phys_cpus) for index, value in enumerate(sets))


def _read_set(table: Table, index: int, value: object, phys_cpus: int) -> int:
    """The bit mask of one set, given as a mask or as a list of CPU numbers; 0 if it is refused."""
    name = "phys_cpu_sets"
    if not isinstance(value, list):
        last = (1 << phys_cpus) - 1
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= last:
            there = f"{phys_cpus} physical CPUs are there ({table.key_of('phys_cpus')})"
            found = table.found(name, value, index)
            table.refuse(name, f"expected a bit mask from 1 to {last:#x} or an array, as {there}, found {found}")
            return 0
        return value
    mask = 0
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < phys_cpus:
            expected = f"numbers of physical CPUs from 0 to {phys_cpus - 1} ({table.key_of('phys_cpus')})"
            table.refuse(name, f"expected {expected}, found {table.found(name, number, index)}")
            return 0
        mask |= 1 << number
    if not mask:
        table.refuse(name, "every CPU needs a physical CPU to run on")
    return mask


def _read_features(table: Table) -> tuple[tuple[str, bool], ...]:
    # Few descriptions name features, and the table of all features is long.
    known = import_module("arm_vcpu_cli.arch.identification.features").FEATURES
    return table.table("features", tuple(known)).booleans()
