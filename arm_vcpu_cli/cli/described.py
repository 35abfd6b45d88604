"""Builds the machine that the machine file and the options describe, or reports every error in both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.loading import machine_from_document, read_machine_file
from arm_vcpu_cli.errors import ArmVcpuError, CombinedError, GuestFileError, MachineFileError, UsageError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.files import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from arm_vcpu_cli.board.layers import Overrides

_OPTIONS: Final = MappingProxyType(
    {
        "gic": ("--gic", "device"),
        "cpus": ("--smp", "cpu.count"),
        "phys_cpus": ("--phys-cpus", "cpu.phys_cpus"),
        "memory_size": ("--memory", ".size"),
        "bootargs": ("--append", "boot.bootargs"),
        "schedule": ("--schedule", "schedule.seed"),
        "reboot": ("--reboot", "boot.reboot"),
        "cpu": ("--cpu", "cpu.model"),
        "arguments": ("the guest's arguments", "boot.arguments"),
    }
)
"""The option of each override, and the last part of the key that it replaces."""


def load_description(machine: Path | None, overrides: Overrides, files: Sequence[FilePath] = ()) -> MachineDescription:
    """Return the machine that the options describe; options override the file.

    An error in the machine file also reports each of the ``files`` to be read later that does not exist.
    """
    document = read_machine_file(machine)
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        return machine_from_document(document, machine, **given)
    except MachineFileError as error:
        found = [*_all_errors(document, machine, given, error, files)]
        raise (found[0] if len(found) == 1 else CombinedError(found)) from error


def _all_errors(
    document: Mapping[str, object],
    machine: Path | None,
    given: dict[str, Any],
    error: MachineFileError,
    files: Sequence[FilePath],
) -> Iterator[ArmVcpuError]:
    """Return the file's own errors as one, then those that options cause; those of ``files`` join the file's."""
    of_file = _errors(document, machine, {})
    of_options = [each for each in (error, *error.others) if not _is_in(each, of_file)]
    if len(of_options) <= len(error.others):
        yield of_file[0]
    names = list(_OPTIONS)
    found = [(names.index(_at_fault(document, machine, given, each)), each) for each in of_options]
    found.sort(key=lambda each: each[0])
    yield from map(UsageError, dict.fromkeys(_of_option(names[number], each) for number, each in found))
    if of_file:
        yield from _missing(files)


def _of_option(name: str, error: MachineFileError) -> str:
    option, key = _OPTIONS[name]
    where = "" if error.key is None or error.key.endswith(key) else f"{error.key}: "
    return f"{option}: {where}{error.message}"


def _at_fault(
    document: Mapping[str, object], machine: Path | None, given: dict[str, Any], error: MachineFileError
) -> str:
    """Return the option of the first override that causes this error."""
    names = [name for name in _OPTIONS if name in given]
    for number in range(1, len(names)):
        if _is_in(error, _errors(document, machine, {name: given[name] for name in names[:number]})):
            return names[number - 1]
    return names[-1]


def _errors(document: Mapping[str, object], machine: Path | None, given: dict[str, Any]) -> list[MachineFileError]:
    """Return the errors of a machine; the first one includes all others."""
    try:
        machine_from_document(document, machine, **given)
    except MachineFileError as error:
        return [error, *error.others]
    return []


def _is_in(error: MachineFileError, errors: list[MachineFileError]) -> bool:
    return any((each.key, each.message) == (error.key, error.message) for each in errors)


def _missing(files: Sequence[FilePath]) -> Iterator[ArmVcpuError]:
    """Yield an error for each file that does not exist. Others are not opened, because they may be pipes."""
    for path in dict.fromkeys(files):
        if os.path.exists(path):  # noqa: PTH110
            continue
        try:
            read_file(path, "a file")
        except GuestFileError as error:
            yield error
