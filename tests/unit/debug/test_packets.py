"""Transcripts of recorded debugger packets, and the answers to them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug.client import Client, State
from arm_vcpu_cli.debug.packets import answer
from arm_vcpu_cli.debug.target import Access, Reason, Stop, Watchpoint
from arm_vcpu_cli.vm.endings import STATUS_NO_PROGRESS
from tests.support.fake_target import CODE, COUNTER, FakeTarget

GDB = (
    b"qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;fork-events+;vfork-events+;exec-events+;vContSupported+;"
    b"QThreadEvents+;no-resumed+;memory-tagging+;xmlRegisters=i386"
)
LLDB = b"qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+"


def little(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little").hex().encode()


def at(pc: int, *, cpu: int = 0) -> bytes:
    """The end of a stop reply."""
    return b"thread:p1.%x;20:%b;core:%x;" % (cpu + 1, little(pc), cpu)


def attached(target: FakeTarget, greeting: bytes = GDB, **options: object) -> tuple[Client, list[str]]:
    said: list[str] = []

    def go(move: Callable[[], Stop]) -> Stop:
        return move()

    client = Client(target, go, lambda: False, said.append, lambda text: said.append(f"monitor {text}\n"))
    client.launched = bool(options.get("launched"))
    client.load_bias = int(str(options.get("load_bias", 0)))
    answer(client, greeting)
    return client, said


def test_the_start_of_a_session_of_gdb() -> None:
    client, _ = attached(FakeTarget(vcpus=2))
    assert answer(client, GDB) == (
        b"PacketSize=4000;QStartNoAckMode+;vContSupported+;ConditionalBreakpoints+;qXfer:features:read+;qXfer:threads:read+;multiprocess+;"
        b"swbreak+;hwbreak+;ReverseStep+;ReverseContinue+"
    )
    transcript = [
        (b"vMustReplyEmpty", b""),
        (b"QStartNoAckMode", b"OK"),
        (b"!", b"OK"),
        (b"Hgp0.0", b"OK"),
        (b"qTStatus", b""),
        (b"?", b"T05" + at(CODE)),
        (
            b"qXfer:threads:read::0,1000",
            b'l<threads>\n<thread id="p1.1" core="0" name="cpu0">EL1 running</thread>\n'
            b'<thread id="p1.2" core="1" name="cpu1">EL1 running</thread>\n</threads>\n',
        ),
        (b"qAttached:1", b"1"),
        (b"Hc-1", b"OK"),
        (b"qOffsets", b""),
        (b"qSymbol::", b"OK"),
        (b"qC", b"QCp1.1"),
        (b"qfThreadInfo", b"mp1.1,p1.2"),
        (b"qsThreadInfo", b"l"),
        (b"qThreadExtraInfo,p1.2", b"cpu1: EL1 running".hex().encode()),
        (b"vCont?", b"vCont;c;C;s;S;t;r"),
        (b"vFile:setfs:0", b""),
    ]
    assert [(packet, answer(client, packet)) for packet, _ in transcript] == transcript
    assert client.without_acks


def test_the_start_of_a_session_of_lldb() -> None:
    client, _ = attached(FakeTarget(vcpus=2), LLDB)
    triple = b"aarch64-unknown-none-elf".hex().encode()
    transcript = [
        (b"QThreadSuffixSupported", b""),
        (b"QListThreadsInStopReply", b""),
        (b"qHostInfo", b"triple:" + triple + b";endian:little;ptrsize:8;watchpoint_exceptions_received:before;"),
        (b"qVAttachOrWaitSupported", b""),
        (b"QEnableErrorStrings", b""),
        (b"qProcessInfo", b"pid:1;triple:" + triple + b";endian:little;ptrsize:8;"),
        (b"qStructuredDataPlugins", b""),
        (b"qWatchpointSupportInfo:", b"num:64;"),
        (b"qShlibInfoAddr", b""),
        (b"x0,0", b""),
        (b"Hg1", b"OK"),
        (b"p20", little(CODE)),
        (b"mffff800008000000,200", b"E0e"),
        (b"qMemoryRegionInfo:40001004", b"start:40001000;size:1000;permissions:rwx;"),
        (b"qMemoryRegionInfo:ffff800000000001", b"start:ffff800000000000;size:1000;"),
        (b"qThreadStopInfo1", b"T05" + at(CODE)),
        (b"qThreadStopInfo2", b"T00" + at(CODE, cpu=1)),
        (b"jThreadsInfo", b""),
        (b"vCont;s:0001", b"T05" + at(CODE + 4)),
        (b"Z0,40001010,4", b"OK"),
        # It has not asked for the reasons.
        (b"c", b"T05" + at(CODE + 0x10)),
    ]
    assert [(packet, answer(client, packet)) for packet, _ in transcript] == transcript


def test_without_multiprocess_threads_are_plain_numbers() -> None:
    client, _ = attached(FakeTarget(vcpus=2), b"qSupported")
    assert answer(client, b"?") == b"T05thread:1;20:" + little(CODE) + b";core:0;"
    assert answer(client, b"H g2") == b"E16"
    assert answer(client, b"Hg2") == b"OK"
    assert answer(client, b"T3") == b"E16"


def test_breakpoints_are_told_by_name_to_who_asked() -> None:
    client, _ = attached(FakeTarget())
    transcript = [
        (b"Z0,40001008,4", b"OK"),
        (b"Z1,40001010,4", b"OK"),
        (b"Z1,40001010,4", b"OK"),
        (b"vCont;c:p1.-1", b"T05swbreak:;" + at(CODE + 8)),
        (b"z0,40001008,4", b"OK"),
        (b"vCont;s:p1.1;c:p1.-1", b"T05" + at(CODE + 0xC)),
        (b"vCont;c", b"T05hwbreak:;" + at(CODE + 0x10)),
        (b"z1,40001010,4", b"OK"),
        (b"vCont;r40001010,40001030:p1.1", b"T05" + at(CODE + 0x30)),
        (b"Z5,0,0", b""),
        (b"?", b"T05" + at(CODE + 0x30)),
    ]
    assert [(packet, answer(client, packet)) for packet, _ in transcript] == transcript


def test_breakpoints_whose_conditions_are_not_met_do_not_stop() -> None:
    """``$x0 == 9``, as gdb 13 sends it; then one that always holds beside one that never does, and a broken one."""
    client, _ = attached(FakeTarget())
    for condition, place in (
        (b"X7,26000022091327", 0x4000_1024),
        (b"X3,220027;X3,220127", 0x4000_1028),
        (b"X1,ff", 0x4000_102C),
    ):
        for address in range(CODE, place + 4, 4):
            assert answer(client, b"Z0,%x,4;%b" % (address, condition)) == b"OK"
        assert answer(client, b"vCont;c") == b"T05swbreak:;" + at(place)
    assert answer(client, b"Z0,40001000,4;X9,00") == b"E16"
    assert answer(client, b"Z0,40001000,4;cmds:0,X1,27") == b"OK"
    client.is_interrupted = lambda: True
    answer(client, b"Z0,40001030,4;X3,220027")
    assert answer(client, b"vCont;c") == b"T02" + at(0x4000_1030)


@pytest.mark.parametrize(("kind", "word"), [(b"2", b"watch"), (b"4", b"awatch")])
def test_watchpoints_stop_before_the_access(kind: bytes, word: bytes) -> None:
    target = FakeTarget()
    client, _ = attached(target)
    target.write_register(0, "pc", CODE + 0x14)
    assert answer(client, b"Z%b,%x,4" % (kind, COUNTER)) == b"OK"
    assert answer(client, b"vCont;c") == b"T05%b:%x;" % (word, COUNTER) + at(CODE + 0x20)
    assert answer(client, b"z%b,%x,4" % (kind, COUNTER)) == b"OK"
    assert target.watchpoints == ()


def test_a_watchpoint_too_many_is_refused_and_forgotten() -> None:
    target = FakeTarget()
    client, _ = attached(target)
    for number in range(4):
        assert answer(client, b"Z3,%x,8" % (COUNTER + 8 * number)) == b"OK"
    assert answer(client, b"Z3,0,8") == b"E.there are 4 watchpoints"
    assert answer(client, b"z3,%x,8" % COUNTER) == b"OK"
    assert answer(client, b"Z2,0,1") == b"OK"
    assert target.watchpoints[-1] == Watchpoint(0, 1, Access.WRITE)


def test_registers() -> None:
    target = FakeTarget(vcpus=2)
    client, _ = attached(target)
    whole = answer(client, b"g")
    assert whole is not None
    assert len(whole) == 2 * 788
    assert answer(client, b"G" + whole) == b"OK"
    assert target.log == []
    assert answer(client, b"G" + b"77" + whole[2:]) == b"OK"
    assert target.log == ["x0=0x77"]
    assert answer(client, b"G" + whole[2:]) == b"E16"
    assert answer(client, b"Hgp1.2") == b"OK"
    assert answer(client, b"P3=" + little(5)) == b"OK"
    assert (target.read_register(0, "x3"), target.read_register(1, "x3")) == (0, 5)
    assert answer(client, b"p22") == b"00" * 16
    assert answer(client, b"P21=" + little(0x3C4, 4)) == b"OK"
    assert answer(client, b"p21") == little(0x3C4, 4)
    assert answer(client, b"P3=00") == b"E16"
    assert answer(client, b"p99") == b"E16"


def test_system_registers_are_behind_the_others_and_not_in_the_file() -> None:
    client, _ = attached(FakeTarget())
    assert answer(client, b"P44=" + little(5)) == b"OK"
    assert answer(client, b"p44") == little(5)
    assert answer(client, b"P46=" + little(5)) == b"E.ESR_EL2 is read-only"
    # No byte of an error may look like the end of a packet.
    assert answer(client, b"P45=" + little(1)) == b"E.TTBR0_EL1: bit 0 }\x03}\x04}]}\x0a is reserved"


def test_memory() -> None:
    client, _ = attached(FakeTarget())
    transcript = [
        (b"m40002000,4", b"00000000"),
        (b"X40002000,0:", b"OK"),
        (b"X40002000,3:\x01#\x03", b"OK"),
        (b"M40002003,2:0405", b"OK"),
        (b"m40002000,6", b"012303040500"),
        (b"m40003ffe,100", b"0000"),
        (b"m50000000,4", b"E0e"),
        (b"X50000000,1:a", b"E0e"),
        (b"M40002000,2:00", b"E16"),
        (b"m40002000,0", b""),
        (b"mffffffffffffffff,ffffffffffffffff", b"E0e"),
        (b"m1_0,4", b"E16"),
        (b"m40002000", b"E16"),
        (b"qqemu.PhyMemMode", b"0"),
        (b"Qqemu.PhyMemMode:1", b"OK"),
        (b"qqemu.PhyMemMode", b"1"),
        (b"Qqemu.PhyMemMode:2", b"E16"),
        (b"m40002000,1", b"01"),
        (b"M40002000,1:07", b"OK"),
        (b"m40002000,1", b"07"),
    ]
    assert [(packet, answer(client, packet)) for packet, _ in transcript] == transcript


def test_a_read_is_cut_to_what_fits_into_an_answer() -> None:
    client, _ = attached(FakeTarget())
    assert len(answer(client, b"m40000000,4000") or b"") == 0x4000


def test_the_checksum_of_memory() -> None:
    client, _ = attached(FakeTarget())
    answer(client, b"M40002000,9:" + b"123456789".hex().encode())
    # CRC-32/MPEG-2 of the usual text.
    assert answer(client, b"qCRC:40002000,9") == b"C376e6e7"
    assert answer(client, b"qCRC:40003000,1001") == b"E0e"
    assert answer(client, b"qCRC:40003000,ffffffffffffffff") == b"E16"
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_documents_come_in_pieces() -> None:
    client, _ = attached(FakeTarget())
    text, offset = b"", 0
    while True:
        piece = answer(client, b"qXfer:features:read:target.xml:%x,100" % offset) or b""
        text += piece[1:]
        offset += len(piece) - 1
        if piece[:1] == b"l":
            break
        assert len(piece) == 0x101
    root = ElementTree.fromstring(text)
    numbers = {each.attrib["name"]: int(each.attrib["regnum"]) for each in root.iter("reg")}
    assert [numbers[name] for name in ("x0", "sp", "pc", "cpsr", "v0", "v31", "fpsr", "fpcr", "SCTLR_EL1")] == [
        *(0, 31, 32, 33, 34, 65, 66, 67, 68)
    ]
    assert answer(client, b"qXfer:features:read:other.xml:0,100") == b"E00"
    assert answer(client, b"qXfer:features:read:target.xml:ffffff,100") == b"l"
    assert answer(client, b"qXfer:auxv:read::0,100") == b""


def test_reverse_execution() -> None:
    client, _ = attached(FakeTarget())
    transcript = [
        (b"vCont;s:p1.1", b"T05" + at(CODE + 4)),
        (b"vCont;s:p1.1", b"T05" + at(CODE + 8)),
        (b"bs", b"T05" + at(CODE + 4)),
        (b"bc", b"T05replaylog:begin;" + at(CODE)),
        (b"bs", b"T05replaylog:begin;" + at(CODE)),
    ]
    assert [(packet, answer(client, packet)) for packet, _ in transcript] == transcript


def test_reverse_execution_is_not_offered_where_there_is_none() -> None:
    client, _ = attached(FakeTarget(travels=False))
    assert b"Reverse" not in (answer(client, GDB) or b"")
    assert answer(client, b"bs") == b"E16"


def test_a_guest_that_ended_by_itself_has_exited() -> None:
    client, said = attached(FakeTarget(length=10, status=3))
    assert answer(client, b"vCont;c") == b"W03;process:1"
    assert (client.state, said) == (State.ENDED, [])


def test_a_guest_that_got_stuck_is_looked_at_before_the_run_is_over() -> None:
    client, said = attached(FakeTarget(length=10, status=STATUS_NO_PROGRESS))
    assert answer(client, b"vCont;c") == b"T06" + at(CODE + 40)
    assert said == ["the guest powered off\nThe run ends here: continue for its exit status.\n"]
    assert answer(client, b"?") == b"T06" + at(CODE + 40)
    assert answer(client, b"bs") == b"T05" + at(CODE + 36)
    assert answer(client, b"c") == b"T06" + at(CODE + 40)
    assert answer(client, b"c") == b"W7b;process:1"
    assert client.state is State.ENDED


def test_a_guest_that_powers_off_is_kept_if_that_is_wanted() -> None:
    client, _ = attached(FakeTarget(length=10))
    client.holds = True
    assert answer(client, b"c") == b"T06" + at(CODE + 40)
    assert answer(client, b"bs") == b"T05" + at(CODE + 36)
    assert answer(client, b"c") == b"T06" + at(CODE + 40)
    assert answer(client, b"c") == b"W00;process:1"


@pytest.mark.parametrize(
    ("packet", "reply", "state"),
    [
        (b"D", b"OK", State.DETACHED),
        (b"D;1", b"OK", State.DETACHED),
        (b"vKill;1", b"OK", State.KILLED),
        (b"k", None, State.KILLED),
    ],
)
def test_the_end_of_a_session(packet: bytes, reply: bytes | None, state: State) -> None:
    client, _ = attached(FakeTarget())
    assert answer(client, packet) == reply
    assert client.state is state


def test_a_debugger_that_was_started_for_the_guest_ends_it() -> None:
    client, _ = attached(FakeTarget(), launched=True, load_bias=0x4008_0000)
    assert answer(client, b"qAttached:1") == b"0"
    assert answer(client, b"qOffsets") == b"Text=40080000;Data=40080000;Bss=40080000"


def test_commands_of_the_user_are_decoded() -> None:
    client, said = attached(FakeTarget())
    assert answer(client, b"qRcmd,7768656e") == b"OK"
    assert answer(client, b"qRcmd,7768656") == b"E16"
    assert said == ["monitor when\n"]


def test_a_step_over_a_range_can_be_interrupted() -> None:
    client, _ = attached(FakeTarget())
    client.is_interrupted = lambda: True
    assert answer(client, b"vCont;r40001000,40001fff:p1.1") == b"T02" + at(CODE + 4)


@pytest.mark.parametrize(
    ("packet", "reply"),
    [
        (b"vCont;s", b"T05" + at(CODE + 4, cpu=1)),
        (b"vCont;s:p1.1;s:p1.2", b"T05" + at(CODE + 4)),
        (b"vCont;s:p1.1", b"T05" + at(CODE + 4)),
        (b"vCont;c:p1.2", b"W00;process:1"),
        (b"vCont;C05:p1.-1", b"W00;process:1"),
        (b"vCont;S05:p1.2;c", b"T05" + at(CODE + 4, cpu=1)),
        (b"s", b"T05" + at(CODE + 4, cpu=1)),
        (b"S05", b"T05" + at(CODE + 4, cpu=1)),
        (b"s40001100", b"T05" + at(CODE + 0x104, cpu=1)),
        (b"C05;40001100", b"W00;process:1"),
        (b"vCont;x", b"E16"),
        (b"vCont;s:p2.1", b"E16"),
        (b"vCont;s:p1.9", b"E16"),
        (b"vCont;r1:p1.1", b"E16"),
        (b"vCont;", b"E16"),
    ],
)
def test_ways_to_resume(packet: bytes, reply: bytes) -> None:
    client, _ = attached(FakeTarget(vcpus=2, length=20))
    answer(client, b"Hgp1.2")
    answer(client, b"Hcp1.2")
    assert answer(client, packet) == reply


def test_other_stops() -> None:
    target = FakeTarget()
    client, _ = attached(target)
    client.go = lambda move: Stop(Reason.PAUSE, 0)
    assert answer(client, b"c") == b"T02" + at(CODE)


@given(st.sampled_from(list("gGpPmMXZzHTDqQvcCsSb?!")), st.text("0123456789abcdef,;:-.prstcCS#=", max_size=30))
def test_nothing_that_is_sent_breaks_anything(letter: str, rest: str) -> None:
    client, _ = attached(FakeTarget(vcpus=2, length=50))
    found = answer(client, f"{letter}{rest}".encode())
    assert found is not None
    assert b"#" not in found
    assert b"$" not in found


@given(st.binary(max_size=60))
def test_no_bytes_break_anything(packet: bytes) -> None:
    client, _ = attached(FakeTarget(length=50))
    answer(client, packet)
