"""A guest's own watchpoints: at EL1 and EL0, loads and stores, by mask and by byte; QEMU agrees."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from tests.integration.command import GUARD_SECONDS, GUESTS, SAMPLES, armvcpu
from tests.support.tools import missing, require_file, require_program

GUEST = GUESTS / "watchpoints.elf"
SAID = b"d6000062 00000000 \nd2000062 00000007 \nd2000022 0000000c \n"
"""ESR_EL1 and the distance of FAR_EL1: a store at EL1, one at EL0, a load at EL0."""


@pytest.mark.parametrize("model", ["cortex-a53", "max"])
def test_they_fire_where_they_should(model: str) -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    finished = armvcpu("run", "--cpu", model, GUEST)
    assert (finished.status, finished.out) == (0, SAID)


def test_they_fire_where_el2_traps_the_debug_registers(tmp_path: Path) -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    machine = tmp_path / "machine.toml"
    machine.write_text('[el2]\nmdcr = ["TDA", "TDOSA"]\n')
    finished = armvcpu("trace", "-m", machine, "--format", "jsonl", GUEST)
    assert (finished.status, finished.out) == (0, SAID)
    assert '"SysRegWrite":9' in finished.err


def test_they_are_exceptions_of_el1_and_no_exits() -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    finished = armvcpu("trace", "--format", "jsonl", "--el1", GUEST)
    fired = [line for line in finished.err.splitlines() if "Watchpoint" in line]
    assert len(fired) == 3
    assert all('"type":"exception"' in line for line in fired)


def test_qemu_says_the_same() -> None:
    qemu = require_program("qemu-system-aarch64")
    machine = ("-M", "virt", "-cpu", "cortex-a72", "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *machine, "-kernel", GUEST],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert finished.stdout.replace(b"\r", b"") == SAID


def test_perf_counts_the_stores_to_a_variable_under_linux(tmp_path: Path) -> None:
    """The kernel disables the watchpoint at each hit, and steps over the store."""
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    build = SAMPLES / "linux" / "build"
    kernel, initrd = (require_file(str(build / name)) for name in ("vmlinuz", "initrd.gz"))
    program = (GUESTS / "linux" / "perf_watch.elf").read_bytes()
    files = gzip.compress(cpio_entry("perf_watch", program, 0o100755) + cpio_entry("TRAILER!!!", b"", 0), mtime=0)
    both = tmp_path / "initrd.gz"
    both.write_bytes(Path(initrd).read_bytes() + files)
    finished = armvcpu("run", "--smp", "2", kernel, "--initrd", both, stdin=b"/perf_watch; poweroff -f\n")
    assert finished.status == 0
    assert b"stores 17\r\n" in finished.out
    assert b"6 breakpoint and 4 watchpoint registers" in finished.out


def cpio_entry(name: str, data: bytes, mode: int) -> bytes:
    """A file in an archive of the format that kernels read."""
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))
