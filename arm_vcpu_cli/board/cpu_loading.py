"""The ``[cpu]`` table of a machine description."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.board.description import CpuDescription, GicDescription
from arm_vcpu_cli.board.schema import (
    AFF0_CPUS,
    CPU_MODELS,
    MAX_CPUS,
    MAX_GICV2_CPUS,
    MAX_PHYS_CPUS,
    REDISTRIBUTOR_SIZE,
    Table,
    describe_value,
)

CPU_KEYS: Final = ("model", "count", "clusters", "mpidr", "phys_cpus", "phys_cpu_sets", "features")
_AFF1_SHIFT: Final = 8
_SETS: Final = "bit masks or arrays of the numbers of physical CPUs, one for each CPU"


def read_cpu_model(table: Table) -> str:
    """The name of the CPU model, a key of CPU_MODELS."""
    return table.choice("model", tuple(CPU_MODELS), "cortex-a72")


def read_cpu(table: Table, gic: GicDescription | None) -> CpuDescription:
    """All that the table says, for a machine with the interrupt controller ``gic``. Raises MachineFileError."""
    clusters = table.integers("clusters", low=1, high=MAX_CPUS, counts=(1, MAX_CPUS)) if "clusters" in table else ()
    affinities = _read_affinities(table, clusters)
    _check_interrupt_controller(table, len(affinities), gic)
    phys_cpus = table.integer("phys_cpus", low=1, high=MAX_PHYS_CPUS, default=1)
    return CpuDescription(
        model=read_cpu_model(table),
        affinities=affinities,
        features=_read_features(table) if "features" in table else (),
        phys_cpus=phys_cpus,
        phys_cpu_sets=_read_sets(table, len(affinities), phys_cpus),
        clusters=clusters,
    )


def _read_affinities(table: Table, clusters: tuple[int, ...]) -> tuple[int, ...]:
    if clusters:
        if "mpidr" in table:
            raise table.error("mpidr", f"{table.key_of('clusters')} says the affinities already")
        if sum(clusters) > MAX_CPUS:
            raise table.error("clusters", f"expected at most {MAX_CPUS} CPUs, found {sum(clusters)}")
        _check_count(table, "clusters", sum(clusters))
        return tuple(aff1 << _AFF1_SHIFT | aff0 for aff1, count in enumerate(clusters) for aff0 in range(count))
    if table.is_array("mpidr"):
        affinities = table.integers("mpidr", low=0, high=AFFINITY_MASK, counts=(1, MAX_CPUS))
        _check_count(table, "mpidr", len(affinities))
    elif "mpidr" in table:
        affinities = (table.integer("mpidr", low=0, high=AFFINITY_MASK),)
        count = _read_count(table, 1)
        if count > 1:
            message = f"expected an array of {count} integers, one for each CPU ({table.key_of('count')}), found one"
            raise table.error("mpidr", message)
    else:
        return tuple(n // AFF0_CPUS << _AFF1_SHIFT | n % AFF0_CPUS for n in range(_read_count(table, 1)))
    for position, mpidr in enumerate(affinities):
        if mpidr & ~AFFINITY_MASK:
            raise table.error("mpidr", f"expected affinity fields only (mask {AFFINITY_MASK:#x}), found {mpidr:#x}")
        if mpidr in affinities[:position]:
            raise table.error("mpidr", f"{mpidr:#x} is there twice")
    return affinities


def _read_count(table: Table, default: int) -> int:
    return table.integer("count", low=1, high=MAX_CPUS, default=default)


def _check_count(table: Table, name: str, found: int) -> None:
    """Refuse a number of CPUs that is not that of the key ``name``."""
    count = _read_count(table, found)
    if count != found:
        raise table.error("count", f"expected {found}, the CPUs of {table.key_of(name)}, found {count}")


def _check_interrupt_controller(table: Table, count: int, gic: GicDescription | None) -> None:
    """Refuse more CPUs than the interrupt controller can have."""
    if gic is None:
        return
    if gic.redistributors is None:
        most, owner = MAX_GICV2_CPUS, f"device.{gic.name}, a GICv2,"
    else:
        most, owner = gic.redistributors.size // REDISTRIBUTOR_SIZE, f"device.{gic.name}.redistributor_size"
    if count > most:
        name = next((name for name in ("count", "clusters") if name in table), "mpidr")
        raise table.error(name, f"{count} CPUs, but {owner} has room for {most}")


def _read_sets(table: Table, count: int, phys_cpus: int) -> tuple[int | None, ...]:
    name = "phys_cpu_sets"
    if name not in table:
        return (None,) * count
    return tuple(_read_set(table, name, value, phys_cpus) for value in table.array(name, count, _SETS))


def _read_set(table: Table, name: str, value: object, phys_cpus: int) -> int:
    """The bit mask of one set: as such, or from the numbers of the CPUs in it."""
    if not isinstance(value, list):
        last = (1 << phys_cpus) - 1
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= last:
            there = f"{phys_cpus} physical CPUs are there ({table.key_of('phys_cpus')})"
            message = f"expected a bit mask from 1 to {last:#x} or an array, as {there}, found {describe_value(value)}"
            raise table.error(name, message)
        return value
    mask = 0
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < phys_cpus:
            expected = f"numbers of physical CPUs from 0 to {phys_cpus - 1} ({table.key_of('phys_cpus')})"
            raise table.error(name, f"expected {expected}, found {describe_value(number)}")
        mask |= 1 << number
    if not mask:
        raise table.error(name, "a CPU without a physical CPU to run on could never run")
    return mask


def _read_features(table: Table) -> tuple[tuple[str, bool], ...]:
    # Few descriptions have any, and the table of all features is long.
    known = import_module("arm_vcpu_cli.arch.identification.features").FEATURES
    return table.table("features", tuple(known)).booleans()
