"""Debuggers that attach, detach, behave and misbehave: over a real socket, on a fake target."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arm_vcpu_cli.debug.client import Client
from arm_vcpu_cli.debug.endpoint import Endpoint, listen, unlisten
from arm_vcpu_cli.debug.rsp import Decoder, Packet, Received, encode
from arm_vcpu_cli.debug.server import DebugServer
from arm_vcpu_cli.debug.target import Stop
from arm_vcpu_cli.debug.wire import Wire
from tests.support.fake_target import CODE, FakeTarget

GUARD_SECONDS = 30.0


class Debugger:
    """A debugger that sends what it is told."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(GUARD_SECONDS)
        self.socket.connect(str(path))
        self._decoder = Decoder()
        self._received: list[Received] = []

    def send(self, *packets: bytes) -> None:
        self.socket.sendall(b"".join(map(encode, packets)))

    def receive(self) -> bytes | None:
        """The next packet, None if the connection is closed."""
        while not self._received:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._received += [each for each in self._decoder.feed(data) if isinstance(each, Packet)]
        found = self._received.pop(0)
        assert isinstance(found, Packet)
        return found.data

    def ask(self, packet: bytes) -> bytes | None:
        self.send(packet)
        return self.receive()

    def close(self) -> None:
        self.socket.close()


@dataclass
class Served:
    """A target that is served by a thread."""

    target: FakeTarget
    path: Path
    refused: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: list[Stop | None] = field(default_factory=list)
    thread: threading.Thread | None = None
    server: DebugServer | None = None

    def debugger(self) -> Debugger:
        return Debugger(self.path)

    def end(self) -> Stop | None:
        assert self.thread is not None
        self.thread.join(GUARD_SECONDS)
        assert self.ended, "it does not end"
        return self.ended[0]

    def wait_until_it_runs(self) -> None:
        assert self.target.running.wait(GUARD_SECONDS)
        self.target.running.clear()


@contextmanager
def serving(target: FakeTarget, folder: Path, *, wait: bool = True) -> Iterator[Served]:
    path = folder / "gdb.sock"
    listener, place = listen(Endpoint(path=path))
    found = Served(target, path)

    def monitor(_client: Client, text: str, say: Callable[[str], None]) -> None:
        say(f"you typed {text}")
        say("and that is all\x1b")

    def serve() -> None:
        with Wire(
            listener,
            pause=target.pause,
            cancelled=found.cancelled.is_set,
            refused=lambda: found.refused.append("refused"),
        ) as wire:
            found.server = DebugServer(target, wire, monitor)
            found.ended.append(found.server.run(wait=wait))

    found.thread = threading.Thread(target=serve, daemon=True)
    found.thread.start()
    try:
        yield found
    finally:
        target.length = 0
        found.cancelled.set()
        target.pause()
        found.thread.join(GUARD_SECONDS)
        unlisten(listener, place)
        assert not path.exists()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Served]:
    with serving(FakeTarget(length=None), tmp_path, wait=False) as served:
        served.wait_until_it_runs()
        yield served


def test_a_guest_that_waits_does_not_run_before_it_is_let(tmp_path: Path) -> None:
    with serving(FakeTarget(length=100, status=4), tmp_path) as served:
        debugger = served.debugger()
        assert debugger.ask(b"?") == b"T05thread:1;20:0010004000000000;core:0;"
        assert served.target.log == ["keep history"]
        assert debugger.ask(b"c") == b"W04"
        assert served.end() == Stop(served.target.resume().reason, 0, message="the guest powered off", status=4)


def test_who_connects_stops_the_guest_and_who_leaves_lets_it_go_on(endless: Served) -> None:
    for _ in range(3):
        debugger = endless.debugger()
        assert (debugger.ask(b"?") or b"")[:3] == b"T05"
        assert debugger.ask(b"D") == b"OK"
        endless.wait_until_it_runs()
        # Whatever it says now is nobody's business.
        debugger.send(b"g")
        debugger.close()
    assert not endless.refused


def test_an_interrupt_stops_the_guest_once(endless: Served) -> None:
    debugger = endless.debugger()
    assert debugger.ask(b"QStartNoAckMode") == b"OK"
    for _ in range(3):
        debugger.send(b"vCont;c")
        endless.wait_until_it_runs()
        debugger.socket.sendall(b"\x03")
        assert (debugger.receive() or b"")[:3] == b"T02"
    # One that comes with the packet, and one for a guest that has stopped already.
    debugger.socket.sendall(encode(b"vCont;c") + b"\x03")
    assert (debugger.receive() or b"")[:3] == b"T02"
    debugger.socket.sendall(b"\x03")
    assert debugger.ask(b"qC") == b"QC1"
    assert (debugger.ask(b"vCont;s") or b"")[:3] == b"T05"


def test_an_interrupt_just_before_the_guest_is_let_run_stops_it(endless: Served) -> None:
    """gdb sends one that is typed while it prepares to let the guest run before the packet that does."""
    debugger = endless.debugger()
    assert debugger.ask(b"QStartNoAckMode") == b"OK"
    stopped = debugger.ask(b"?") or b""
    for packets in ((b"vCont;c",), (b"Hc1", b"c"), (b"vCont;s",)):
        debugger.socket.sendall(b"\x03" + b"".join(map(encode, packets)))
        answers = [debugger.receive() or b"" for _ in packets]
        # Without an instruction of it.
        assert answers[-1] == b"T02" + stopped[3:]
    assert (debugger.ask(b"vCont;s") or b"")[:3] == b"T05"


