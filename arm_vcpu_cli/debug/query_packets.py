"""The packets that query the stub and the machine, and those that end a session.

Sources: Debugging with GDB, appendix E, "General Query Packets"; lldb's docs/lldb-gdb-remote.txt; QEMU's gdbstub for
its two extensions.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.client import (
    BAD_ADDRESS,
    BAD_ARGUMENT,
    OK,
    PROCESS,
    UNKNOWN,
    Client,
    State,
    hex_number,
    range_of,
)
from arm_vcpu_cli.debug.inspect_packets import LARGEST_READ, read_memory
from arm_vcpu_cli.debug.resume_packets import ACTIONS, stop_reply
from arm_vcpu_cli.debug.rsp import PACKET_SIZE, escape
from arm_vcpu_cli.debug.target import Reason, Stop, Thread
from arm_vcpu_cli.printable import decoded

Handler = Callable[[Client, bytes], bytes]

_TARGET_XML: Final = "arm_vcpu_cli.debug.target_xml"
"""Loaded only when a debugger attaches: it has the layouts of all registers."""
_TRIPLE: Final = b"aarch64-unknown-none-elf".hex()
_HOST: Final = f"triple:{_TRIPLE};endian:little;ptrsize:8;"
_PAGE: Final = 0x1000
_CHUNK: Final = 1 << 16
_MOST_SUMMED: Final = 1 << 26
"""The most memory to read for one answer, in bytes, which takes a second or two."""
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BREAKPOINTS: Final[Mapping[bytes, Reason]] = MappingProxyType(
    {b"swbreak+": Reason.SOFTWARE_BREAKPOINT, b"hwbreak+": Reason.HARDWARE_BREAKPOINT}
)


# Features of the stub ---------------------------------------------------------------------------------------------


def _supported(client: Client, argument: bytes) -> bytes:
    wanted = frozenset(argument.split(b";"))
    client.multiprocess = b"multiprocess+" in wanted
    client.reports_breakpoints = frozenset(reason for word, reason in _BREAKPOINTS.items() if word in wanted)
    features = [
        f"PacketSize={PACKET_SIZE:x}",
        "QStartNoAckMode+",
        "vContSupported+",
        "ConditionalBreakpoints+",
        "qXfer:features:read+",
        "qXfer:threads:read+",
        *(["multiprocess+"] if client.multiprocess else []),
        *(word.decode() for word in _BREAKPOINTS if word in wanted),
        *(["ReverseStep+", "ReverseContinue+"] if client.target.travels else []),
    ]
    return ";".join(features).encode()


def _no_acks(client: Client, _argument: bytes) -> bytes:
    client.without_acks = True
    return OK


def _thread_suffix(client: Client, _argument: bytes) -> bytes:
    """Refuse the packet; only lldb sends it, which identifies the debugger."""
    client.is_lldb = True
    return UNKNOWN


def _actions(_client: Client, _argument: bytes) -> bytes:
    return ACTIONS


def _all_stop(_client: Client, argument: bytes) -> bytes:
    return OK if argument == b"0" else UNKNOWN


def _accepted(_client: Client, _argument: bytes) -> bytes:
    return OK


def _was_there(client: Client, _argument: bytes) -> bytes:
    """Answer whether a debugger that quits detaches from the guest (1) or ends it (0)."""
    return b"0" if client.launched else b"1"


def _offsets(client: Client, _argument: bytes) -> bytes:
    bias = client.load_bias
    return f"Text={bias:x};Data={bias:x};Bss={bias:x}".encode() if bias > 0 else UNKNOWN


def _host(_client: Client, _argument: bytes) -> bytes:
    return f"{_HOST}watchpoint_exceptions_received:before;".encode()


def _watchpoints(_client: Client, _argument: bytes) -> bytes:
    """Answer with the number of watchpoints; lldb steps over one that stopped the guest only if it knows it."""
    return b"num:64;"


def _process(_client: Client, _argument: bytes) -> bytes:
    return f"pid:{PROCESS:x};{_HOST}".encode()


# Threads ----------------------------------------------------------------------------------------------------------


def _current(client: Client, _argument: bytes) -> bytes:
    return f"QC{client.thread(client.last.vcpu)}".encode()


def _first_threads(client: Client, _argument: bytes) -> bytes:
    return f"m{','.join(client.thread(each.vcpu) for each in client.target.threads())}".encode()


def _no_more_threads(_client: Client, _argument: bytes) -> bytes:
    return b"l"


def _thread_text(client: Client, argument: bytes) -> bytes:
    vcpu = client.vcpu(argument)
    return _words(client.target.threads()[vcpu]).encode().hex().encode()


def _words(thread: Thread) -> str:
    return f"cpu{thread.vcpu}: {thread.state}"


def _thread_stop(client: Client, argument: bytes) -> bytes:
    """Answer with the reason why a thread has stopped: all but one stopped because the others did."""
    vcpu = client.vcpu(argument)
    stop = client.last if vcpu == client.last.vcpu else Stop(Reason.STEP, vcpu)
    told = stop_reply(client, stop)
    return told if vcpu == client.last.vcpu else b"T00" + told[3:]


def _threads_xml(client: Client) -> str:
    return "\n".join(["<threads>", *map(_thread_xml(client), client.target.threads()), "</threads>", ""])


def _thread_xml(client: Client) -> Callable[[Thread], str]:
    def one(thread: Thread) -> str:
        name = f'id="{client.thread(thread.vcpu)}" core="{thread.vcpu}" name="cpu{thread.vcpu}"'
        return f"<thread {name}>{_xml_text(thread.state)}</thread>"

    return one


def _xml_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Documents that are read in pieces --------------------------------------------------------------------------------


def _features(client: Client, annex: bytes, offset: int) -> bytes | None:
    if annex != b"target.xml":
        return None
    if not offset or "features" not in client.documents:
        described: str = import_module(_TARGET_XML).target_xml(client.registers, lldb=client.is_lldb)
        client.documents["features"] = described.encode()
    return client.documents["features"]


def _threads(client: Client, annex: bytes, offset: int) -> bytes | None:
    if annex:
        return None
    if not offset or "threads" not in client.documents:
        client.documents["threads"] = _threads_xml(client).encode()
    return client.documents["threads"]


_DOCUMENTS: Final[Mapping[bytes, Callable[[Client, bytes, int], bytes | None]]] = MappingProxyType(
    {b"features": _features, b"threads": _threads}
)


def _transfer(client: Client, argument: bytes) -> bytes:
    """Answer ``OBJECT:read:ANNEX:OFFSET,LENGTH``."""
    kind, _, rest = argument.partition(b":")
    operation, _, rest = rest.partition(b":")
    annex, _, piece = rest.rpartition(b":")
    document = _DOCUMENTS.get(kind)
    if document is None or operation != b"read":
        return UNKNOWN
    offset, length = range_of(piece)
    text = document(client, annex, offset)
    if text is None:
        return b"E00"
    length = min(length, LARGEST_READ)
    more = b"m" if offset + length < len(text) else b"l"
    return more + escape(text[offset : offset + length])


# Memory -----------------------------------------------------------------------------------------------------------


def _checksum(client: Client, argument: bytes) -> bytes:
    """Answer with the CRC of memory: zlib's polynomial, most significant bit first."""
    address, length = range_of(argument)
    if length > _MOST_SUMMED:
        return BAD_ARGUMENT
    found = 0
    while length:
        data = read_memory(client, address, min(length, _CHUNK))
        if not data or client.is_interrupted():
            return BAD_ADDRESS
        found = zlib.crc32(data.translate(_REVERSED), found)
        address, length = address + len(data), length - len(data)
    return f"C{int(f'{found ^ 0xFFFFFFFF:032b}'[::-1], 2):x}".encode()


