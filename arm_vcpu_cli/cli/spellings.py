"""Options of QEMU, kvmtool and Firecracker, and their equivalents on this command line.

This module is loaded only for a command line that cannot be meant for this command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.board.schema import CPU_MODELS, GIC_VERSIONS
from arm_vcpu_cli.record import Record

MEMORY_SIZE: Final = re.compile(r"[0-9]+([KMGT](i?B)?)?", re.ASCII | re.IGNORECASE)
_NO_DISKS: Final = "no counterpart, there are no disks"
_NO_NETWORK: Final = "no counterpart, there is no network"
_NO_SCREEN: Final = "no counterpart, the console is a UART on stdin and stdout"
_NO_MONITOR: Final = "no counterpart, but gdb's `monitor help` with --gdb, and armvcpu walk"
_CONSOLE: Final = "not needed, the console is on stdin and stdout"
_SNAPSHOTS: Final = "armvcpu snapshot saves a machine, and --from FILE continues from there"
_FIRMWARE: Final = "for flash at address 0 write a machine file, such as samples/uboot/uboot.toml"
_LARGEST_CONFIGURATION: Final = 1 << 20
_LOG_ITEMS: Final = frozenset(
    "out_asm in_asm op op_opt op_ind int exec cpu fpu mmu pcall cpu_reset unimp guest_errors page nochain tid".split()
)


class Answer(Record):
    """The replacement of an option: ``words`` in its place, ``guest`` if it names the guest, the guest's ``arguments``
    at the end, or a ``command`` other than `run`. ``note`` is a further remark."""

    words: tuple[str, ...] = ()
    guest: str | None = None
    arguments: tuple[str, ...] = ()
    command: str | None = None
    note: str = ""


class Spelling(Record):
    """An option of another tool, with a function from its value (empty if it ``takes`` none) to its answer."""

    answer: Callable[[str], Answer]
    takes: bool = True


def _option(name: str) -> Spelling:
    """The equivalent option, called ``name`` here."""
    return Spelling(lambda value: Answer((name, value)))


def _noted(note: str, *, takes: bool = True) -> Spelling:
    """A note only, without a replacement."""
    return Spelling(lambda _value: Answer(note=note), takes)


def _flag(note: str) -> Spelling:
    return _noted(note, takes=False)


def _fields(value: str) -> tuple[str, dict[str, str]]:
    """The first field, without a name, and the others by name: ``virt,gic-version=3``."""
    pieces = [piece.partition("=") for piece in value.split(",")]
    first = pieces[0][0] if pieces and not pieces[0][1] else ""
    return first, {name: content for name, equals, content in pieces if equals}


def _guest(value: str) -> Answer:
    return Answer(guest=value)


def _firmware(value: str) -> Answer:
    return Answer(guest=value, note=_FIRMWARE)


def _cpus(value: str) -> Answer:
    first, fields = _fields(value)
    number = first or fields.get("cpus", "")
    return Answer(("--smp", number)) if number else Answer(note="the number of CPUs is --smp N")


def _memory(value: str) -> Answer:
    first, fields = _fields(value)
    size = first or fields.get("size", "")
    # The default unit is MiB.
    return Answer(("--memory", f"{size}M" if size.isdigit() else size)) if size else Answer(note="--memory SIZE")


def _machine(value: str) -> Answer:
    first, fields = _fields(value)
    name = first or fields.get("type", "virt")
    notes = [] if name.startswith("virt") else [f"no machine {name}, only virt and what a machine file describes"]
    version = fields.get("gic-version", "")
    words = ("--gic", version) if version in map(str, GIC_VERSIONS.values()) else ()
    if any(fields.get(name) == "on" for name in ("virtualization", "secure")):
        notes.append("the guest starts at EL1 and has neither EL2 nor EL3")
    return Answer(words, note="; ".join(notes))


def _cpu(value: str) -> Answer:
    name, _, features = value.partition(",")
    note = "features are [cpu.features] of a machine file" if features else ""
    if name in CPU_MODELS:
        return Answer(("--cpu", name), note=note)
    return Answer(note=f"no model {name}, only {', '.join(CPU_MODELS)}")


def _interrupt_controller(value: str) -> Answer:
    version = GIC_VERSIONS.get(value.partition("-")[0])
    return Answer(note="--gic 2 or --gic 3") if version is None else Answer(("--gic", str(version)))


def _device(value: str) -> Answer:
    name, fields = _fields(value)
    if name != "loader" or "file" not in fields:
        network = any(part in value for part in ("net", "e1000"))
        return Answer(note=_NO_NETWORK if network else "no counterpart, there are neither disks nor buses")
    if "addr" in fields:
        return Answer(("--load", f"{fields['file']}@{fields['addr']}"))
    return Answer(guest=fields["file"])


def _log(value: str) -> Answer:
    items = frozenset(value.split(","))
    if not items & _LOG_ITEMS and "=" not in value and not value.startswith("trace:"):
        # kvmtool's.
        return Answer(note=_NO_DISKS)
    if "int" in items:
        return Answer(("--el1",), command="trace")
    return Answer(command="trace", note="a trace has exits, and with --el1 exceptions; there is no log of instructions")


def _log_file(value: str) -> Answer:
    return Answer(("-o", value), command="trace")


def _trace_events(_value: str) -> Answer:
    return Answer(command="trace", note="--only, --events and --device choose what is logged")


def _debugger(value: str) -> Answer:
    place = value.partition(",")[0]
    if place.startswith(("tcp:", "unix:")):
        return Answer(("--gdb", place.removeprefix("tcp:").removeprefix(":")))
    return Answer(note="--gdb [HOST:]PORT or --gdb unix:PATH")


def _serial(value: str) -> Answer:
    kind, _, path = value.partition(":")
    return Answer(note=f"the console is stdout: > {path}" if kind == "file" else _CONSOLE)


def _semihosting(value: str) -> Answer:
    arguments = tuple(piece[len("arg=") :] for piece in value.split(",") if piece.startswith("arg="))
    return Answer(arguments=arguments, note="" if arguments else "semihosting is on; --semihosting-dir DIR opens files")


def _clock_of_instructions(_value: str) -> Answer:
    return Answer(("--clock", "instructions"))


def _configuration(value: str) -> Answer:
    """The settings of Firecracker's configuration file that have an equivalent."""
    boot, machine = _part(value, "boot-source"), _part(value, "machine-config")
    words: tuple[str, ...] = ()
    for table, key, option, unit in (
        (boot, "initrd_path", "--initrd", ""),
        (boot, "boot_args", "--append", ""),
        (machine, "vcpu_count", "--smp", ""),
        (machine, "mem_size_mib", "--memory", "M"),
    ):
        if isinstance(table.get(key), (str, int)):
            words += (option, f"{table[key]}{unit}")
    kernel = boot.get("kernel_image_path")
    if isinstance(kernel, str):
        return Answer(words, guest=kernel, note="drives and network interfaces have no counterpart")
    return Answer(
        note="kernel_image_path is GUEST, initrd_path --initrd, boot_args --append, vcpu_count --smp, "
        "mem_size_mib --memory"
    )


