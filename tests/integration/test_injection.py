"""Fault injection (``[[fault]]``): the effect of each kind on a guest, and its report."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from .command import armvcpu, assert_refused, guest

GUEST = guest("injected")
PLAIN = {
    "w": 0x1030,
    "v": 0,
    "c": 0x2030,
    "f": 0x90,
    "i": 3,
    "s": 0,
    "o": 0,
}
"""What the guest prints: the registers and the cell that three rounds have changed, UARTFR, the interrupts of the timer
and those without a cause, the result of CPU_ON."""
WORK, FLAGS = 0x4008_00D0, 0x4008_00F4
SYNCHRONOUS, UNMASKED = "S", "E"


def faults(folder: Path, *tables: str) -> Path:
    path = folder / "faults.toml"
    path.write_text("[cpu]\ncount = 2\n" + "".join(f"[[fault]]\n{table}\n" for table in tables))
    return path


def printed(out: bytes) -> list[tuple[str, int]]:
    return [(line[0], int(line[1:], 16)) for line in out.decode().splitlines()]


def run(folder: Path, *tables: str) -> list[tuple[str, int]]:
    finished = armvcpu("run", "--timeout", 60, "-m", faults(folder, *tables), GUEST)
    assert finished.status == 0, finished.err
    return printed(finished.out)


def changed(**values: int) -> list[tuple[str, int]]:
    """What is printed without faults, with other values of some lines."""
    return list({**PLAIN, **values}.items())


def test_without_faults(tmp_path: Path) -> None:
    finished = armvcpu("run", "-m", faults(tmp_path), GUEST)
    assert (finished.status, finished.err) == (0, "")
    assert printed(finished.out) == changed()


def test_bits_flip_in_registers_and_memory(tmp_path: Path) -> None:
    before_second = 'at = { symbol = "work", count = 2 }'
    assert run(
        tmp_path,
        f'kind = "flip"\nregister = "x19"\nbit = [4, 40]\n{before_second}',
        f'kind = "flip"\nregister = "v5"\nbit = 63\n{before_second}',
        'kind = "flip"\nsymbol = "cell"\nbit = [4, 63]\nat = { address = 0x400800d4, count = 2 }',
        'kind = "flip"\nipa = 0x400810a1\nbit = 3\nat = { symbol = "flags" }',
    ) == changed(w=0x100_0000_1020, v=1 << 63, c=1 << 63 | 0x2020)


def test_code_that_has_been_executed_is_that_of_the_flipped_memory(tmp_path: Path) -> None:
    # add x19, x19, #0x10 becomes add x19, x19, #0x11
    flip = 'kind = "flip"\nsymbol = "work"\nbit = 10\nat = { symbol = "work", count = 3 }'
    assert run(tmp_path, flip) == changed(w=0x1031)


def test_a_flipped_pc_goes_elsewhere(tmp_path: Path) -> None:
    flip = 'kind = "flip"\nregister = "pc"\nbit = 2\nat = { symbol = "work", count = 2 }'
    assert run(tmp_path, flip) == changed(w=0x1020)


def test_a_device_access_aborts(tmp_path: Path) -> None:
    abort = 'kind = "external-abort"\nat = { access = "uart0", offset = 0x18, direction = "read" }'
    expected = changed(f=0x2030)
    expected[3:3] = [(SYNCHRONOUS, 0x9600_0010), ("F", 0x0900_0018), ("L", FLAGS)]
    assert run(tmp_path, abort) == expected


def test_an_instruction_aborts_on_its_data_or_its_fetch(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        'kind = "external-abort"\nat = { symbol = "work+8" }',
        'kind = "external-abort"\nat = { symbol = "work+16", count = 2 }',
        'kind = "external-abort"\non = "fetch"\nat = { symbol = "work", count = 3 }',
    )
    assert found[:9] == [
        *((SYNCHRONOUS, 0x9600_0010), ("F", 0x4008_10A0), ("L", WORK + 8)),
        *((SYNCHRONOUS, 0x9600_0050), ("F", 0x4008_10A0), ("L", WORK + 16)),
        *((SYNCHRONOUS, 0x8600_0010), ("F", WORK), ("L", WORK)),
    ]
    assert found[9:] == changed(w=0x1020, c=0x20)


def test_an_abort_of_an_instruction_without_an_address_has_none(tmp_path: Path) -> None:
    found = run(tmp_path, 'kind = "external-abort"\nat = { symbol = "work" }')
    assert found[:3] == [(SYNCHRONOUS, 0x9600_0410), ("F", 0), ("L", WORK)]


def test_an_serror_waits_until_it_is_unmasked(tmp_path: Path) -> None:
    found = run(tmp_path, 'kind = "serror"\niss = 0x11\nat = { symbol = "work", count = 2 }')
    assert found[:4] == changed()[:4]
    assert found[4:6] == [(UNMASKED, 0xBE00_0011), ("F", 0)]
    name, place = found[6]
    assert name == "L" and 0x4008_0070 < place < 0x4008_0110
    assert found[7:] == changed()[4:]


@pytest.mark.parametrize(("text", "value"), [("xor = 0x90", 0), ("value = 0x1_0000_0055", 0x55)])
def test_a_device_answers_wrong(tmp_path: Path, text: str, value: int) -> None:
    assert run(tmp_path, f'kind = "wrong-value"\n{text}\nat = {{ access = "uart0", offset = 0x18 }}') == changed(
        f=value
    )


def test_a_device_answers_late(tmp_path: Path) -> None:
    # The guest waits for interrupts for 8 ms, and the first access of them that takes 20 ms is its last.
    assert run(
        tmp_path,
        'kind = "lose-interrupt"\nat = { intid = 27, count = 1 }',
        'kind = "late"\ndelay = "3ms"\nat = { access = "uart0", count = 3 }',
    ) == changed(i=0)
    finished = armvcpu(
        "trace", "--events", "fault", "-m",
        faults(tmp_path, 'kind = "late"\ndelay = "3ms"\nat = { access = "uart0", count = 3, times = 2 }'), GUEST,
    )  # fmt: skip
    assert " 0.0030" in [line for line in finished.err.splitlines() if " fault late " in line][1]


def test_an_interrupt_is_lost(tmp_path: Path) -> None:
    assert run(tmp_path, 'kind = "lose-interrupt"\nat = { intid = 27, count = 2 }') == changed(i=1)


def test_an_interrupt_comes_without_a_cause(tmp_path: Path) -> None:
    storm = 'kind = "spurious-interrupt"\nintid = 27\nat = { time = "600us", every = "100us", times = 3 }'
    assert run(tmp_path, storm) == changed(s=3)


@pytest.mark.parametrize(("status", "result"), [("", -6), ('status = "denied"', -3), ('status = "success"', 0)])
def test_a_cpu_does_not_start(tmp_path: Path, status: str, result: int) -> None:
    fault = f'kind = "cpu-on-fails"\ncpu = 1\n{status}'
    assert run(tmp_path, fault) == changed(o=result & (1 << 64) - 1)
    finished = armvcpu("trace", "--events", "state", "--vcpu", 1, "-m", faults(tmp_path, fault), GUEST)
    assert "running" not in finished.err


# How they are told -------------------------------------------------------------------------------------------------

ALL = (
    'name = "bad-fetch"\nkind = "external-abort"\non = "fetch"\nat = { symbol = "work", count = 3 }',
    'name = "bus-error"\nkind = "external-abort"\nat = { access = "uart0", offset = 0x18 }',
    'kind = "serror"\nat = { symbol = "work", count = 2 }',
    'name = "lost"\nkind = "lose-interrupt"\nat = { intid = 27, count = 2 }',
    'name = "far"\nkind = "flip"\nregister = "x0"\nbit = 0\nat = { time = "1s" }',
)


@cache
def trace(machine: Path, path: Path) -> bytes:
    finished = armvcpu("trace", "--el1", "-o", path, "-m", machine, GUEST)
    assert finished.status == 0, finished.err
    return path.read_bytes()


def test_a_trace_has_an_event_of_each_injection(tmp_path: Path) -> None:
    lines = trace(faults(tmp_path, *ALL), tmp_path / "a.jsonl").splitlines()
    events = [json.loads(line) for line in lines]
    found = [event for event in events if event["type"] == "fault"]
    assert [(event["kind"], event["fault"], event["number"]) for event in found] == [
        ("external-abort", "bad-fetch", 1),
        ("external-abort", "bus-error", 1),
        ("serror", "fault2", 1),
        ("lose-interrupt", "lost", 1),
    ]
    assert found[0]["pc"] == hex(WORK) and found[0]["symbol"] == "work"
    assert found[1]["effect"] == "external abort on the read of 0x9000018"
    # Each is followed by the exception that it causes, and an abort of a device follows its exit.
    kinds = [event["type"] for event in events]
    after = [kinds[events.index(event) + 1] for event in found]
    assert after == ["exception", "exception", "exception", "entry"] or after[:3] == ["exception"] * 3
    assert kinds[events.index(found[1]) - 1] == "exit"


def test_a_run_repeats_and_is_the_one_without_up_to_the_fault(tmp_path: Path) -> None:
    plain = trace(faults(tmp_path), tmp_path / "plain.jsonl").splitlines()
    machine = faults(tmp_path, ALL[1], ALL[3], ALL[4])
    first = trace(machine, tmp_path / "first.jsonl")
    assert trace(machine, tmp_path / "second.jsonl") == first
    lines = first.splitlines()
    fault = next(number for number, line in enumerate(lines) if b'"type":"fault"' in line)
    # The one before is the exit that the fault concerns; the first names the machine.
    assert fault > 100
    assert lines[1 : fault - 1] == plain[1 : fault - 1]


@pytest.mark.parametrize("format_", ["text", "ftrace", "chrome", "perfetto"])
def test_every_format_shows_them(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "trace"
    armvcpu("trace", "--format", format_, "--events", "fault", "-o", path, "-m", faults(tmp_path, *ALL), GUEST)
    data = path.read_bytes()
    assert all(name in data for name in (b"bad-fetch", b"bus-error", b"fault2", b"lost"))
    assert b"far" not in data


@pytest.mark.parametrize("command", [("run",), ("stat",), ("trace", "--events", "state")])
def test_the_end_of_a_run_tells_of_all_faults(tmp_path: Path, command: tuple[str, ...]) -> None:
    finished = armvcpu(*command, "-m", faults(tmp_path, *ALL), GUEST)
    lines = finished.err.splitlines()
    told = lines[lines.index("injected faults:") + 1 :]
    assert [line.split()[:3] for line in told] == [
        ["fault", name, "was"] for name in ("bad-fetch", "bus-error", "fault2", "lost", "far")
    ]
    assert told[0].endswith(": external abort on the fetch of the instruction at 0x400800d0")
    assert told[4] == "  fault far was not injected: the run ended before its time"


def test_so_does_walk(tmp_path: Path) -> None:
    machine = faults(tmp_path, *ALL)
    finished = armvcpu("walk", "-m", machine, "--at", "flags", GUEST, "pc")
    assert finished.out.decode().splitlines()[1].startswith("fault bad-fetch was injected at 0.0")
    finished = armvcpu("walk", "-m", machine, "--at", "flags", "--json", GUEST, "pc")
    assert len(json.loads(finished.out)["faults"]) == len(ALL)


def test_the_report_of_a_guest_that_fails_has_them(tmp_path: Path) -> None:
    wild = 'name = "wild"\nkind = "flip"\nregister = "x0"\nbit = 63\nat = { symbol = "off" }'
    finished = armvcpu("run", "--timeout", 1, "--report", "full", "-m", faults(tmp_path, wild), GUEST)
    assert "  fault wild was injected at " in finished.err
    assert "injected faults:" in finished.err.splitlines()


# What a guest rules out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "place"),
    [
        (
            'kind = "serror"\nat = { symbol = "worm" }',
            "faults.toml:5: fault[0].at.symbol: no symbol of the guest is called worm (did you mean work?)",
        ),
        (
            'kind = "serror"\nat = { symbol = "work+2" }',
            "faults.toml:5: fault[0].at.symbol: work+2 is 0x400800d2, which is not the address of an instruction",
        ),
        (
            'kind = "flip"\nbit = 0\nat = { time = "1s" }\nsymbol = "x+y"',
            "faults.toml:7: fault[0].symbol: no symbol of the guest is called x+y",
        ),
        (
            'kind = "lose-interrupt"\nat = { intid = 100 }',
            "faults.toml:5: fault[0].at.intid: no device of this machine asserts INTID 100",
        ),
        (
            'kind = "spurious-interrupt"\nintid = 1000\nat = { time = "1s" }',
            "faults.toml:5: fault[0].intid: INTID 1000 is not an SPI of this GIC",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_its_line(tmp_path: Path, table: str, place: str) -> None:
    assert_refused(armvcpu("run", "-m", faults(tmp_path, table), GUEST), place)


# Faults of a file of their own -------------------------------------------------------------------------------------


def test_faults_of_a_file_are_injected_into_a_run_that_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    file, snapshot = tmp_path / "more.toml", tmp_path / "a.snap"
    place = 'name = "place"\nkind = "flip"\nregister = "x20"\nbit = 7\nat = { symbol = "interrupts+0x68", count = 300 }'
    number = 'name = "number"\nkind = "flip"\nregister = "x21"\nbit = 6\nat = { instructions = 6000 }'
    file.write_text(f"[[fault]]\n{place}\n[[fault]]\n{number}\n")
    whole = armvcpu("run", "--faults", file, GUEST)
    assert armvcpu("snapshot", GUEST, "--max-exits", 77, "-o", snapshot).status == 0
    rest = armvcpu("run", "--from", snapshot, "--faults", file)
    assert (rest.status, rest.err) == (0, whole.err)
    assert rest.out and whole.out.endswith(rest.out)
    assert b"i0000000000000080\n" in rest.out and b"s0000000000000040\n" in rest.out
    file.write_text('[[fault]]\nkind = "serror"\nat = { instructions = 1000 }\n')
    assert "fault fault0 was not injected: its time was before the snapshot" in (
        armvcpu("run", "--from", snapshot, "--faults", file).err
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[boot]\n", 'more.toml:1: boot: unknown key, expected "fault"'),
        ('[[fault]]\nkind = "x"\n', 'more.toml:2: fault[0].kind: expected "external-abort", '),
        (
            '[[fault]]\nkind = "cpu-on-fails"\nname = "a"\n',
            'more.toml:3: fault[0].name: "a" is already that of a fault',
        ),
        (
            '[[fault]]\nkind = "serror"\nat = { symbol = "worm" }\n',
            "more.toml:3: fault[0].at.symbol: no symbol of the ",
        ),
    ],
)
def test_errors_of_that_file_are_told_with_its_name(tmp_path: Path, text: str, place: str) -> None:
    more = tmp_path / "more.toml"
    more.write_text(text)
    machine = faults(tmp_path, 'name = "a"\nkind = "cpu-on-fails"')
    assert_refused(armvcpu("run", "-m", machine, "--faults", more, GUEST), place)
    assert_refused(armvcpu("run", "-m", machine, "--faults", tmp_path / "nothing.toml", GUEST), "cannot be read")
