"""Keeps every command from overwriting its inputs or its other outputs: one check, before any file is opened.

Files are compared by device and inode, so that links and other spellings of a name count too; a file that does not
exist yet is compared by its folder and name. The temporary name of an unfinished output is compared separately.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.trace.destination import inherited_descriptor, partial_path

_Key = tuple[int, int, str]
"""Device, inode and name: for a file that does not exist yet, those of its folder, and its name."""


def check_guest(options: GuestOptions, description: MachineDescription, output: Path | None) -> None:
    """Refuse an ``-o`` or ``--record`` of a command that runs a guest. Raises FileError."""
    guest = None if options.guest is None else Path(options.guest)
    inputs = {"the guest": guest, **machine_files(description)}
    inputs |= {
        "the symbol file": options.symbols,
        "the faults": options.faults,
        "the recording to repeat": options.replay,
        "the snapshot": options.from_snapshot,
    }
    check_outputs({"-o": output, "--record": options.record, "--report-file": options.report_file}, inputs)


def machine_files(description: MachineDescription) -> dict[str, Path | None]:
    """The files of a machine description, by role."""
    return {
        "the machine description": description.path,
        "the initial RAM disk": description.boot.initrd,
        "the device tree": description.boot.dtb_file,
        **{f"the file at {load.address:#x}": load.path for load in description.loads},
        **{f"the file of memory.{region.name}": region.file for region in description.memory},
    }


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Refuse an output that is an input, another output or a standard stream's file. Raises FileError.

    ``outputs`` are keyed by option, ``inputs`` by role; None stands for an absent file.
    Terminals and devices such as ``/dev/null`` may be shared.
    """
    taken: dict[_Key, tuple[str, Path | None]] = {}
    taken |= {
        key: (what, path) for what, path in inputs.items() if path is not None and (key := _key(path)) is not None
    }
    streams = dict(_standard_files())
    for option, path in outputs.items():
        if path is None:
            continue
        names = [path, *([partial_path(path)] if _has_name_to_take(path) else [])]
        # Output to the stream itself does not overwrite its file.
        taken_here = taken if inherited_descriptor(path) is not None else streams | taken
        for name in names:
            key = _key(name)
            found = None if key is None else taken_here.get(key)
            if found is not None:
                raise FileError(path, _complaint(option, path, name, *found))
        taken |= {key: (option, path) for name in names if (key := _key(name)) is not None}


def _has_name_to_take(path: Path) -> bool:
    # These two never raise, even without permission to search the folder.
    return inherited_descriptor(path) is None and (os.path.isfile(path) or not os.path.exists(path))  # noqa: PTH110, PTH113


def _complaint(option: str, path: Path, name: Path, what: str, other: Path | None) -> str:
    spelled = "" if other is None or other in (path, name) else f" ({other})"
    if what.startswith("-"):
        return f"{option} and {what}{spelled} would be the same file; expected two"
    if name is not path:
        return f"{option} is first written as {name}, which is {what}{spelled}; expected another name"
    return f"{option} would overwrite {what}{spelled}; expected another file"


def _key(path: Path) -> _Key | None:
    """The key shared by all names of one file; None if it cannot be overwritten, or does not exist."""
    try:
        return _key_of(path.stat())
    except FileNotFoundError:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return None
    try:
        folder = real.parent.stat()
    except OSError:
        return None
    return folder.st_dev, folder.st_ino, real.name


def _key_of(found: os.stat_result) -> _Key | None:
    return None if stat.S_ISCHR(found.st_mode) else (found.st_dev, found.st_ino, "")


def _standard_files() -> Iterator[tuple[_Key, tuple[str, Path | None]]]:
    """The standard streams that are regular files."""
    streams: dict[str, TextIO] = {"standard input": sys.stdin, "standard output": sys.stdout}
    for what, stream in {**streams, "standard error": sys.stderr}.items():
        try:
            found = os.fstat(stream.fileno())
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(found.st_mode):
            yield (found.st_dev, found.st_ino, ""), (what, None)