def test_a_debugger_that_vanishes_lets_the_guest_go_on(endless: Served) -> None:
    for sent in (encode(b"?"), encode(b"Z0,%x,4" % CODE), encode(b"?") + b"$g", encode(b"c") + encode(b"c")):
        debugger = endless.debugger()
        debugger.socket.sendall(sent)
        assert debugger.receive()
        debugger.close()
        endless.wait_until_it_runs()
        assert not endless.target.breakpoints


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"$g#00",
        b"$" * 100_000,
        b"$" + b"x" * 10_000_000,
        b"-" * 10_000,
        bytes(256),
    ],
    ids=["nothing", "interrupt", "http", "damaged", "starts", "long", "minus", "zeros"],
)
def test_what_is_no_packet_does_not_stop_the_guest(endless: Served, garbage: bytes) -> None:
    debugger = endless.debugger()
    debugger.socket.sendall(garbage)
    debugger.close()
    again = endless.debugger()
    assert (again.ask(b"?") or b"")[:3] == b"T05"
    assert endless.target.log == ["resume", "keep history"]


def test_garbage_between_packets_is_skipped(endless: Served) -> None:
    debugger = endless.debugger()
    debugger.ask(b"?")
    debugger.socket.sendall(b"junk$g$g#00\x03\x03+++" + b"$" + b"y" * 100_000 + b"#00")
    assert debugger.receive() == b"E16"
    assert debugger.ask(b"qC") == b"QC1"


def test_who_floods_is_dropped_and_the_guest_goes_on(endless: Served) -> None:
    debugger = endless.debugger()
    debugger.ask(b"?")
    debugger.send(b"c")
    endless.wait_until_it_runs()
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        while True:
            debugger.send(*[b"g"] * 1000)
    endless.target.running.clear()
    assert (endless.debugger().ask(b"?") or b"")[:3] == b"T05"


def test_a_second_debugger_is_refused_once_told(endless: Served) -> None:
    debugger = endless.debugger()
    debugger.ask(b"?")
    for _ in range(3):
        assert endless.debugger().receive() is None
    assert endless.refused == ["refused"]
    assert debugger.ask(b"qC") == b"QC1"


def test_one_that_says_nothing_gives_way(endless: Served) -> None:
    silent = endless.debugger()
    debugger = endless.debugger()
    assert (debugger.ask(b"?") or b"")[:3] == b"T05"
    assert silent.receive() is None


def test_answers_are_sent_again(endless: Served) -> None:
    debugger = endless.debugger()
    found = debugger.ask(b"?")
    debugger.socket.sendall(b"-")
    assert debugger.receive() == found


def test_acknowledgements_end_when_they_are_switched_off(endless: Served) -> None:
    debugger = endless.debugger()
    received = b""
    debugger.send(b"QStartNoAckMode", b"qC")
    while len(received) < len(b"+$OK#9a$QC1#c5"):
        received += debugger.socket.recv(100)
    assert received == b"+$OK#9a$QC1#c5"


def test_commands_say_their_lines_before_the_answer(endless: Served) -> None:
    debugger = endless.debugger()
    assert debugger.ask(b"qRcmd," + b"hello".hex().encode()) == b"O" + b"you typed hello\n".hex().encode()
    assert debugger.receive() == b"O" + b"and that is all\\x1b\n".hex().encode()
    assert debugger.receive() == b"OK"


def test_what_is_printed_is_shown_only_while_the_debugger_waits(endless: Served) -> None:
    assert endless.server is not None
    assert not endless.server.show(b"nobody")
    debugger = endless.debugger()
    debugger.ask(b"?")
    assert not endless.server.show(b"not now")
    debugger.send(b"c")
    endless.wait_until_it_runs()
    assert endless.server.show(b"\0\xffhi")
    assert debugger.receive() == b"O00ff6869"


def test_a_debugger_can_end_the_guest(endless: Served) -> None:
    debugger = endless.debugger()
    assert debugger.ask(b"vKill;1") == b"OK"
    assert endless.end() is None
    assert debugger.receive() is None


def test_its_last_word_counts(endless: Served) -> None:
    """There is no answer to ``k``, and so nobody waits for one."""
    debugger = endless.debugger()
    debugger.send(b"?", b"k")
    debugger.close()
    assert endless.end() is None


@pytest.mark.parametrize("state", ["nobody", "silent", "attached", "running"])
def test_a_run_that_is_not_wanted_any_more_ends(tmp_path: Path, state: str) -> None:
    with serving(FakeTarget(length=None), tmp_path) as served:
        debugger = None if state == "nobody" else served.debugger()
        if debugger is not None and state != "silent":
            debugger.ask(b"?")
        if debugger is not None and state == "running":
            debugger.send(b"c")
            served.wait_until_it_runs()
        served.target.length, served.target.status = 0, 124
        served.cancelled.set()
        served.target.pause()
        ended = served.end()
        # Whoever asked for that knows why, unless the target was the first to notice.
        assert (ended.status if ended is not None else None) == (124 if state == "running" else None)
        if debugger is not None:
            assert debugger.receive() == (b"W7c" if state == "running" else None)


def test_a_pause_that_nobody_asked_for_is_not_told(endless: Served) -> None:
    debugger = endless.debugger()
    debugger.ask(b"?")
    endless.target.paused.set()
    assert (debugger.ask(b"s") or b"")[:3] == b"T05"


def test_nobody_spins_while_nothing_happens(endless: Served) -> None:
    debugger = endless.debugger()
    debugger.ask(b"?")
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.15
