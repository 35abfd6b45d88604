"""Copies a machine into a separate process (fork(2)), where its guest continues.

The copy is cheap, because both processes share the guest's memory until one of them writes to it. The parent sends
requests over one pipe, and the child answers over another, both in plain data. A child has only the thread that has
forked: its machine has a console in memory, and a watchdog for each run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from arm_vcpu_cli.errors import ArmVcpuError, UsageError
from arm_vcpu_cli.host.messages import get, put
from arm_vcpu_cli.printable import printable_message
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.outcome import Result
from arm_vcpu_cli.vm.snapshot_plain import packed, unpacked

if TYPE_CHECKING:
    from typing_extensions import Self

_MASK64: Final = (1 << 64) - 1
_GONE: Final = 1
"""The status of a child whose parent is gone."""


class ChildError(ArmVcpuError):
    """A request to the child has failed there, or the child has died."""


class Forkable(Protocol):
    """The operations of a machine that a child may request."""

    def run(self, *, timeout: float = 0.0, guest_timeout: float = 0.0) -> Result:
        """Run the guest to its end or a limit."""

    def expect(
        self, pattern: str | re.Pattern[str], *, timeout: float = 60.0, host_timeout: float = 60.0
    ) -> re.Match[str]:
        """Run the guest until its console shows a text, and return the match."""

    def send(self, data: str | bytes) -> None:
        """Send ``data`` to the guest."""


class Child:
    """A copy of a machine in another process; a context manager, which ends the process.

    Everything happens there, without an effect here. :meth:`start` and :meth:`result` are the two halves of
    :meth:`run`, for several children that run at the same time. Raises :class:`ChildError` for errors in the child,
    with their text, and if the process is killed or crashes.
    """

    def __init__(self, pid: int, asks: int, answers: int) -> None:
        """Use :meth:`Machine.fork`."""
        self.pid: Final = pid
        """The process id."""
        self._asks = asks
        self._answers = answers
        self._status: int | None = None
        self._running = False

    def run(self, *, input: str | bytes = b"", timeout: float = 0.0, guest_timeout: float = 0.0) -> Result:
        """Send ``input`` to the guest, and run it, as :meth:`Machine.run` does. ``console`` of the result is the output
        since the fork."""
        self.start(input=input, timeout=timeout, guest_timeout=guest_timeout)
        return self.result()

    def start(self, *, input: str | bytes = b"", timeout: float = 0.0, guest_timeout: float = 0.0) -> None:
        """Begin to run the guest without waiting for the end."""
        if input:
            self.send(input)
        self._ask("run", timeout=_micro(timeout), guest_timeout=_micro(guest_timeout))
        self._running = True

    def result(self) -> Result:
        """Wait for the result of the run that :meth:`start` has begun, and return it."""
        if not self._running:
            raise UsageError("the child has not been started")
        self._running = False
        return _result(self._answer())

    def expect(self, pattern: str, *, timeout: float = 60.0, host_timeout: float = 60.0) -> str:
        """Run the guest until its console shows ``pattern``, as :meth:`Machine.expect` does; return the matching
        text."""
        self._ask("expect", pattern=pattern, timeout=_micro(timeout), host_timeout=_micro(host_timeout))
        return self._answer().text("found")

    def send(self, data: str | bytes) -> None:
        """Send ``data`` to the guest, as :meth:`Machine.send` does."""
        self._ask("send", data=data.encode() if isinstance(data, str) else bytes(data))
        self._answer()

    def close(self) -> None:
        """End the process, whatever it does, and wait for its end."""
        self.forget()
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._reap()

    def forget(self) -> None:
        """Close this end of the pipes."""
        for fd in (self._asks, self._answers):
            if fd >= 0:
                os.close(fd)
        self._asks = self._answers = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _ask(self, what: str, **values: object) -> None:
        if self._running:
            raise UsageError("the child is running; get its result first")
        if self._asks < 0:
            raise ChildError("the child has been closed")
        try:
            put(self._asks, packed({"ask": what, **values}))
        except BrokenPipeError as error:
            raise self._died() from error

    def _answer(self) -> Saved:
        data = get(self._answers)
        if data is None:
            raise self._died()
        answer = Saved(unpacked(data), "answer")
        if "error" in answer.names():
            raise ChildError(answer.text("error"))
        return answer

    def _died(self) -> ChildError:
        code = os.waitstatus_to_exitcode(self._reap())
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return ChildError(f"the child process {self.pid} has ended {how}")

    def _reap(self) -> int:
        if self._status is None:
            try:
                _, self._status = os.waitpid(self.pid, 0)
            except ChildProcessError:
                # Other code has waited for the process.
                self._status = 0
        return self._status


def fork(machine: Forkable, prepare: Callable[[], None], others: Iterable[Child]) -> Child:
    """Return a child with a copy of ``machine``; there, ``prepare`` is called first, and the pipes of ``others`` are
    closed.

    Raises :class:`UsageError` on hosts without fork.
    """
    if not hasattr(os, "fork"):
        raise UsageError("this system has no fork: use a snapshot")
    asks, answers = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        _be_child(machine, prepare, others, asks, answers)
    os.close(asks[0])
    os.close(answers[1])
    return Child(pid, asks[1], answers[0])


def _be_child(
    machine: Forkable,
    prepare: Callable[[], None],
    others: Iterable[Child],
    asks: tuple[int, int],
    answers: tuple[int, int],
) -> NoReturn:
    """Answer requests until the parent is gone. The parent's exit code does not run here."""
    status = _GONE
    try:
        # An interrupt from the keyboard also reaches the parent, which then ends its children.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(asks[1])
        os.close(answers[0])
        for other in others:
            other.forget()
        # Keep garbage collection from writing to pages that both share.
        gc.freeze()
        prepare()
        while (question := get(asks[0])) is not None:
            put(answers[1], packed(_answered(machine, Saved(unpacked(question), "question"))))
        status = 0
    finally:
        os._exit(status)