def _part(name: str, key: str) -> Mapping[str, object]:
    path = Path(name)
    try:
        document = json.loads(path.read_bytes()[:_LARGEST_CONFIGURATION]) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    part = document.get(key) if isinstance(document, dict) else None
    return part if isinstance(part, dict) else {}


QEMU: Final[Mapping[str, Spelling]] = MappingProxyType(
    {
        "kernel": Spelling(_guest),
        "initrd": _option("--initrd"),
        "append": _option("--append"),
        "dtb": _option("--dtb"),
        "seed": _option("--seed"),
        "smp": Spelling(_cpus),
        "m": Spelling(_memory),
        "M": Spelling(_machine),
        "machine": Spelling(_machine),
        "cpu": Spelling(_cpu),
        "device": Spelling(_device),
        "bios": Spelling(_firmware),
        "pflash": Spelling(_firmware),
        "semihosting": _flag("not needed, semihosting is on; --semihosting-dir DIR opens files"),
        "semihosting-config": Spelling(_semihosting),
        "icount": Spelling(_clock_of_instructions),
        "d": Spelling(_log),
        "D": Spelling(_log_file),
        "trace": Spelling(_trace_events),
        "serial": Spelling(_serial),
        "nographic": _flag(_CONSOLE),
        "display": _noted(_NO_SCREEN),
        "vga": _noted(_NO_SCREEN),
        "vnc": _noted(_NO_SCREEN),
        "parallel": _noted(_NO_SCREEN),
        "chardev": _noted(_CONSOLE),
        "s": Spelling(lambda _value: Answer(("--gdb", "1234")), takes=False),
        "S": Spelling(lambda _value: Answer(("--wait",)), takes=False),
        "gdb": Spelling(_debugger),
        "monitor": _noted(_NO_MONITOR),
        "mon": _noted(_NO_MONITOR),
        "qmp": _noted(_NO_MONITOR),
        "drive": _noted(_NO_DISKS),
        "blockdev": _noted(_NO_DISKS),
        "hda": _noted(_NO_DISKS),
        "cdrom": _noted(_NO_DISKS),
        "sd": _noted(_NO_DISKS),
        "fsdev": _noted(_NO_DISKS),
        "virtfs": _noted(_NO_DISKS),
        "snapshot": _flag(_NO_DISKS),
        "net": _noted(_NO_NETWORK),
        "nic": _noted(_NO_NETWORK),
        "netdev": _noted(_NO_NETWORK),
        "fda": _noted(_NO_DISKS),
        "mtdblock": _noted(_NO_DISKS),
        "boot": _noted("not needed, the guest that you name is started"),
        "loadvm": _noted(_SNAPSHOTS),
        "incoming": _noted(_SNAPSHOTS),
        "singlestep": _flag("not needed, armvcpu trace logs exits whatever the engine does at once"),
        "one-insn-per-tb": _flag("not needed, armvcpu trace logs exits whatever the engine does at once"),
        "dfilter": _noted("armvcpu trace chooses by --only, --events and --device"),
        "uuid": _noted("not needed"),
        "full-screen": _flag(_NO_SCREEN),
        "watchdog-action": _noted("no counterpart"),
        "action": _noted("no counterpart"),
        "mem-path": _noted("no counterpart"),
        "mem-prealloc": _flag("no counterpart"),
        "numa": _noted("no counterpart"),
        "overcommit": _noted("no counterpart"),
        "sandbox": _noted("no counterpart; see armvcpu help security"),
        "runas": _noted("no counterpart"),
        "readconfig": _noted("a machine file (-m) describes a machine here"),
        "msg": _noted("not needed"),
        "L": _noted("not needed"),
        "echr": _noted("no counterpart, Ctrl-A is the escape character"),
        "usbdevice": _noted("no counterpart, there is no USB"),
        "audiodev": _noted("no counterpart, there is no sound"),
        "usb": _flag("no counterpart, there is no USB"),
        "audio": _noted("no counterpart, there is no sound"),
        "object": _noted("no counterpart"),
        "global": _noted("no counterpart"),
        "fw_cfg": _noted("no counterpart"),
        "plugin": _noted("no counterpart; see armvcpu trace and armvcpu stat"),
        "accel": _noted("not needed, every guest is emulated"),
        "enable-kvm": _flag("not needed, every guest is emulated"),
        "no-reboot": _flag("not needed, a reset ends the run unless --reboot is given"),
        "no-shutdown": _flag("no counterpart, the run ends with the guest"),
        "rtc": _noted("the time at reset is clock.epoch of a machine file"),
        "name": _noted("not needed"),
        "nodefaults": _flag("not needed"),
        "no-user-config": _flag("not needed"),
        "daemonize": _flag("no counterpart"),
        "pidfile": _noted("no counterpart"),
    }
)
"""The options by name without dashes; single-letter options have one dash, the others one or two."""

