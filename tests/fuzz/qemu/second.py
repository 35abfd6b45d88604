"""QEMU as second opinion: runs batches of cases in processes of QEMU, which share their memory with this one."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hcr
from tests.fuzz.qemu import cases, stage2
from tests.fuzz.qemu.cases import Case, Result

PROGRAM: Final = "qemu-system-aarch64"
JUDGE: Final = Path(__file__).with_name("judge.elf")
RAM: Final = 0x4000_0000
SIZE: Final = cases.END - RAM
SECONDS: Final = 120
"""For a batch, which takes a few."""
_MOST: Final = 4000
_CPUS: Final = {"max": "max,pauth-impdef=off,sme=off,lpa2=off"}
_HCR: Final = int(Hcr.of(VM=1, RW=1, IMO=1, FMO=1, AMO=1, TSC=1, TWI=1)) | 3 << 40
"""Like the guest's, and keys of pointer authentication are not trapped."""
_HEADER: Final = struct.Struct("<16Q")
_SHARED: Final = "/dev/shm"


def find() -> str | None:
    """The path of QEMU, None without it."""
    return shutil.which(PROGRAM)


def version() -> str:
    """What QEMU says it is; says what is missing without it."""
    path = find()
    if path is None:
        return f"{PROGRAM} is not installed"
    finished = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (finished.stdout.splitlines() or ["QEMU says nothing"])[0]


class HungError(RuntimeError):
    """A case that does not end on QEMU; ``number`` is its place in the batch."""

    def __init__(self, number: int) -> None:
        super().__init__(f"case {number} of the batch does not end on QEMU")
        self.number = number


class SecondOpinion:
    """A board with a CPU model: ``regions`` (base, size) of memory, ``contents`` (address, bytes) in it at first.

    ``window`` (base, bytes) is memory whose changes are told and undone, ``dump`` (base, size) memory that is told.
    ``elsewhere`` are blocks of 2 MiB of the guest with the physical addresses of those behind them.
    """

    def __init__(
        self,
        model: str,
        regions: Sequence[tuple[int, int]],
        contents: Iterable[tuple[int, bytes]] = (),
        *,
        window: tuple[int, bytes] = (0, b""),
        dump: tuple[int, int] = (0, 0),
        elsewhere: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._model, self._elsewhere = model, elsewhere
        self.failures: list[str] = []
        self._regions, self._contents, self._window, self._dump = regions, list(contents), window, dump

    def run(self, batch: Sequence[Case]) -> list[Result | None]:
        """Execute cases one after the other, each from its own state; None for one at which QEMU itself fails, of which
        :attr:`failures` has the complaints. Raises :class:`HungError`."""
        results: list[Result | None] = []
        while len(results) < len(batch):
            results += self._run_some(batch, len(results))
        return results

    def _run_some(self, batch: Sequence[Case], start: int) -> list[Result | None]:
        folder = _SHARED if os.access(_SHARED, os.W_OK) else None
        with tempfile.NamedTemporaryFile(dir=folder, prefix="second-opinion-") as file:
            file.truncate(SIZE)
            with mmap.mmap(file.fileno(), SIZE) as memory:
                count = self._fill(memory, batch, start)
                process = self._execute(file.name)
                done = _HEADER.unpack_from(memory, cases.HEADER - RAM)[14]
                found: list[Result | None] = [self._result(memory, number) for number in range(done)]
                if done != count:
                    if process == "":
                        raise HungError(start + done)
                    if "code should not be reached" not in process:
                        self._result(memory, done)
                        raise RuntimeError(f"QEMU ended at case {start + done}: {process}")
                    self.failures.append(process.splitlines()[-1])
                    found.append(None)
                return found

    def _result(self, memory: mmap.mmap, number: int) -> Result:
        size = cases.stride(self._dump[1])
        at = cases.RESULTS - RAM + number * size
        return cases.unpack(memory[at : at + size])

    def _fill(self, memory: mmap.mmap, batch: Sequence[Case], start: int) -> int:
        vtcr, vttbr, tables = stage2.build(self._model, self._regions, self._elsewhere)
        memory[vttbr - RAM : vttbr - RAM + len(tables)] = tables
        base, content = self._window
        place = cases.COPIED
        copies = []
        for address, data in [*self._contents, (base, content), (0, content)]:
            if not data:
                continue
            padded = data.ljust(-(-len(data) // 16) * 16, b"\0")
            memory[place - RAM : place - RAM + len(padded)] = padded
            if address:
                copies.append((place, address, len(padded)))
            original = place
            place += len(padded)
        table = place
        for copy in copies:
            struct.pack_into("<3Q", memory, place - RAM, *copy)
            place += 24
        assert place < cases.CASES
        at, count = cases.CASES, 0
        for case in batch[start : start + _MOST]:
            packed = case.packed()
            if at + len(packed) > cases.RESULTS:
                break
            if (count + 1) * cases.stride(self._dump[1]) > cases.END - cases.RESULTS:
                break
            memory[at - RAM : at - RAM + len(packed)] = packed
            at, count = at + len(packed), count + 1
        window = (base, len(content), original if content else 0)
        values = (cases.CASES, count, cases.RESULTS, cases.stride(self._dump[1]), _HCR, vtcr, vttbr)
        _HEADER.pack_into(memory, cases.HEADER - RAM, *values, table, len(copies), *window, *self._dump, 0, 0)
        return count

    def _execute(self, file: str) -> str:
        """Run QEMU on memory; what it has said, nothing if it did not end."""
        path = find()
        assert path is not None
        backend = f"memory-backend-file,id=ram,size={SIZE},mem-path={file},share=on"
        machine = "virt,gic-version=3,virtualization=on,memory-backend=ram"
        cpu = _CPUS.get(self._model, self._model)
        words = [
            path,
            "-object",
            backend,
            "-M",
            machine,
            "-cpu",
            cpu,
            "-m",
            f"{SIZE >> 20}M",
            "-accel",
            "tcg,thread=single",
        ]
        words += [
            "-display",
            "none",
            "-serial",
            "none",
            "-monitor",
            "none",
            "-net",
            "none",
            "-no-reboot",
            "-nodefaults",
        ]
        words += ["-device", f"loader,file={JUDGE},cpu-num=0"]
        try:
            finished = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return ""
        return finished.stderr.strip() or f"status {finished.returncode}"
