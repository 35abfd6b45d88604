"""The contents of a snapshot file, as text and for JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.sizes import format_size
from arm_vcpu_cli.vm.snapshot_file import MAJOR, MINOR, RAW, SnapshotFile

_NANOSECONDS: Final = 1_000_000_000
_MOST: Final = 1 << 80


def facts_of(path: Path) -> dict[str, object]:
    """Return the facts by name, after reading and checking every part. Raises :class:`FileError`."""
    with SnapshotFile(path) as file:
        try:
            facts = file.facts
            found: dict[str, object] = {
                "format": f"{MAJOR}.{MINOR}",
                "digest": file.digest,
                **{name: printable(facts.text(name)) for name in ("tool", "engine", "guest", "machine")},
                "vcpus": facts.number("vcpus", _MOST),
                "taken": printable(facts.text("note")),
                "time": f"{facts.number('time', _MOST) / _NANOSECONDS:.9f} s",
                "exits": facts.number("exits", _MOST),
                "memory": format_size(facts.number("pages", _MOST) * PAGE_SIZE),
                "compressed": any(part.coding != RAW for part in file.parts),
            }
        except ValueError as error:
            raise FileError(path, str(error)) from error
        for part in file.parts:
            file.check(part)
    return found