KVMTOOL: Final[Mapping[str, Spelling]] = MappingProxyType(
    {
        "k": Spelling(_guest),
        "kernel": Spelling(_guest),
        "c": Spelling(_cpus),
        "cpus": Spelling(_cpus),
        "m": Spelling(_memory),
        "mem": Spelling(_memory),
        "p": _option("--append"),
        "params": _option("--append"),
        "i": _option("--initrd"),
        "initrd": _option("--initrd"),
        "f": Spelling(_firmware),
        "firmware": Spelling(_firmware),
        "flash": Spelling(_firmware),
        "irqchip": Spelling(_interrupt_controller),
        "d": _noted(_NO_DISKS),
        "disk": _noted(_NO_DISKS),
        "9p": _noted(_NO_DISKS),
        "n": _noted(_NO_NETWORK),
        "network": _noted(_NO_NETWORK),
        "console": _noted(_CONSOLE),
        "tty": _noted(_CONSOLE),
        "rng": _flag("not needed, the device tree has seeds and TRNG calls are answered"),
        "name": _noted("not needed"),
        "sdl": _flag(_NO_SCREEN),
        "vnc": _flag(_NO_SCREEN),
        "balloon": _flag("no counterpart"),
        "debug": _flag("see armvcpu trace"),
    }
)

FIRECRACKER: Final[Mapping[str, Spelling]] = MappingProxyType(
    {
        "config-file": Spelling(_configuration),
        "kernel-path": Spelling(_guest),
        "kernel-opts": _option("--append"),
        "initrd-path": _option("--initrd"),
        "ncpus": Spelling(_cpus),
        "root-drive": _noted(_NO_DISKS),
        "tap-device": _noted(_NO_NETWORK),
        "api-sock": _noted("no counterpart, a run is described by its options and a machine file"),
        "no-api": _flag("not needed"),
        "id": _noted("not needed"),
        "boot-timer": _flag("no counterpart; see armvcpu trace"),
        "log-path": _noted("see armvcpu trace -o FILE"),
        "level": _noted("see armvcpu trace"),
        "metrics-path": _noted("see armvcpu stat -o FILE"),
        "seccomp-filter": _noted("not needed"),
        "no-seccomp": _flag("not needed"),
    }
)

TOOLS: Final[Mapping[str, Mapping[str, Spelling]]] = MappingProxyType(
    {"QEMU": QEMU, "kvmtool": KVMTOOL, "Firecracker": FIRECRACKER}
)
PROGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "qemu": "QEMU",
        "qemu-system-aarch64": "QEMU",
        "qemu-system-arm": "QEMU",
        "qemu-kvm": "QEMU",
        "lkvm": "kvmtool",
        "kvmtool": "kvmtool",
        "lkvm-static": "kvmtool",
        "firecracker": "Firecracker",
        "firectl": "Firecracker",
    }
)
"""The words that a pasted command line may begin with."""
