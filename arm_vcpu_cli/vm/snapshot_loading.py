"""Reads a snapshot file: the machine that it describes, its guest, and the state to continue from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.description_document import description_of, without_files
from arm_vcpu_cli.board.placement import Extent
from arm_vcpu_cli.errors import ArmVcpuError, FileError, UsageError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.image import GuestImage, ImageKind, Segment
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.machine_host import engine_version
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.sizes import GIB, MIB
from arm_vcpu_cli.version import VERSION
from arm_vcpu_cli.vm.builder import Loaded
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.snapshot import identity, load_run, load_without_memory
from arm_vcpu_cli.vm.snapshot_file import SnapshotFile
from arm_vcpu_cli.vm.snapshot_pages import read_pages
from arm_vcpu_cli.vm.snapshot_plain import unpacked
from arm_vcpu_cli.vm.snapshot_saving import FORM, MACHINE, SEGMENT, STATE, deliveries_digest, layout_digest

if TYPE_CHECKING:
    from arm_vcpu_cli.vm.inputlog import InputLog

_MOST_TEXT: Final = 32 * MIB
"""The most bytes of a part that is parsed as a whole."""
_MOST_SEGMENTS: Final = GIB
"""The most bytes of the data of all segments."""
_KINDS: Final[tuple[ImageKind, ...]] = ("elf", "raw", "linux")


class Snapshot:
    """An open snapshot file; :meth:`close` it once its machine has been restored.

    ``description`` and ``image`` are those of the machine to build, with what was ``loaded`` into it. The image has
    symbols if the guest's file is still in its place.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`FileError`."""
        self._file = SnapshotFile(path)
        self.path: Final = path
        self.digest: Final = self._file.digest
        with self._reading():
            _check_versions(self._file.facts)
            self._exits: Final = self._file.facts.number("exits", MASK64)
            saved = self._plain(MACHINE)
            self.description: MachineDescription = _description(saved)
            self.loaded: Final = _loaded(saved)
            self.image: GuestImage = self._image(saved.part("image"))
            self._state: Final = self._plain(STATE)

    @property
    def exits(self) -> int:
        """The number of exits of the guest so far."""
        return self._exits

    def restore_run(self, run: GuestRun) -> None:
        """Let the watchers of a run continue those of the snapshot, if there were any. Raises :class:`FileError`."""
        with self._reading():
            if not self._state.is_none("run"):
                load_run(run, self._state.value("run"))

    def with_symbols_of(self, path: FilePath) -> None:
        """Load the symbols of the guest's file. Raises :class:`GuestFileError`, and :class:`UsageError` for another
        guest."""
        image = self._load(path)
        if identity(image) != identity(self.image):
            raise UsageError(f"{path} is not the guest of the snapshot {self.path}")
        self.image = image

    def place_in(self, log: InputLog) -> int:
        """Return the place of the snapshot in a recorded run, as the number of deliveries before it. Raises
        :class:`FileError` for a recording of another run."""
        try:
            journal = self._state.part("journal")
            facts, before = journal.part("facts"), journal.number("next", 1 << 32)
            mine = {name: facts.text(name) for name in facts.names()}
            digest = journal.text("digest")
        except ValueError as error:
            raise FileError(self.path, str(error)) from error
        if log.facts == {"snapshot": self.digest, "engine": engine_version()}:
            return 0
        if not mine:
            raise FileError(log.path, f"this is no recording of what comes after {self.path}")
        log.check(mine)
        if len(log.deliveries) < before or deliveries_digest(log.deliveries[:before]) != digest:
            raise FileError(log.path, f"what it recorded is not what came before {self.path}")
        return before

    def restore(self, machine: Machine) -> None:
        """Make a machine that was built for this snapshot, and started, continue from there. Raises :class:`FileError`;
        the machine is then unusable."""
        with self._reading():
            if self._state.text("layout") != layout_digest(machine.current.arch.state.layout):
                raise ValueError("it was taken with another build of the CPU engine")
            read_pages(self._file, machine)
            load_without_memory(machine, self._state.value("machine"))
            notes = self._state.value("notes")
            machine.notes = notes if isinstance(notes, dict) else {}
            for restored in machine.when_restored:
                restored()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn a mismatch into an error about the file, and close the file."""
        try:
            yield
        except ValueError as error:
            self.close()
            raise FileError(self.path, str(error)) from error
        except FileError as error:
            self.close()
            if error.path == self.path:
                raise
            raise FileError(self.path, f"its machine is none: {error.message}") from error
        except BaseException:
            self.close()
            raise

    def _plain(self, name: str) -> Saved:
        parts = self._file.named(name)
        if len(parts) != 1:
            raise ValueError(f"it has {len(parts)} parts {name}, expected one")
        saved = Saved(unpacked(self._file.read(parts[0], _MOST_TEXT)), name)
        if saved.number("form", MASK64) != FORM:
            raise ValueError(f"its part {name} has the form {saved.value('form')}, expected {FORM}")
        return saved

    def _image(self, saved: Saved) -> GuestImage:
        path, kind = Path(saved.text("path")), saved.text("kind")
        if kind not in _KINDS:
            raise ValueError(f"its guest is a {kind!r}, expected one of {', '.join(_KINDS)}")
        segments = [
            Segment(
                address=each.number("address", MASK64),
                data=b"",
                memory_size=each.number("memory_size", 1 << 48),
                readable=each.flag("readable"),
                writable=each.flag("writable"),
                executable=each.flag("executable"),
                name=each.text("name"),
            )
            for each in saved.parts("segments", None)
        ]
        if saved.flag("has_data"):
            segments = self._with_data(segments)
        image = GuestImage(
            path,
            kind,
            saved.number("entry", MASK64),
            tuple(segments),
            SymbolTable(),
            saved.integer("load_bias"),
            "" if saved.flag("has_data") else saved.text("digest"),
        )
        if identity(image)["digest"] != saved.text("digest"):
            raise ValueError("its guest does not have its digest")
        return image

    def _with_data(self, segments: list[Segment]) -> list[Segment]:
        parts = self._file.named(SEGMENT)
        if len(parts) != len(segments):
            raise ValueError(f"it has the data of {len(parts)} segments, expected {len(segments)}")
        left = _MOST_SEGMENTS
        found = []
        for part, segment in zip(parts, segments, strict=True):
            data = self._file.read(part, min(left, segment.memory_size))
            left -= len(data)
            found.append(replace(segment, data=data))
        return found

    def find_symbols(self) -> None:
        """Load the symbols of the guest's file, if it is still in its place and unchanged."""
        path = self.image.path
        # The file of a kernel has no symbols, and takes long to unpack.
        if self.image.kind != "linux" and os.path.isfile(path):  # noqa: PTH113
            with contextlib.suppress(ArmVcpuError):
                self.with_symbols_of(path)

    def _load(self, path: FilePath) -> GuestImage:
        boot = self.description.boot
        return load_guest(
            path, load_address=boot.load_address, ram_base=self.description.ram.base, kind=self.image.kind
        )


