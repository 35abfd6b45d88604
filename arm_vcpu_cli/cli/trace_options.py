"""The options that select the traced events, and their resolution for one machine and guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import click

from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.cli.completing import completer
from arm_vcpu_cli.cli.options import address, count
from arm_vcpu_cli.cli.sections import SelectionOption
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.describing import seen_bus
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.event import EVENT_TYPES, EXCEPTION, UNASKED_TYPES
from arm_vcpu_cli.trace.selection import UNBOUNDED, Selection, Span
from arm_vcpu_cli.vm.machine import Machine

F = TypeVar("F", bound=Callable[..., Any])

REASONS = tuple(reason.__name__ for reason in EXIT_REASONS)
_NANOSECONDS = 1_000_000_000


def _reason(text: str) -> str:
    """An exit reason, in any case."""
    found = next((name for name in REASONS if name.lower() == text.lower()), None)
    if found is None:
        raise click.BadParameter(f"{text!r} is not one of {', '.join(REASONS)}")
    return found


_option = partial(click.option, cls=SelectionOption)
_OPTIONS = (
    _option(
        "--events",
        metavar="TYPES",
        shell_complete=completer("events"),
        help=f"Types of events, separated by commas: {', '.join(EVENT_TYPES)}; or all [default: all but exception, and "
        "in text entry; only exits, and accesses without one, where another option picks them].",
    ),
    _option("--el1", is_flag=True, help="Also log the exceptions that EL1 takes: SVC, aborts, IRQ."),
    _option(
        "--only",
        multiple=True,
        type=_reason,
        metavar="REASON",
        shell_complete=completer("reasons"),
        help=f"Only exits of this reason; may be given more than once. One of {', '.join(REASONS)}.",
    ),
    _option(
        "--ec",
        multiple=True,
        metavar="EC",
        shell_complete=completer("classes"),
        help="Only exits and exceptions of this exception class: a number such as 0x24, or a name such as HVC64.",
    ),
    _option(
        "--ipa",
        multiple=True,
        metavar="RANGE",
        help="Only exits and accesses with IPAs such as 0x9000000:0x9000fff.",
    ),
    _option(
        "--device",
        multiple=True,
        metavar="NAME",
        shell_complete=completer("devices"),
        help="Only exits and accesses of this device, such as uart0.",
    ),
    _option("--pc", multiple=True, metavar="RANGE", help="Only with a PC in this range of virtual addresses."),
    _option(
        "--symbol",
        multiple=True,
        metavar="NAME",
        shell_complete=completer("symbols"),
        help="Only with a PC in this function.",
    ),
    _option(
        "--vcpu",
        multiple=True,
        type=count,
        metavar="N",
        shell_complete=completer("vcpus"),
        help="Only events of this vCPU, from 0; may be given more than once.",
    ),
    _option(
        "--time", "times", multiple=True, metavar="RANGE", help="Only events at times such as 0.5:1.2, in seconds."
    ),
    _option("--seq", multiple=True, metavar="RANGE", help="Only the exits with numbers such as 1000:2000."),
    _option("--first", type=count, metavar="N", help="Only the first N of the selected events."),
    _option("--last", type=count, metavar="N", help="Only the last N of the selected events."),
    _option(
        "--start-at",
        multiple=True,
        metavar="SYMBOL",
        shell_complete=completer("symbols"),
        help="Begin when the guest executes this function (or address).",
    ),
    _option(
        "--stop-at",
        multiple=True,
        metavar="SYMBOL",
        shell_complete=completer("symbols"),
        help="Stop when the guest executes this function (or address).",
    ),
    _option("--start-on", metavar="TEXT", help="Begin when the guest has printed this."),
    _option("--stop-on", metavar="TEXT", help="Stop when the guest has printed this."),
)


def selection_options(function: F) -> F:
    """The options of :class:`SelectionOptions`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class SelectionOptions(Record):
    """The values of the options as given."""

    events: str | None
    el1: bool
    only: tuple[str, ...]
    ec: tuple[str, ...]
    ipa: tuple[str, ...]
    device: tuple[str, ...]
    pc: tuple[str, ...]
    symbol: tuple[str, ...]
    vcpu: tuple[int, ...]
    times: tuple[str, ...]
    seq: tuple[str, ...]
    first: int | None
    last: int | None
    start_at: tuple[str, ...]
    stop_at: tuple[str, ...]
    start_on: str | None
    stop_on: str | None

    @classmethod
    def take(cls, options: Mapping[str, Any]) -> tuple[SelectionOptions, dict[str, Any]]:
        """Split ``options`` into these and all others."""
        names = set(cls.__match_args__)
        own = cls(**{name: value for name, value in options.items() if name in names})
        if own.el1 and own.events is None and (own.only or own.ipa or own.device):
            raise UsageError(
                "--el1: exceptions have neither exit reason nor IPA; --only, --ipa and --device pick exits"
            )
        if own.first and own.last:
            raise UsageError("--first and --last: expected one of them")
        return own, {name: value for name, value in options.items() if name not in names}

    def resolve(self, machine: Machine, *, timing: bool, unasked: frozenset[str]) -> TraceOptions:
        """Resolve the options for a machine and its guest. ``unasked`` are event types left out unless requested.
        Raises :class:`UsageError` for names that do not exist."""
        symbols = machine.image.symbols
        without = unasked if self.el1 else unasked | {EXCEPTION}
        _check_vcpus(self.vcpu, len(machine.cpus))
        types = self._types()
        if types is not None and self.el1:
            types |= {EXCEPTION}
        selection = Selection(
            types=types,
            reasons=frozenset(self.only),
            classes=frozenset(_exception_class(text) for text in self.ec),
            ipas=(*(_range("--ipa", text) for text in self.ipa), *(_device(machine, name) for name in self.device)),
            pcs=(*(_range("--pc", text) for text in self.pc), *(_function(symbols, name) for name in self.symbol)),
            vcpus=frozenset(self.vcpu),
            times=tuple(_times(text) for text in self.times),
            numbers=tuple(_range("--seq", text, decimal=True) for text in self.seq),
            without=without,
        )
        return TraceOptions(
            selection=selection,
            timing=timing,
            first=self.first or 0,
            last=self.last or 0,
            start_at=tuple(place(symbols, "--start-at", text) for text in self.start_at),
            stop_at=tuple(place(symbols, "--stop-at", text) for text in self.stop_at),
            start_on=_printed("--start-on", self.start_on),
            stop_on=_printed("--stop-on", self.stop_on),
        )

    def _types(self) -> frozenset[str] | None:
        if self.events is None:
            return None
        if self.events == "all":
            return frozenset(EVENT_TYPES) - UNASKED_TYPES
        types = frozenset(part.strip() for part in self.events.split(",") if part.strip())
        unknown = sorted(types - frozenset(EVENT_TYPES))
        if unknown or not types:
            raise UsageError(
                f"--events: {', '.join(unknown) or 'nothing'}: expected all, or some of {', '.join(EVENT_TYPES)}"
            )
        return types


