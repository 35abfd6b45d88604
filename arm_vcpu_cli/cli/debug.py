"""``armvcpu debug``."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.cli.debugging import Debugging
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import GuestCommand, guest_arguments, guest_options, report_options
from arm_vcpu_cli.cli.session import Loaded, run_guest
from arm_vcpu_cli.debug.endpoint import Endpoint
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.printable import printable, printable_path
from arm_vcpu_cli.record import replace
from arm_vcpu_cli.vm.endings import STATUS_OFF, Ending, RunResult

if TYPE_CHECKING:
    from arm_vcpu_cli.guest.symbols import SymbolTable

_SYMBOL_ELF: Final = "arm_vcpu_cli.debug.symbol_elf"
"""Loaded only for symbols that debuggers cannot read themselves."""
_PROGRAMS: Final = ("gdb-multiarch", "aarch64-linux-gnu-gdb", "aarch64-none-elf-gdb", "aarch64-elf-gdb", "gdb", "lldb")
"""The debuggers to look for, in order of preference."""
_ARCHITECTURE: Final = ("-nx", "-batch", "-ex", "set architecture aarch64")
_HOOK: Final = """define hookpost-monitor
python gdb.execute("maintenance flush register-cache", to_string=True)
end
"""
"""Commands such as `monitor goto` change registers that gdb has already read."""
_LOOK_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 3.0
"""Seconds that a debugger has to exit after the run before it is killed."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGQUIT)


@click.command("debug", cls=GuestCommand, short_help="Run a guest in gdb or lldb.")
@guest_options
@guest_arguments
@report_options("-o")
@click.option(
    "--debugger",
    metavar="COMMAND",
    help="The debugger, with options if needed [default: gdb-multiarch, another gdb, or lldb].",
)
def command(debugger: str | None, **options: Any) -> int:
    """Start GUEST, stopped before its first instruction, under a debugger, which has the terminal. The guest's output
    appears above the debugger's prompt; it has no input. Ctrl-C stops the guest. When you leave the debugger, the guest
    ends.

    The debugger gets the symbols of GUEST, or those that --symbols names, a System.map too. `monitor help` lists the
    commands that armvcpu adds.

    \b
    Examples:
      armvcpu debug samples/hello/hello.elf
      armvcpu debug --smp 4 --debugger lldb kernel.elf
      armvcpu debug --symbols System.map vmlinuz --append "console=ttyAMA0"
      armvcpu debug --debugger "gdb-multiarch -batch -x script.gdb" guest.elf
    """
    guest = GuestOptions(**options, repeatable=True)
    if guest.from_stdin:
        raise UsageError("-: the debugger has stdin; expected a guest from a file")
    found = _debugger(debugger, guest.file)
    with _terminal_kept():
        return run_guest(guest, debug=partial(_Attached, found))


# Which debugger ---------------------------------------------------------------------------------------------------


def _debugger(wanted: str | None, guest: FilePath) -> list[str]:
    """Return the command line of the debugger. Raises UsageError if none is installed."""
    if wanted is not None:
        try:
            words = shlex.split(wanted)
        except ValueError as error:
            raise UsageError(f"--debugger {printable(wanted)}: {error}") from error
        program = shutil.which(words[0]) if words else None
        if program is None:
            raise UsageError(f"--debugger {printable(wanted)}: no such program")
        return [program, *words[1:]]
    for name in _PROGRAMS:
        program = shutil.which(name)
        if program is not None and (name != "gdb" or _knows_aarch64(program)):
            return [program]
    raise UsageError(
        f"no debugger for AArch64 is installed, such as gdb-multiarch or lldb; to use one on another machine, type: "
        f"armvcpu run --gdb 1234 --wait {printable_path(guest)}"
    )


def _knows_aarch64(program: str) -> bool:
    finished = subprocess.run([program, *_ARCHITECTURE], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return finished.returncode == 0 and b"Undefined" not in finished.stderr


def _arguments(command: Sequence[str], place: Endpoint, file: Path | None, folder: Path) -> list[str]:
    """Return the command line with the arguments that connect it to ``place`` before the user's own."""
    program, *own = command
    files = [] if file is None else [str(file)]
    if "lldb" in Path(program).name:
        # lldb executes commands after loading the file.
        return [program, *files, "-o", f'process connect "{place.for_lldb}"', *own]
    script = folder / "armvcpu.gdb"
    script.write_text(f"{_HOOK}target remote {place.for_gdb}\n", encoding="utf-8")
    return [program, "-q", "-x", str(script), *own, *files]


def _symbols(loaded: Loaded, folder: Path) -> Path | None:
    """Return a file with the guest's symbols that a debugger can read, None without symbols."""
    image, options = loaded.image, loaded.options
    source = options.symbols
    if source is None:
        # A snapshot stores the name of the file that its guest was loaded from.
        path = Path(image.path)
        return path if image.kind == "elf" and path.is_file() else None
    with source.open("rb") as file:
        if file.read(4) == b"\x7fELF":
            return source
    symbols: SymbolTable = image.symbols
    made = folder / f"{source.name}.elf"
    made.write_bytes(import_module(_SYMBOL_ELF).symbol_elf(symbols))
    return made


# Running it -------------------------------------------------------------------------------------------------------


class _Attached(Debugging):
    """Runs a debugger that connects to a private socket."""

    def __init__(self, command: Sequence[str], loaded: Loaded) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="armvcpu-")
        folder = Path(self._folder.name)
        try:
            super().__init__(Endpoint(path=folder / "gdb.sock"), wait=True, launched=True)
            arguments = _arguments(command, self.place, _symbols(loaded, folder), folder)
            self._process = _start(arguments)
        except BaseException:
            self._folder.cleanup()
            raise

    def run(self, opened: Machine, watchdog: Watchdog) -> RunResult:
        """Run the guest; see :class:`Debugging`. The debugger may outlive the guest."""
        waiting = threading.Thread(target=self._end_with_it, args=(watchdog,), name="armvcpu-debugger-end", daemon=True)
        waiting.start()
        result = super().run(opened, watchdog)
        if result.ending is Ending.INTERRUPTED and not watchdog.signalled:
            # A user who has left the debugger knows how the run ended.
            result, self._has_ended = replace(result, status=STATUS_OFF), True
        while not watchdog.has_fired():
            waiting.join(_LOOK_SECONDS)
        return result

    def _end_with_it(self, watchdog: Watchdog) -> None:
        """End the run when the debugger ends, which may have detached before, or never attached."""
        self._process.wait()
        # The watchdog may be closed by now.
        with suppress(OSError):
            watchdog.interrupt()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        super().__exit__()
        self._folder.cleanup()


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a debugger, which handles Ctrl-C from now on."""
    sys.stdout.flush()
    try:
        process = subprocess.Popen(arguments)
    except OSError as error:
        raise UsageError(f"{printable_path(arguments[0])}: {error.strerror}") from error
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return process


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Restore the terminal and the signal handlers at the end, whatever the debugger does to them."""
    terminal = sys.stdin.fileno() if os.isatty(sys.stdin.fileno()) else None
    modes = None if terminal is None else termios.tcgetattr(terminal)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if terminal is not None and modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
