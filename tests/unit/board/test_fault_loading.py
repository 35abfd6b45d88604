"""``[[fault]]`` tables: their meaning, and what is refused with which key and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.board.fault_description import (
    AtAccess,
    AtCode,
    AtCpuOn,
    AtInstruction,
    AtInterrupt,
    AtTime,
    CpuOnFails,
    Direction,
    Effect,
    ExternalAbort,
    FaultDescription,
    FlipMemory,
    FlipRegister,
    Late,
    LoseInterrupt,
    SError,
    SpuriousInterrupt,
    Trigger,
    WrongValue,
)
from arm_vcpu_cli.board.fault_loading import ALL_FAULT_KEYS, FAULT_KINDS
from arm_vcpu_cli.board.fault_triggers import ALL_KEYS
from arm_vcpu_cli.board.loading import load_machine, machine_from_document
from arm_vcpu_cli.errors import MachineFileError

UART, RTC = range(0x0900_0000, 0x0900_1000), range(0x0901_0000, 0x0901_1000)
TIMED = 'at = { time = "1s" }'


def load(directory: Path, text: str) -> tuple[FaultDescription, ...]:
    path = directory / "board.toml"
    path.write_text(text, encoding="utf-8")
    return load_machine(path).faults


def fault(directory: Path, text: str) -> FaultDescription:
    (found,) = load(directory, f"[[fault]]\n{text}\n")
    return found


def refusals(directory: Path, text: str) -> list[str]:
    """What is refused, without the name of the file."""
    with pytest.raises(MachineFileError) as caught:
        load(directory, text)
    prefix = f"{directory / 'board.toml'}:"
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines), lines
    return [line.removeprefix(prefix) for line in lines]


def test_a_machine_has_no_faults_unless_its_file_names_some() -> None:
    assert load_machine(None).faults == ()
    assert machine_from_document({"fault": []}).faults == ()


@pytest.mark.parametrize(
    ("at", "trigger"),
    [
        ('time = "1.5ms"', AtTime(1_500_000)),
        ('time = "1s", every = "10ms", times = 3', AtTime(10**9, 10**7, 3)),
        ("instructions = 1_000", AtInstruction(1000)),
        ('symbol = "main+0x10"', AtCode("main+0x10")),
        ('symbol = "main", count = 3, times = 0, after = "2s"', AtCode("main", 3, 0, 2 * 10**9)),
        ("address = 0xffff_8000_0801_0000", AtCode(0xFFFF_8000_0801_0000)),
        ('access = "uart0"', AtAccess("uart0", (UART,))),
        (
            'access = "rtc", offset = 8, direction = "read", count = 2',
            AtAccess("rtc+0x8", (RTC[8:9],), Direction.READ, 2),
        ),
        (
            'access = "gic"',
            AtAccess("gic", (range(0x800_0000, 0x801_0000), range(0x80A_0000, 0x80A_0000 + 0xF6_0000))),
        ),
        ("access = [0x1000, 16]", AtAccess("0x1000 to 0x100f", (range(0x1000, 0x1010),))),
        ("intid = 27, count = 5", AtInterrupt(27, 5)),
    ],
)
def test_triggers(tmp_path: Path, at: str, trigger: Trigger) -> None:
    kind = 'kind = "late"\ndelay = "1ns"' if "access" in at else 'kind = "flip"\nregister = "x0"\nbit = 0'
    assert fault(tmp_path, f"{kind}\nat = {{ {at} }}").trigger == trigger


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        (f'kind = "external-abort"\n{TIMED}', ExternalAbort()),
        (f'kind = "external-abort"\non = "fetch"\n{TIMED}', ExternalAbort(on_fetch=True)),
        (f'kind = "serror"\n{TIMED}', SError(0)),
        (f'kind = "serror"\niss = 0x100_0011\n{TIMED}', SError(0x100_0011)),
        (f'kind = "flip"\nregister = "X30"\nbit = 63\n{TIMED}', FlipRegister("x30", (63,))),
        (f'kind = "flip"\nregister = "v31"\nbit = [127, 0]\n{TIMED}', FlipRegister("v31", (127, 0))),
        (f'kind = "flip"\nregister = "sctlr_el1"\nbit = 0\n{TIMED}', FlipRegister("SCTLR_EL1", (0,))),
        (f'kind = "flip"\nipa = 0x4000_0000\nbit = [3, 3]\n{TIMED}', FlipMemory(0x4000_0000, (3,))),
        (f'kind = "flip"\nva = 0x10\nbit = 8\n{TIMED}', FlipMemory(0x10, (8,), is_virtual=True)),
        (f'kind = "flip"\nsymbol = "cell"\nbit = 8\n{TIMED}', FlipMemory("cell", (8,), is_virtual=True)),
        ('kind = "wrong-value"\nxor = 1\nat = { access = "rtc" }', WrongValue(xor=1)),
        ('kind = "wrong-value"\nvalue = 0\nat = { access = "rtc" }', WrongValue(0)),
        ('kind = "late"\ndelay = "2us"\nat = { access = "rtc" }', Late(2000)),
        ('kind = "lose-interrupt"\nat = { intid = 33 }', LoseInterrupt()),
        (f'kind = "spurious-interrupt"\nintid = 33\n{TIMED}', SpuriousInterrupt(33)),
        ('kind = "cpu-on-fails"', CpuOnFails(PsciStatus.INTERNAL_FAILURE)),
        ('kind = "cpu-on-fails"\nstatus = "success"', CpuOnFails(PsciStatus.SUCCESS)),
    ],
)
def test_effects(tmp_path: Path, text: str, effect: Effect) -> None:
    assert fault(tmp_path, text).effect == effect


def test_a_wrong_value_concerns_reads_only(tmp_path: Path) -> None:
    trigger = fault(tmp_path, 'kind = "wrong-value"\nxor = 1\nat = { access = "rtc" }').trigger
    assert trigger == AtAccess("rtc", (RTC,), Direction.READ)


def test_names_and_the_vcpu_concerned(tmp_path: Path) -> None:
    first, second = load(
        tmp_path,
        '[cpu]\ncount = 2\n[[fault]]\nkind = "cpu-on-fails"\n[[fault]]\nenabled = false\nkind = "serror"\n'
        '[[fault]]\nname = "b"\nkind = "cpu-on-fails"\ncpu = 1\nat = { call = "cpu-on", count = 2 }\n',
    )
    assert (first.name, first.kind, first.cpu, first.key) == ("fault0", "cpu-on-fails", None, "fault[0]")
    assert (second.name, second.cpu, second.key, second.trigger) == ("b", 1, "fault[2]", AtCpuOn(2))


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", '1: fault[0].kind: missing, expected "external-abort", "serror", '),
        ('kind = "flp"', '2: fault[0].kind: expected "external-abort", '),
        (f'kind = "serror"\n{TIMED}\nbit = 1', '4: fault[0].bit: faults of the kind "serror" have no such key'),
        (f'kind = "serror"\n{TIMED}\nbits = 1', '4: fault[0].bits: unknown key (did you mean "bit"?)'),
        ('kind = "serror"', "1: fault[0].at: missing, expected one of the keys time, instructions, symbol, "),
        ('kind = "serror"\nat = 5', "3: fault[0].at: expected a table, found 5"),
        ('kind = "serror"\nat = { when = 5 }', "3: fault[0].at.when: unknown key"),
        (
            'kind = "serror"\nat = { time = "1s", symbol = "main" }',
            "3: fault[0].at.symbol: cannot be combined with fault[0].at.time",
        ),
        ('kind = "serror"\nat = { time = "1 day" }', "3: fault[0].at.time: expected a time such as 100ns, 20us, "),
        ('kind = "serror"\nat = { time = 1 }', "3: fault[0].at.time: expected a string, found 1"),
        ('kind = "serror"\nat = { time = "99999999999999s" }', "3: fault[0].at.time: expected a time from 0 ns to 36 "),
        ('kind = "serror"\nat = { time = "1s", every = "0s" }', "3: fault[0].at.every: expected a time from 1 ns to "),
        (
            'kind = "serror"\nat = { time = "1s", times = 2 }',
            "3: fault[0].at.times: is only allowed with fault[0].at.every",
        ),
        (
            'kind = "serror"\nat = { time = "1s", count = 2 }',
            "3: fault[0].at.count: has no meaning with fault[0].at.time",
        ),
        ('kind = "serror"\nat = { address = 2 }', "3: fault[0].at.address: expected a multiple of 4 bytes, found 2"),
        ('kind = "serror"\nat = { symbol = "a", count = 0 }', "3: fault[0].at.count: expected an integer from 1 to "),
        ('kind = "serror"\nat = { intid = 15 }', "3: fault[0].at.intid: expected an integer from 16 to 1019, found 15"),
        (
            'kind = "late"\ndelay = "1s"\nat = { time = "1s" }',
            '4: fault[0].at.time: a fault of the kind "late" is triggered by access',
        ),
        ('kind = "late"\nat = { access = "rtc" }', "1: fault[0].delay: missing, expected a string"),
        (
            'kind = "late"\ndelay = "1s"\nat = { access = "uart7" }',
            "4: fault[0].at.access: expected a device (uart0, rtc, ",
        ),
        (
            'kind = "late"\ndelay = "1s"\nat = { access = [0x4000_0000, 4] }',
            "4: fault[0].at.access: accesses to memory.ram do not exit, so they cannot be counted; expected no memory",
        ),
        (
            'kind = "late"\ndelay = "1s"\nat = { access = [1, 2, 3] }',
            "4: fault[0].at.access: expected an array of 2 to 2 integers, found 3 of them",
        ),
        (
            'kind = "late"\ndelay = "1s"\nat = { access = "rtc", offset = 0x1000 }',
            "4: fault[0].at.offset: expected an integer from 0 to 4095, found 0x1000",
        ),
        ('kind = "wrong-value"\nat = { access = "rtc" }', "1: fault[0]: missing, expected one of the keys value, xor"),
        (
            'kind = "wrong-value"\nxor = 1\nvalue = 1\nat = { access = "rtc" }',
            "3: fault[0].xor: cannot be combined with fault[0].value",
        ),
        (
            'kind = "wrong-value"\nxor = 1\nat = { access = "rtc", direction = "write" }',
            "4: fault[0].at.direction: a write returns no value",
        ),
        (
            'kind = "external-abort"\non = "fetch"\nat = { access = "rtc" }',
            "3: fault[0].on: has no meaning with fault[0].at.access: it is the access that is aborted",
        ),
        (f'kind = "flip"\nregister = "x31"\nbit = 0\n{TIMED}', "3: fault[0].register: expected one of x0 to x30, sp, "),
        (f'kind = "flip"\nregister = "x0"\nbit = 64\n{TIMED}', "4: fault[0].bit: expected an integer from 0 to 63, fo"),
        (f'kind = "flip"\nregister = "x0"\nbit = []\n{TIMED}', "4: fault[0].bit: expected an array of 1 to 64 integer"),
        (f'kind = "flip"\nregister = "x0"\n{TIMED}', "1: fault[0].bit: missing, expected an integer"),
        (
            f'kind = "flip"\nbit = 0\n{TIMED}',
            "1: fault[0]: missing, expected one of the keys register, ipa, va, symbol",
        ),
        (
            f'kind = "flip"\nipa = 0\nbit = 0\n{TIMED}',
            "3: fault[0].ipa: expected an address in a memory region, found 0",
        ),
        (f'kind = "serror"\niss = 0x200_0000\n{TIMED}', "3: fault[0].iss: expected an integer from 0 to 0x1ffffff, "),
        ('kind = "cpu-on-fails"\nstatus = "no"', '3: fault[0].status: expected "success", "not-supported", '),
        ('kind = "cpu-on-fails"\ncpu = 1', "3: fault[0].cpu: expected an integer from 0 to 0, found 1"),
        ('kind = "cpu-on-fails"\nname = "a b"', "3: fault[0].name: expected a name of at most 64 letters, digits, '-'"),
        (
            'kind = "cpu-on-fails"\n[[fault]]\nkind = "cpu-on-fails"\nname = "fault0"',
            '5: fault[1].name: "fault0" is already that of fault[0]',
        ),
    ],
)
def test_each_bad_key_is_one_line(tmp_path: Path, text: str, refusal: str) -> None:
    (found,) = refusals(tmp_path, f"[[fault]]\n{text}\n")
    assert found.startswith(refusal)
    assert len(found) < 500


def test_all_bad_keys_are_told_at_once(tmp_path: Path) -> None:
    found = refusals(
        tmp_path,
        '[[fault]]\nkind = "flip"\nbit = 99\nregister = "y"\n[[fault]]\nkind = "late"\ndelay = "x"\n'
        'at = { access = "y", count = 0 }\n',
    )
    assert [line.split(": ")[0] + line.split(": ")[1] for line in found] == [
        "1fault[0].at",
        "3fault[0].bit",
        "4fault[0].register",
        "7fault[1].delay",
        "8fault[1].at.access",
        "8fault[1].at.count",
    ]


@pytest.mark.parametrize("text", ["fault = 1\n", "[fault]\nkind = 1\n", "fault = [1, 2]\n"])
def test_what_is_no_array_of_tables_is_refused(tmp_path: Path, text: str) -> None:
    assert all(line.split(": ")[1] == "fault" for line in refusals(tmp_path, text))


def test_accesses_that_do_not_exit_cannot_be_counted(tmp_path: Path) -> None:
    text = '[device.uart0]\npassthrough = true\n[[fault]]\nkind = "late"\ndelay = "1s"\nat = { access = "uart0" }\n'
    (found,) = refusals(tmp_path, text)
    assert (
        found == '6: fault[0].at.access: "uart0" is passed through, so its accesses do not exit and cannot be counted'
    )


def test_instructions_are_counted_on_one_physical_cpu(tmp_path: Path) -> None:
    text = '[cpu]\ncount = 2\nphys_cpus = 2\n[[fault]]\nkind = "serror"\nat = { instructions = 1 }\n'
    (found,) = refusals(tmp_path, text)
    assert (
        found == "6: fault[0].at.instructions: instructions are counted on a single physical CPU only (cpu.phys_cpus)"
    )


def test_interrupts_need_a_controller(tmp_path: Path) -> None:
    text = f'[device.gic]\nenabled = false\n[[fault]]\nkind = "spurious-interrupt"\nintid = 33\n{TIMED}\n'
    assert refusals(tmp_path, text) == ["5: fault[0].intid: the machine has no interrupt controller"]


VALUES = st.one_of(
    st.none().map(lambda _: {}),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.sampled_from(("1s", "rtc", "x0", "fetch", "read", "main", "success", *FAULT_KINDS)),
    st.text(max_size=8),
    st.lists(st.integers(-1, 1 << 66), max_size=3),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                **{key: VALUES for key in ALL_FAULT_KEYS if key not in ("at", "kind")},
                "kind": st.sampled_from(FAULT_KINDS),
                "at": st.one_of(VALUES, st.dictionaries(st.sampled_from(ALL_KEYS), VALUES, max_size=4)),
            },
        ),
        max_size=3,
    )
)
def test_any_values_make_faults_or_an_error_of_lines(tables: list[dict[str, object]]) -> None:
    try:
        faults = machine_from_document({"fault": tables}).faults
    except MachineFileError as error:
        assert all("fault" in line or line.endswith(" more") for line in str(error).splitlines())
    else:
        assert len(faults) <= len(tables)
