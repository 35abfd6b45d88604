"""The hooks for a core's exceptions and system-register moves, switched with each vCPU without involving the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from arm_vcpu_cli.engine.counters import Counters
from arm_vcpu_cli.engine.port import ExceptionHook, MoveHandler
from arm_vcpu_cli.engine.refusals import COUNT, SINGLY
from arm_vcpu_cli.engine.stubs import Stubs
from arm_vcpu_cli.engine.system_calls import CallWords, hook_address
from arm_vcpu_cli.engine.unicorn_api import Engine
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.record import Record

_NUMBERS: Final = 32
WATCHPOINT: Final = 4
"""The kind of exception that a stub raises for a watchpoint (``watchpoint_stubs``)."""
_NOT_SYNCHRONOUS: Final = {5: 1, 14: 1, 6: 2, 15: 2, 24: 3, 30: WATCHPOINT}
"""The engine's exception numbers for IRQ, virtual IRQ, FIQ, virtual FIQ and virtual SError, and the stub's."""
_UNDEFINED: Final = 1
_KINDS: Final = tuple(_NOT_SYNCHRONOUS.get(number, 0) for number in range(_NUMBERS))

Wrapper = Callable[[ExceptionHook], ExceptionHook]
Fail = Callable[[BaseException], None]
"""Takes the exception raised by a hook: none may escape into the engine's C code."""


class ExceptionSwitch(Record):
    """``use`` selects the hook for exceptions, and whether it receives system calls to EL1 too. ``wrap`` sets a
    function that wraps each hook from then on, and ``surround`` one that wraps the result."""

    use: Callable[[ExceptionHook | None, bool], None]
    wrap: Callable[[Wrapper | None], None]
    surround: Callable[[Wrapper | None], None]


def install_exceptions(
    engine: Engine, refused: memoryview, fail: Fail, calls: CallWords | None = None
) -> ExceptionSwitch:
    """Make the engine call a hook for each exception, with ``calls`` possibly except system calls.

    Words that the engine's translator refuses become the guest's exceptions only when met in a block of their own.
    """
    hook: ExceptionHook = _nobody
    given: ExceptionHook = _nobody
    wrapper: Wrapper | None = None
    outer: Wrapper | None = None
    kinds, stop = _KINDS, engine.stop

    def on_exception(_engine: object, number: int) -> None:
        if number == _UNDEFINED and refused[COUNT]:
            if not refused[SINGLY]:
                # The refused word is in a block of which nothing has been executed.
                stop()
                return
            refused[COUNT] = refused[SINGLY] = 0
        try:
            hook(kinds[number])
        except BaseException as error:  # noqa: BLE001
            fail(error)

    wants_calls = True

    def use(new: ExceptionHook | None, with_calls: bool) -> None:
        nonlocal hook, given, wants_calls
        wants_calls = with_calls
        hook = given = _nobody if new is None else new
        if wrapper is not None:
            hook = wrapper(hook)
        if outer is not None:
            hook = outer(hook)
        if calls is not None:
            calls.alone = not (wants_calls or new is None or wrapper is not None or outer is not None)

    def wrap(new: Wrapper | None) -> None:
        nonlocal wrapper
        wrapper = new
        use(given, wants_calls)

    def surround(new: Wrapper | None) -> None:
        nonlocal outer
        outer = new
        use(given, wants_calls)

    address = hook_address()
    native = None if calls is None or address is None else (address, calls)
    engine.hooks.exceptions(on_exception, native)
    return ExceptionSwitch(use, wrap, surround)


def install_moves(
    engine: Engine, stubs: Stubs, counters: Counters, crns: Collection[int], fail: Fail
) -> Callable[[MoveHandler], None]:
    """Make the engine call a handler for each MRS and MSR of a register with one of these CRn; the returned function
    sets the handler. Until then the engine executes them."""
    handler: MoveHandler = _NoMoves()

    def on_read(encoding: int) -> int | None:
        try:
            return handler.read(encoding)
        except BaseException as error:  # noqa: BLE001
            fail(error)
            return 0

    def on_write(encoding: int, value: int) -> bool:
        try:
            return handler.write(encoding, value)
        except BaseException as error:  # noqa: BLE001
            fail(error)
            return True

    def use(new: MoveHandler) -> None:
        nonlocal handler
        handler = new

    engine.hooks.moves(stubs, crns, on_read, on_write, counters.words)
    return use


class _NoMoves:
    """Leaves every move to the engine."""

    def read(self, encoding: int) -> int | None:  # noqa: ARG002
        return None

    def write(self, encoding: int, value: int) -> bool:  # noqa: ARG002
        return False


def _nobody(_kind: int) -> None:
    raise EngineError("an exception that nothing handles")
