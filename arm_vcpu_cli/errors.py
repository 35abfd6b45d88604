"""The errors of the package: one root, and subclasses that carry the facts and format themselves.

Each class knows the exit status of the command that it ends (the manual's topic ``exit-status`` lists them), so the
command line has one place that turns an error into a line on stderr and a status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.file_paths import FilePath, as_path
from arm_vcpu_cli.printable import printable_message, printable_path

OUTPUT_FAILED: Final = 120
"""The exit status of every command whose output cannot be written; some commands use 1 as an answer."""


class ArmVcpuError(Exception):
    """Base class of all errors that this package raises deliberately."""

    exit_status = 1

    def __str__(self) -> str:
        # Many messages quote users, guests and files.
        return printable_message(super().__str__())


class FileError(ArmVcpuError):
    """A file given by the user cannot be used; the message names the file, the place in it, and what was expected."""

    exit_status = 2

    def __init__(self, path: FilePath, message: str) -> None:
        self.path = as_path(path)
        self.message = message
        super().__init__(str(self))

    def where(self) -> str:
        """Return the place inside the file, which precedes the message."""
        return ""

    def __str__(self) -> str:
        return printable_message(f"{printable_path(self.path)}: {self.where()}{self.message}")


class GuestFileError(FileError):
    """A guest image is malformed or not for this machine; ``offset`` is the byte offset in the file."""

    def __init__(self, path: FilePath, message: str, *, offset: int | None = None) -> None:
        self.offset = offset
        super().__init__(path, message)

    def where(self) -> str:
        return "" if self.offset is None else f"offset {self.offset:#x}: "


class MachineFileError(FileError):
    """A machine description is malformed. ``key`` is the full path of the key, such as ``memory.ram.size``, and
    ``line`` its line in the file, None for a description that comes from no file.

    ``others`` are further errors of the same description, each shown on a line of its own; ``left_out`` is the number
    of those that are not shown.
    """

    def __init__(
        self,
        path: FilePath,
        message: str,
        *,
        key: str | None = None,
        line: int | None = None,
        others: Sequence[MachineFileError] = (),
        left_out: int = 0,
    ) -> None:
        self.key = key
        self.line = line
        self.others = tuple(others)
        self.left_out = left_out
        super().__init__(path, message)

    def where(self) -> str:
        return "" if self.key is None else f"{self.key}: "

    def __str__(self) -> str:
        path = printable_path(self.path)
        place = path if self.line is None else f"{path}:{self.line}"
        lines = [printable_message(f"{place}: {self.where()}{self.message}"), *map(str, self.others)]
        if self.left_out:
            lines.append(f"{path}: and {self.left_out} more")
        return "\n".join(lines)


class CombinedError(ArmVcpuError):
    """Several errors in what the user gave, one on each line; ``errors`` is not empty."""

    exit_status = 2

    def __init__(self, errors: Sequence[ArmVcpuError]) -> None:
        self.errors = tuple(errors)
        super().__init__()

    def __str__(self) -> str:
        return "\n".join(printable_message(line) for error in self.errors for line in str(error).split("\n"))


class OutputError(ArmVcpuError):
    """The requested output cannot be written: a full disk, or a reader that is gone."""

    exit_status = OUTPUT_FAILED


class UsageError(ArmVcpuError):
    """The command line or the caller asked for a contradiction."""

    exit_status = 2


class OutputCancelledError(OutputError):
    """The run was stopped while an output waited for its reader."""


class StoppedError(ArmVcpuError):
    """A limit or a signal ended the command, not its guest; ``status`` is that of the command."""

    def __init__(self, message: str, status: int) -> None:
        self.exit_status = status
        super().__init__(message)


class EngineError(ArmVcpuError):
    """The CPU engine is missing, is of another version, or does not behave as its self-check expects."""

    exit_status = 2


class WatchingError(EngineError):
    """The engine cannot report accesses to a watched range."""


class MemoryMapError(ArmVcpuError):
    """Two ranges of the memory map collide, or one lies where nothing can be mapped."""

    exit_status = 2


class Stage2Error(ArmVcpuError):
    """A stage-2 mapping was refused; the tables are unchanged. Addresses are IPAs in bytes."""

    def __init__(self, message: str, *, ipa: int, size: int) -> None:
        self.ipa = ipa
        self.size = size
        super().__init__(f"stage 2, IPA {ipa:#x} size {size:#x}: {message}")


class VCpuStateError(ArmVcpuError):
    """A vCPU operation was called in a state that does not allow it."""

    def __init__(self, vcpu_id: int, operation: str, found: str, expected: str) -> None:
        self.vcpu_id = vcpu_id
        self.operation = operation
        self.found = found
        self.expected = expected
        super().__init__(f"vCPU {vcpu_id}: {operation} needs state {expected}, found {found}")


class VCpuError(ArmVcpuError):
    """A vCPU or per-CPU operation failed for a reason other than its state."""
