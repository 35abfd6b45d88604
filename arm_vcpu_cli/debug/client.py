"""The state of an attached debugger: its capabilities, its selections, and the answers it waits for."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.debug.numbering import Numbered, numbered
from arm_vcpu_cli.debug.target import Reason, Stop, Target, Watchpoint

PROCESS: Final = 1
"""The process id of the machine, the only process."""
ANY: Final = 0
ALL: Final = -1

BAD_ARGUMENT: Final = b"E16"
"""EINVAL."""
BAD_ADDRESS: Final = b"E0e"
"""EFAULT."""
OK: Final = b"OK"
UNKNOWN: Final = b""
"""The answer to an unsupported packet."""


Conditions = tuple[bytes, ...]
"""The conditions of a breakpoint, as agent expressions: the guest stops if one is true, or if there are none."""


class State(Enum):
    """Whether a debugger still controls the guest."""

    ATTACHED = "attached"
    DETACHED = "detached"
    """The debugger has left, and the guest continues."""
    KILLED = "killed"
    """The debugger asked to end the guest."""
    ENDED = "ended"
    """The debugger knows that the run is over."""


class Client:
    """A debugger. The packet handlers work on it and on its ``target``."""

    def __init__(
        self,
        target: Target,
        go: Callable[[Callable[[], Stop]], Stop],
        is_interrupted: Callable[[], bool],
        say: Callable[[str], None],
        monitor: Callable[[str], None],
        *,
        launched: bool = False,
        load_bias: int = 0,
    ) -> None:
        """``go`` runs the guest with the function that it receives, and may be interrupted, which ``is_interrupted``
        reports. ``say`` shows text while the debugger waits for an answer; ``monitor`` executes a user's command and
        prints its result. ``launched``: the guest was started for this debugger, and ends with it. ``load_bias`` is the
        offset of the guest from its link address, in bytes."""
        self.target = target
        self.go = go
        self.is_interrupted = is_interrupted
        self.say = say
        self.monitor = monitor
        self.launched = launched
        self.load_bias = load_bias
        self.state = State.ATTACHED
        self.last = Stop(Reason.STEP, target.current)
        """The last stop; a debugger that has just attached does not know it yet."""
        self.over = False
        """Whether the run is over and its guest is kept for inspection."""
        self.holds = False
        """Whether to keep every guest that ends, also after a regular end."""
        self.selected = target.current
        """The vCPU for packets about registers and memory."""
        self.resumed = target.current
        """The vCPU for the old resume packets and for reverse execution."""
        self.multiprocess = False
        self.reports_breakpoints: frozenset[Reason] = frozenset()
        """The kinds of breakpoints that the debugger wants reported by name."""
        self.without_acks = False
        self.is_lldb = False
        self.physical = False
        """Whether memory addresses are IPAs."""
        self.software: dict[int, Conditions] = {}
        self.hardware: dict[int, Conditions] = {}
        self.watchpoints: tuple[Watchpoint, ...] = ()
        self.registers: tuple[Numbered, ...] = numbered(target.registers())
        self.by_number: dict[int, Numbered] = {each.number: each for each in self.registers}
        self.documents: dict[str, bytes] = {}
        """Documents that ``qXfer`` reads in pieces, by kind."""

    def thread(self, vcpu: int) -> str:
        """Return the name of a vCPU's thread."""
        return f"p{PROCESS}.{vcpu + 1}" if self.multiprocess else f"{vcpu + 1:x}"

    def vcpu(self, text: bytes) -> int:
        """Return the vCPU of a thread, the selected one for "any" and "all". Raises ValueError if there is none."""
        found = thread_number(text)
        if found in (ANY, ALL):
            return self.selected
        if not 0 < found <= len(self.target.threads()):
            raise ValueError(f"no thread {found}")
        return found - 1

    def take_stop(self, stop: Stop) -> None:
        """Record a stop, and select the vCPU that has stopped."""
        self.last = stop
        self.selected = self.resumed = stop.vcpu

    def apply_breakpoints(self) -> None:
        """Pass the breakpoints to the target."""
        self.target.set_breakpoints(frozenset(self.software), frozenset(self.hardware))


def hex_number(text: bytes) -> int:
    """Parse a hexadecimal number of at most 64 bits. Raises ValueError."""
    if not text or len(text.lstrip(b"0")) > 16 or not text.isalnum():
        raise ValueError(f"{text!r} is no number")
    return int(text, 16)


def range_of(text: bytes) -> tuple[int, int]:
    """Parse ``ADDRESS,LENGTH`` within the address space. Raises ValueError."""
    first, comma, second = text.partition(b",")
    if not comma:
        raise ValueError("no length")
    address, length = hex_number(first), hex_number(second)
    return address, min(length, MASK64 + 1 - address)


def thread_number(text: bytes) -> int:
    """Parse the number in a thread's name: ``p1.2``, ``2``, :data:`ANY` or :data:`ALL`. Raises ValueError."""
    if text.startswith(b"p"):
        process, dot, text = text[1:].partition(b".")
        if process not in (b"-1", b"0") and hex_number(process) != PROCESS:
            raise ValueError("no such process")
        if not dot:
            return ALL
    return ALL if text == b"-1" else hex_number(text)
