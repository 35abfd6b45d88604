"""Writes a machine to a snapshot file, with everything needed to continue in another process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.board.description_document import document_of
from arm_vcpu_cli.board.placement import loaded_files
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.errors import OutputError, UsageError
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.host.machine_host import engine_version
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.destination import open_destination
from arm_vcpu_cli.version import VERSION
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import LINE, Machine
from arm_vcpu_cli.vm.snapshot import identity, save_run, save_without_memory
from arm_vcpu_cli.vm.snapshot_file import SnapshotWriter
from arm_vcpu_cli.vm.snapshot_pages import write_pages
from arm_vcpu_cli.vm.snapshot_plain import packed

FORM: Final = 1
"""The version of the contents of the parts "machine" and "state", besides the versions of the states of parts."""
NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})
MACHINE, STATE, SEGMENT = "machine", "state", "segment"
"""Names of parts."""


def write_snapshot(
    machine: Machine,
    run: GuestRun | None,
    path: Path,
    *,
    compress: bool | None = None,
    note: str = "",
    facts: Mapping[str, str] = NO_FACTS,
) -> str:
    """Write a machine that has been started, with its guest stopped, to a file, which appears only when it is complete.
    Returns the digest of the snapshot.

    ``run`` has its watchers, None if it has never run. ``compress`` selects Zstandard, by default if it is installed.
    ``note`` is for people. ``facts`` are those of the recording of the run, if it is recorded or replayed. Raises
    :class:`UsageError` for a machine that cannot be saved, :class:`FileError` or :class:`OutputError` if the file
    cannot be written.
    """
    described, state = _machine(machine), _state(machine, run, facts)
    packs = find_spec("zstandard") is not None if compress is None else compress
    with open_destination(path) as file:
        writer = SnapshotWriter(file, compress=packs)
        writer.add(MACHINE, packed(described))
        writer.add(STATE, packed(state))
        if described["image"]["has_data"]:
            for segment in machine.image.segments:
                writer.add(SEGMENT, segment.data)
        pages = write_pages(machine, writer)
        digest = writer.finish(_facts(machine, pages, note))
        try:
            os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return digest


def layout_digest(layout: StateLayout) -> str:
    """Return a digest that differs between builds of the engine that keep the registers at different places."""
    # The place of P0 adds nothing to that of V0, and older snapshots do not have it.
    places = [getattr(layout, name) for name in layout.__match_args__ if name not in ("sysregs", "p0")]
    places += sorted((repr(register), offset) for register, offset in layout.sysregs.items())
    return hashlib.sha256(repr(places).encode()).hexdigest()


def deliveries_digest(deliveries: Iterable[tuple[int, bytes]]) -> str:
    """Return a digest of the input of a run up to some point."""
    return hashlib.sha256(packed([[tick, data] for tick, data in deliveries])).hexdigest()


def _state(machine: Machine, run: GuestRun | None, facts: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {
            "form": FORM,
            "layout": layout_digest(machine.current.arch.state.layout),
            "machine": save_without_memory(machine),
            "run": None if run is None else save_run(run),
            "journal": _journal(machine, facts),
            "notes": {} if run is None else {LINE: run.panic.unfinished, **machine.take_notes()},
        }
    except ValueError as error:
        raise UsageError(f"the machine cannot be saved: {error}") from error


def _journal(machine: Machine, facts: Mapping[str, str]) -> dict[str, Any]:
    """Return the place in the recording of the run; empty without facts."""
    delivered = machine.input.delivered
    if not facts or delivered is None:
        return {"facts": {}, "next": 0, "digest": ""}
    return {"facts": dict(facts), "next": len(delivered), "digest": deliveries_digest(delivered)}


def _machine(machine: Machine) -> dict[str, Any]:
    description = machine.description
    if description.boot.reboot:
        raise UsageError("the machine cannot be saved: after a reset it needs the guest's files again (--reboot)")
    return {
        "form": FORM,
        "name": description.name,
        "document": document_of(description),
        "dtb_address": machine.dtb_address,
        "extents": [extent._asdict() for extent in loaded_files(machine.ram)],
        "image": _image(machine.image),
    }


def _image(image: GuestImage) -> dict[str, Any]:
    """Return the guest's image without its data, which is not needed for a Linux kernel that is running."""
    return {
        **identity(image),
        "path": str(image.path),
        "load_bias": image.load_bias,
        "has_data": image.kind != "linux" and not image.digest,
        "segments": [
            {name: getattr(segment, name) for name in segment.__match_args__ if name != "data"}
            for segment in image.segments
        ],
    }


def _facts(machine: Machine, pages: int, note: str) -> dict[str, object]:
    """Return the facts that a reader checks first, or displays."""
    return {
        "tool": VERSION,
        "engine": engine_version(),
        "guest": printable(base_name(machine.image.path)),
        "machine": machine.description.name,
        "vcpus": len(machine.cpus),
        "time": machine.timeline.now(),
        "exits": machine.exits,
        "pages": pages,
        "note": printable(note),
    }