def _answered(machine: Forkable, question: Saved) -> dict[str, Any]:
    try:
        return _ASKED[question.text("ask")](machine, question)
    except ArmVcpuError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent wants to know
        return {"error": printable_message(f"{type(error).__name__}: {error}")}


def _run(machine: Forkable, question: Saved) -> dict[str, Any]:
    result = machine.run(timeout=_seconds(question, "timeout"), guest_timeout=_seconds(question, "guest_timeout"))
    return {
        "ending": result.ending.value,
        "status": result.status,
        "message": result.message,
        "console": result.console,
        "exits": result.exits,
        "seconds": _micro(result.seconds),
        "registers": [dict(registers) for registers in result.registers],
    }


def _expect(machine: Forkable, question: Saved) -> dict[str, Any]:
    found = machine.expect(
        question.text("pattern"),
        timeout=_seconds(question, "timeout"),
        host_timeout=_seconds(question, "host_timeout"),
    )
    return {"found": found.group()}


def _send(machine: Forkable, question: Saved) -> dict[str, Any]:
    machine.send(question.data("data"))
    return {}


_ASKED: Final[dict[str, Callable[[Forkable, Saved], dict[str, Any]]]] = {
    "run": _run,
    "expect": _expect,
    "send": _send,
}


def _result(answer: Saved) -> Result:
    return Result(
        answer.member("ending", Ending),
        answer.integer("status"),
        answer.text("message"),
        answer.data("console"),
        answer.integer("exits"),
        _seconds(answer, "seconds"),
        tuple({name: each.number(name, _MASK64) for name in each.names()} for each in answer.parts("registers", None)),
    )


def _micro(seconds: float) -> int:
    """Return microseconds, because plain data has no fractions; only 0, which means no limit, becomes 0."""
    return max(round(seconds * 1_000_000), 1) if seconds else 0


def _seconds(saved: Saved, name: str) -> float:
    return saved.integer(name) / 1_000_000