def _region(client: Client, argument: bytes) -> bytes:
    """Answer with the known facts about the page of an address."""
    page = hex_number(argument) & -_PAGE
    mapped = "permissions:rwx;" if read_memory(client, page, 1) else ""
    return f"start:{page:x};size:{_PAGE:x};{mapped}".encode()


def _is_physical(client: Client, _argument: bytes) -> bytes:
    return b"1" if client.physical else b"0"


def _set_physical(client: Client, argument: bytes) -> bytes:
    if argument not in (b"0", b"1"):
        return BAD_ARGUMENT
    client.physical = argument == b"1"
    return OK


# Commands of the user, and the end --------------------------------------------------------------------------------


def _command(client: Client, argument: bytes) -> bytes:
    client.monitor(decoded(bytes.fromhex(argument.decode("ascii"))))
    return OK


def _detach(client: Client, _argument: bytes) -> bytes:
    client.state = State.DETACHED
    return OK


def _kill(client: Client, _argument: bytes) -> bytes:
    client.state = State.KILLED
    return OK


def _nothing(_client: Client, _argument: bytes) -> bytes:
    return UNKNOWN


def in_pieces(data: bytes) -> Iterator[bytes]:
    """Yield the packets that show text to the user."""
    for at in range(0, len(data), LARGEST_READ - 1):
        yield b"O" + data[at : at + LARGEST_READ - 1].hex().encode()


PACKETS: Final[Mapping[bytes, Handler]] = MappingProxyType(
    {
        b"!": _accepted,
        b"D": _detach,
        b"vKill;": _kill,
        b"vMustReplyEmpty": _nothing,
        b"vCont?": _actions,
        b"qSupported:": _supported,
        b"qSupported": _supported,
        b"QStartNoAckMode": _no_acks,
        b"QThreadSuffixSupported": _thread_suffix,
        b"QNonStop:": _all_stop,
        b"qAttached": _was_there,
        b"qOffsets": _offsets,
        b"qSymbol:": _accepted,
        b"qC": _current,
        b"qfThreadInfo": _first_threads,
        b"qsThreadInfo": _no_more_threads,
        b"qThreadExtraInfo,": _thread_text,
        b"qThreadStopInfo": _thread_stop,
        b"qXfer:": _transfer,
        b"qCRC:": _checksum,
        b"qHostInfo": _host,
        b"qProcessInfo": _process,
        b"qWatchpointSupportInfo": _watchpoints,
        b"qMemoryRegionInfo:": _region,
        b"qqemu.PhyMemMode": _is_physical,
        b"Qqemu.PhyMemMode:": _set_physical,
        b"qRcmd,": _command,
    }
)
"""The handlers by the start of the packet; the rest is their argument."""