def snapshot_of(
    snapshot: str | os.PathLike[str] | Snapshot, guest: object, machine: object, overrides: Mapping[str, object]
) -> Snapshot:
    """Return an open snapshot, with the symbols of the file ``guest`` if there is one.

    Raises :class:`FileError`, and :class:`UsageError` for arguments that describe another machine.
    """
    given = [name for name, value in overrides.items() if value is not None and name != "semihosting_dir"]
    if machine is not None or given:
        what = given[0] if given else "machine"
        raise UsageError(f"{what}: the snapshot says what the machine is")
    found = snapshot if isinstance(snapshot, Snapshot) else Snapshot(Path(snapshot))
    try:
        if isinstance(guest, str | os.PathLike):
            found.with_symbols_of(Path(guest))
        elif guest is not None:
            raise UsageError("guest: with a snapshot, expected the path of the guest's file")
        elif found is not snapshot:
            found.find_symbols()
    except BaseException:
        found.close()
        raise
    folder = overrides.get("semihosting_dir")
    if folder is not None:
        found.description = replace(found.description, semihosting_dir=Path(str(folder)))
    return found


def _check_versions(facts: Saved) -> None:
    tool, engine = facts.text("tool"), facts.text("engine")
    if tool != VERSION:
        raise ValueError(f"a snapshot of armvcpu {tool}, and this is {VERSION}: take it again")
    if engine != engine_version():
        raise ValueError(f"a snapshot of the CPU engine {engine}, and this is {engine_version()}: take it again")


def _description(saved: Saved) -> MachineDescription:
    document: Any = saved.value("document")
    if not isinstance(document, dict):
        raise ValueError("its machine is no document")
    described = description_of(document, saved.text("name"))
    if described != without_files(described):
        raise ValueError("its machine names files")
    return described


def _loaded(saved: Saved) -> Loaded:
    extents = [
        Extent(each.number("start", MASK64), each.number("end", MASK64), each.text("name"))
        for each in saved.parts("extents", None)
    ]
    address = None if saved.is_none("dtb_address") else saved.number("dtb_address", MASK64)
    return Loaded(address, tuple(extents))
