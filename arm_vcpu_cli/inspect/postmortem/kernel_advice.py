"""The usual causes of failed Linux kernels: panics, a silent console, addresses without symbols."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.files import read_initrd
from arm_vcpu_cli.guest.initramfs import complaints
from arm_vcpu_cli.guest.linux import missing_consoles
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.printable import printable_path
from arm_vcpu_cli.vm.endings import Ending

_INIT: Final = "/init"
_RDINIT: Final = "rdinit="
_NO_INITRD: Final = "noinitrd"
_WITHOUT_INIT: Final = ("Unable to mount root fs", "No working init found", "Requested init")
"""The panic messages of a kernel that found no init program."""
_OOPS: Final = "Internal error: "
"""The first line of an oops (die() in arch/arm64/kernel/traps.c)."""
_DRIVER: Final = "Serial: AMBA"
"""The message that the PL011 driver prints when it starts."""
_CONSOLE: Final = "console [ttyAMA"
"""The message that a console prints when it starts."""
_PANICS: Final = (
    (
        "Unable to mount root fs",
        "The kernel found no root file system.",
        "give it an initial RAM disk with --initrd FILE; the machine has no disks",
    ),
    (
        "No working init found",
        "The root file system has no program to start, or it is not for AArch64.",
        "the archive needs an executable /init (rdinit=PATH in --append for another), statically linked or with its "
        "libraries",
    ),
    (
        "Requested init",
        "The program that init= or rdinit= names cannot be started.",
        "check that the initial RAM disk has it, as an AArch64 executable and with its libraries",
    ),
    (
        "Attempted to kill init",
        "The first process (init) exited or crashed, and a kernel cannot continue without it.",
        "the console shows its last messages; an init that has finished should power off",
    ),
    (
        "deadlocked on memory",
        "The kernel ran out of memory with no process left to kill.",
        "give the machine more with --memory SIZE",
    ),
    (
        "Out of memory",
        "The kernel ran out of memory.",
        "give the machine more with --memory SIZE",
    ),
    (
        "Failed to allocate",
        "The kernel had no memory left while it set itself up.",
        "give the machine more with --memory SIZE; check mem= on its command line, and /memory in an own device tree",
    ),
    (
        "Fatal exception",
        "The kernel took an exception in its own code that it could not handle (an oops).",
        "--symbols vmlinux (or System.map) adds function names to this report",
    ),
    (
        "sysrq triggered crash",
        "A user requested this crash (sysrq).",
        "",
    ),
)


def panic(evidence: Evidence) -> Advice | None:
    """A kernel panic, which states its reason."""
    if evidence.ending is not Ending.PANIC:
        return None
    oops = next((line.partition(_OOPS)[2] for line in evidence.log if _OOPS in line), None)
    if oops is not None:
        return Advice(
            f"The kernel took an exception in its own code that it could not handle (an oops): {oops}.",
            "its last messages, above, show where; the device that it was setting up may not be where its device tree "
            "says",
        )
    initrd = _useless_initrd(evidence)
    if initrd is not None:
        return initrd
    for text, meaning, step in _PANICS:
        if text in evidence.message:
            return Advice(meaning, step)
    shows = "its last messages, above, show" if evidence.log else "the console shows"
    return Advice(f"The kernel stopped itself; {shows} why.", "")


def _useless_initrd(evidence: Evidence) -> Advice | None:
    """An initial RAM disk from which the kernel started no program."""
    boot = evidence.description.boot
    if boot.initrd is None or not boot.initrd.is_file() or not any(text in evidence.message for text in _WITHOUT_INIT):
        return None
    arguments = boot.bootargs.split()
    if _NO_INITRD in arguments:
        return Advice(f"The kernel was told not to use its initial RAM disk ({_NO_INITRD}).", f"remove {_NO_INITRD}")
    init = next((word.removeprefix(_RDINIT) for word in reversed(arguments) if word.startswith(_RDINIT)), _INIT)
    try:
        reasons = list(complaints(read_initrd(boot.initrd), init))
    except GuestFileError:
        # The file is gone by now.
        return None
    if not reasons:
        return None
    return Advice(
        f"The kernel was given an initial RAM disk, {printable_path(boot.initrd.name)}, but {reasons[0]}.",
        "find . | cpio -o -H newc | gzip packs a folder, which needs the program to start as /init",
    )


def silent_kernel(evidence: Evidence) -> Advice | None:
    """A kernel that has printed nothing: its console starts late, and earlier messages are not shown."""
    if evidence.image_kind != "linux" or evidence.printed != 0 or evidence.ending is Ending.POWERED_OFF:
        return None
    arguments = evidence.description.boot.bootargs.split()
    if any(_CONSOLE in line for line in evidence.log):
        return Advice(
            "The kernel has printed nothing, although it has a console; the messages above are from its log buffer.",
            "a kernel whose command line has quiet prints warnings only" if "quiet" in arguments else "",
        )
    if any(_DRIVER in line for line in evidence.log):
        return Advice(
            "The kernel has printed nothing, because it found no console; the messages above are from its log buffer.",
            "the command line needs console=ttyAMA0, and an own device tree the PL011 with its clocks and interrupt",
        )
    if evidence.log:
        return Advice(
            "The kernel has printed nothing, because its console starts late; the messages above are from its log "
            "buffer.",
            'show messages as they come, from the first line on: --append "earlycon console=ttyAMA0"',
        )
    if "earlycon" in evidence.description.boot.bootargs:
        return Advice(
            "The kernel has printed nothing, not even by earlycon: it stopped very early, or has no driver for the "
            "PL011.",
            "armvcpu probe --for GUEST lists what it needs and what this machine lacks",
        )
    return Advice(
        "The kernel has printed nothing. Its console starts late, and earlier messages are only buffered.",
        'show messages from the first line on: --append "earlycon console=ttyAMA0"',
    )


def other_console(evidence: Evidence) -> Advice | None:
    """A kernel whose command line names another console."""
    consoles = missing_consoles(evidence.description.boot.bootargs)
    if evidence.image_kind != "linux" or not consoles:
        return None
    return Advice(
        f"The kernel prints to {', '.join(consoles)}, which this machine does not have.",
        'use --append "console=ttyAMA0"',
    )


def no_symbols(evidence: Evidence) -> Advice | None:
    """A crashed kernel whose report shows addresses without symbols."""
    if evidence.has_symbols or evidence.image_kind != "linux" or evidence.ending not in (Ending.PANIC, Ending.FAULT):
        return None
    if evidence.log:
        # The kernel's messages contain symbol names.
        return None
    return Advice(
        "The kernel has no symbols, so addresses have no names.",
        "--symbols reads them from its vmlinux or System.map, or from a copy of the guest's /proc/kallsyms",
    )
