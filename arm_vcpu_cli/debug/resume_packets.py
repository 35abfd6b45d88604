"""The packets that run the guest, forward and back, and the answer to each, which reports why it stopped.

Each gets exactly one answer: a debugger would take a second one for the answer to its next packet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.agent_expression import ExpressionError, evaluate
from arm_vcpu_cli.debug.client import (
    ALL,
    ANY,
    BAD_ARGUMENT,
    PROCESS,
    Client,
    State,
    hex_number,
    thread_number,
)
from arm_vcpu_cli.debug.numbering import PC
from arm_vcpu_cli.debug.target import Access, Reason, Stop, Target
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.vm.endings import STATUS_FAULT, STATUS_NO_PROGRESS

Handler = Callable[[Client, bytes], bytes]

ACTIONS: Final = b"vCont;c;C;s;S;t;r"
_SIGINT, _SIGTRAP, _SIGABRT = 2, 5, 6
"""Signals as the protocol numbers them."""
WORTH_A_LOOK: Final = frozenset({STATUS_FAULT, STATUS_NO_PROGRESS})
"""The exit statuses of unintended ends: the debugger can inspect the guest before the run is over."""
_WATCHES: Final[Mapping[Access, str]] = MappingProxyType(
    {Access.WRITE: "watch", Access.READ: "rwatch", Access.READ | Access.WRITE: "awatch"}
)


class _Step(Record):
    """A vCPU is to execute one instruction, and more while its PC is in ``start`` to ``end`` (exclusive)."""

    vcpu: int
    start: int = 0
    end: int = 0


# Stops ------------------------------------------------------------------------------------------------------------


def stop_reply(client: Client, stop: Stop) -> bytes:
    """Return the answer that reports a stop."""
    if stop.reason is Reason.ENDED and not client.over:
        return _exit(client, stop)
    reason = _reason(client, stop)
    pc = client.by_number[PC]
    try:
        place = pc.encoded(client.target.read_register(stop.vcpu, pc.register.name)).decode()
        return f"{reason}thread:{client.thread(stop.vcpu)};{PC:x}:{place};core:{stop.vcpu:x};".encode()
    except ValueError:
        return f"{reason}thread:{client.thread(stop.vcpu)};".encode()


def _exit(client: Client, stop: Stop) -> bytes:
    client.state = State.ENDED
    return f"W{stop.status & 0xFF:02x}{f';process:{PROCESS:x}' if client.multiprocess else ''}".encode()


def _reason(client: Client, stop: Stop) -> str:
    if stop.reason is Reason.WATCHPOINT and stop.watchpoint is not None:
        return f"T{_SIGTRAP:02x}{_WATCHES[stop.watchpoint.access]}:{stop.address:x};"
    if stop.reason in client.reports_breakpoints:
        return f"T{_SIGTRAP:02x}{stop.reason.value}:;"
    if stop.reason is Reason.HISTORY_BEGIN:
        return f"T{_SIGTRAP:02x}replaylog:begin;"
    signal = {Reason.PAUSE: _SIGINT, Reason.ENDED: _SIGABRT}.get(stop.reason, _SIGTRAP)
    return f"T{signal:02x}"


def _why(client: Client, _argument: bytes) -> bytes:
    return stop_reply(client, client.last)


# Forward ----------------------------------------------------------------------------------------------------------


def _run(client: Client, move: Callable[[], Stop]) -> bytes:
    """Resume the guest, and return the one answer to the packet."""
    if client.over:
        # The debugger has inspected the ended guest.
        client.over = False
        return _exit(client, client.last)
    stop = client.go(partial(_until_worth_it, client, move))
    client.take_stop(stop)
    if stop.reason is Reason.ENDED and (client.holds or stop.status in WORTH_A_LOOK):
        client.over = True
        client.say(f"{stop.message}\nThe run ends here: continue for its exit status.\n")
    return stop_reply(client, stop)


def _until_worth_it(client: Client, move: Callable[[], Stop]) -> Stop:
    """Resume until a stop other than a breakpoint whose condition is false."""
    while True:
        stop = move()
        if _is_met(client, stop):
            return stop
        if client.is_interrupted():
            return replace(stop, reason=Reason.PAUSE)


def _is_met(client: Client, stop: Stop) -> bool:
    places = {Reason.SOFTWARE_BREAKPOINT: client.software, Reason.HARDWARE_BREAKPOINT: client.hardware}
    if stop.reason not in places:
        return True
    target, vcpu = client.target, stop.vcpu
    conditions = places[stop.reason].get(target.read_register(vcpu, "pc"))

    def register(number: int) -> int:
        return target.read_register(vcpu, client.by_number[number].register.name)

    def memory(address: int, size: int) -> bytes:
        return target.read_memory(vcpu, address, size)

    try:
        return not conditions or any(evaluate(each, register, memory) for each in conditions)
    except (ExpressionError, UsageError):
        # The debugger evaluates it too, and reports the error to its user.
        return True


def _move(client: Client, step: _Step | None) -> Callable[[], Stop]:
    target = client.target
    if step is None:
        return target.resume
    wanted = step

    def move() -> Stop:
        while True:
            stop = target.step(wanted.vcpu)
            if stop.reason is not Reason.STEP:
                return stop
            if client.is_interrupted():
                return replace(stop, reason=Reason.PAUSE)
            if not wanted.start <= target.read_register(wanted.vcpu, "pc") < wanted.end:
                return stop

    return move


def _continue(client: Client, argument: bytes) -> bytes:
    _go_to(client, argument)
    return _run(client, _move(client, None))


def _step(client: Client, argument: bytes) -> bytes:
    _go_to(client, argument)
    return _run(client, _move(client, _Step(client.resumed)))


def _continue_with_signal(client: Client, argument: bytes) -> bytes:
    # The guest has no signals.
    return _continue(client, argument.partition(b";")[2])


def _step_with_signal(client: Client, argument: bytes) -> bytes:
    return _step(client, argument.partition(b";")[2])


def _go_to(client: Client, address: bytes) -> None:
    if address:
        client.target.write_register(client.resumed, "pc", hex_number(address))


def _resume(client: Client, argument: bytes) -> bytes:
    """Answer ``vCont``: each thread takes the first action that names it. All vCPUs run as the guest's schedule
    demands."""
    return _run(client, _move(client, _wanted_step(client, argument)))


def _wanted_step(client: Client, argument: bytes) -> _Step | None:
    """Return the requested step, None to continue. Raises ValueError for an invalid action.

    Threads that are not named run too. gdb names a single one for scheduler-locking, and also when it steps over a
    breakpoint or continues from a watchpoint whose condition is false: holding the others would change the run.
    """
    steps = []
    named: set[int] = set()
    for text in argument.split(b";"):
        action, _, thread = text.partition(b":")
        number = thread_number(thread) if thread else ALL
        vcpus = set(range(len(client.target.threads()))) if number in (ALL, ANY) else {client.vcpu(thread)}
        kind = action[:1]
        if kind not in b"cCsStr" or not kind:
            raise ValueError(f"no action {action!r}")
        if kind in b"sSr":
            start, end = _bounds(action[1:]) if kind == b"r" else (0, 0)
            # Step all of them together only if the packet names none; then the selected vCPU steps.
            vcpu = client.selected if len(vcpus) > 1 else min(vcpus)
            if vcpu not in named:
                steps.append(_Step(vcpu, start, end))
        named |= vcpus
    return steps[0] if steps else None


def _bounds(text: bytes) -> tuple[int, int]:
    start, _, end = text.partition(b",")
    return hex_number(start), hex_number(end)


# Back -------------------------------------------------------------------------------------------------------------


def _back_step(client: Client, _argument: bytes) -> bytes:
    return _back(client, lambda: client.target.reverse_step(client.resumed))


def _back_continue(client: Client, _argument: bytes) -> bytes:
    return _back(client, lambda: _behind_access(client.target, client.target.reverse_resume()))


def _behind_access(target: Target, stop: Stop) -> Stop:
    """Go behind the access of a watchpoint that was hit while going back.

    gdb expects a watchpoint to stop before the access in the direction of execution: it steps one instruction further
    in that direction before it compares the values (observed with gdb 13).
    """
    if stop.reason is Reason.WATCHPOINT:
        target.step(stop.vcpu)
    return stop


def _back(client: Client, move: Callable[[], Stop]) -> bytes:
    if not client.target.travels:
        return BAD_ARGUMENT
    # Seen from behind, the end of a run is a moment like any other.
    client.over = False
    return _run(client, move)


PACKETS: Final[Mapping[bytes, Handler]] = MappingProxyType(
    {
        b"?": _why,
        b"c": _continue,
        b"s": _step,
        b"C": _continue_with_signal,
        b"S": _step_with_signal,
        b"vCont;": _resume,
        b"bs": _back_step,
        b"bc": _back_continue,
    }
)
"""The handlers by the start of the packet; the rest is their argument."""