def _check_vcpus(numbers: tuple[int, ...], vcpus: int) -> None:
    if any(number >= vcpus for number in numbers):
        raise UsageError(f"--vcpu {max(numbers)}: {named_vcpus('the machine has', vcpus)}")


def named_vcpus(who: str, vcpus: int) -> str:
    """Return the number of vCPUs and the range of their numbers, for a message."""
    return f"{who} 1 vCPU, number 0" if vcpus == 1 else f"{who} {vcpus} vCPUs, numbers 0 to {vcpus - 1}"


def _exception_class(text: str) -> int:
    by_name = {known.name.upper(): int(known) for known in ExceptionClass}
    found = by_name.get(text.upper().replace("-", "_"))
    if found is not None:
        return found
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 6:
        raise UsageError(f"--ec {text}: expected a number from 0 to 0x3f, or one of {', '.join(sorted(by_name))}")
    return value


def _range(option: str, text: str, *, decimal: bool = False) -> Span:
    """``FIRST:LAST``, ``FIRST:``, ``:LAST`` or one number."""
    first, colon, last = text.strip().partition(":")
    example = "1000:2000" if decimal else "0x9000000:0x9000fff"
    try:
        low = int(first, 0) if first or not colon else 0
        high = (int(last, 0) if last else UNBOUNDED) if colon else low
    except ValueError:
        low, high = 1, 0
    if not 0 <= low <= high:
        raise UsageError(f"{option} {text}: expected a range such as {example}")
    return Span(low, high)


def _times(text: str) -> Span:
    first, _, last = text.partition(":")
    try:
        low = float(first) if first else 0.0
        high = float(last) if last else float(UNBOUNDED)
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low <= high or low * _NANOSECONDS >= UNBOUNDED or ":" not in text:
        raise UsageError(f"--time {text}: expected a range of seconds such as 0.5:1.2")
    return Span(round(low * _NANOSECONDS), round(min(high * _NANOSECONDS, UNBOUNDED)))


def _printed(option: str, text: str | None) -> bytes:
    if text == "":
        raise UsageError(f"{option}: expected some text that the guest prints")
    return (text or "").encode("utf-8", "surrogateescape")


def _device(machine: Machine, name: str) -> Span:
    windows = {window.name: Span(window.base, window.end - 1) for window in seen_bus(machine).windows()}
    for device in machine.description.devices:
        if device.passthrough:
            windows[device.name] = Span(device.base, device.base + device.size - 1)
    found = windows.get(name)
    if found is None:
        raise UsageError(f"--device {name}: the machine has no such device; it has {', '.join(windows) or 'none'}")
    return found


def _function(symbols: SymbolTable, name: str) -> Span:
    found = symbols.extent(name)
    if found is None:
        raise UsageError(_unknown_symbol(symbols, "--symbol", name))
    return Span(found[0], found[1] - 1)


def place(symbols: SymbolTable, option: str, text: str) -> int:
    """An address, given as a number or a symbol."""
    found = symbols.lookup(text)
    if found is not None:
        return found
    try:
        return address(text)
    except click.BadParameter:
        raise UsageError(_unknown_symbol(symbols, option, text)) from None


def _unknown_symbol(symbols: SymbolTable, option: str, name: str) -> str:
    if not len(symbols):
        return f"{option} {name}: the guest has no symbols (add some with --symbols FILE)"
    close = symbols.close_names(name)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return f"{option} {name}: the guest has no such symbol{hint}"
