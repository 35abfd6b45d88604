"""What is said of a guest that did not end well, and ``--regs``."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.command import SAMPLES, Finished, armvcpu, guest, sample

GPR = re.compile(r"\bx(\d+) +0x([0-9a-f]{16})")
REGISTER = re.compile(r"^ *([A-Z][A-Z0-9_]+) +0x([0-9a-f]{16})(?: (.*))?$", re.MULTILINE)

BENCH = Path(__file__).resolve().parents[1] / "bench" / "guests"


def gprs(text: str) -> dict[int, int]:
    return {int(number): int(value, 16) for number, value in GPR.findall(text)}


def registers(text: str) -> dict[str, tuple[int, str]]:
    return {name: (int(value, 16), decoded) for name, value, decoded in REGISTER.findall(text)}


@pytest.fixture(scope="module")
def crash() -> Finished:
    return armvcpu("run", sample("crash"))


def test_a_dead_guest_has_its_status_and_what_it_printed(crash: Finished) -> None:
    assert crash.status == 122
    assert crash.out == b"Storing to 0xdead0000\n"


def section(text: str, heading: str) -> list[str]:
    """The lines of a section of the report, without the indentation of all of them."""
    found = re.search(rf"^{re.escape(heading)}[^\n]*:\n((?:  .*\n)*)", text, re.MULTILINE)
    assert found is not None, heading
    return [line[2:] for line in found[1].splitlines()]


def test_the_sections_come_in_the_order_in_which_they_are_read(crash: Finished) -> None:
    headings = [line for line in crash.err.splitlines() if not line.startswith((" ", "armvcpu: "))]
    assert [re.sub(r" .*|:", "", heading) for heading in headings] == [
        "what",
        "what",
        "code",
        "backtrace",
        "translation",
        "last",
        "registers",
    ]


def test_the_report_names_the_first_exception_and_the_one_of_the_missing_vector(crash: Finished) -> None:
    first, place, syndrome, second, there, vector = section(crash.err, "what happened")
    assert first == "data abort on a write to 0xdead0000 (synchronous external abort)"
    assert re.fullmatch(r"  at 0x00000000400\w+ <inner\+0x8> crash/crash\.c:\d+, SP=0x400\w+", place)
    assert re.match(r"  ESR_EL1=0x96000050 FAR_EL1=0xdead0000 EC=0x25 \(", syndrome)
    assert "WnR=1 DFSC=0x10 (synchronous external abort)" in syndrome
    assert second == "then, at the vector for it: instruction abort (synchronous external abort), over and over"
    assert re.fullmatch(r"  at 0x0000000000000200, SP=0x400\w+", there)
    assert re.match(r"  ESR_EL1=0x86000010 FAR_EL1=0x200 EC=0x21 \(", vector)


def test_the_report_says_what_that_usually_means_and_what_to_try(crash: Finished) -> None:
    text = " ".join(" ".join(section(crash.err, "what this usually means")).split())
    assert "No memory and no device is at IPA 0xdead0000: RAM has 512 MiB and ends at 0x5fffffff." in text
    assert "Try: if the guest counts on more, --memory 4GiB reaches that far" in text
    assert "The guest takes an exception before it has set VBAR_EL1" in text


def test_the_code_is_that_of_the_fault_with_its_source(crash: Finished) -> None:
    lines = section(crash.err, "code")
    (at,) = [number for number, line in enumerate(lines) if line.startswith("=> ")]
    assert re.match(r"=> 0x400\w+  f9000001", lines[at])
    assert re.fullmatch(r"   crash/crash\.c:\d+:", lines[at - 1])


def test_the_disassembly_is_there_if_its_package_is(crash: Finished) -> None:
    heading = next(line for line in crash.err.splitlines() if line.startswith("code"))
    if find_spec("capstone") is None:
        assert heading == "code (raw words: pip install 'arm-vcpu-cli[disasm]' for their names):"
    else:
        assert heading == "code:"
        assert re.search(r"^  => .*  str     x1, \[x0\]    x0=0xdead0000 x1=0x5a$", crash.err, re.MULTILINE)


def test_both_stages_of_the_address_are_walked(crash: Finished) -> None:
    lines = section(crash.err, "translation of VA 0xdead0000, write by EL1")
    assert lines[0] == "stage 1, VA 0xdead0000: off (SCTLR_EL1.M = 0): the IPA is the VA"
    assert lines[2].startswith("stage 2, IPA 0xdead0000: VTTBR_EL2 0x")
    assert re.fullmatch(r"  level 2  PA 0x\w+: 0x0000000000000000  invalid: nothing is mapped", lines[3])
    assert lines[4] == "  -> translation fault, level 2, of stage 2 (fault status 0x06)"


def test_the_last_exits_are_told_and_repetitions_only_counted(crash: Finished) -> None:
    lines = section(crash.err, "last exits")
    assert len(lines) <= 20
    printing, store, fetch, again = lines[-4:]
    assert "MmioWrite" in printing
    assert "device=uart0 register=PL011.UARTDR" in printing
    assert re.search(r"MmioWrite +EL1 0x400\w+ <inner\+0x8> +ipa=0xdead0000 .*data=0x5a", store)
    assert re.search(r"NestedPageFault +EL1 0x200 +ipa=0x200 va=0x200 access=execute$", fetch)
    assert re.fullmatch(r" +the same \d+ times? more", again)


def test_the_backtrace_is_that_of_the_code_that_faulted(crash: Finished) -> None:
    first, *frames = section(crash.err, "backtrace")
    assert first == "    0x0000000000000200 (exception vector)"
    pattern = re.compile(r"#(\d) +0x[0-9a-f]{16} <(\w+)\+0x[0-9a-f]+> ([\w/]+\.\w):\d+")
    names = [match.groups() if (match := pattern.fullmatch(frame)) else frame for frame in frames]
    assert names == [
        ("0", "inner", "crash/crash.c"),
        ("1", "outer", "crash/crash.c"),
        ("2", "main", "crash/crash.c"),
        ("3", "_start", "common/start.S"),
    ]


def test_the_line_of_a_caller_is_that_of_the_call(crash: Finished) -> None:
    source = (SAMPLES / "crash" / "crash.c").read_text().splitlines()
    outer = next(line for line in section(crash.err, "backtrace") if "<outer" in line)
    assert "inner(address, 0x5a)" in source[int(outer.rpartition(":")[2]) - 1]


def test_the_last_line_says_in_words_what_happened(crash: Finished) -> None:
    assert re.fullmatch(
        r"armvcpu: the guest is stuck after a data abort on a write to 0xdead0000 \(synchronous external abort\) at "
        r"0x400\w+ <inner\+0x8>: its handler is missing, the vector at 0x200 \(VBAR_EL1 is 0x0\) cannot be fetched "
        r"\(synchronous external abort\)",
        crash.last,
    )


def test_the_report_has_the_syndromes_of_both_levels_and_keeps_them_apart(crash: Finished) -> None:
    found = registers(crash.err)
    assert found["ESR_EL1"][0] == 0x8600_0010
    esr_el2, decoded = found["ESR_EL2"]
    assert esr_el2 >> 26 == 0x20
    assert decoded.startswith("last exit: EC=0x20 (Instruction Abort from a lower Exception level) IL=1")


def test_esr_el2_is_that_of_the_last_exit_and_not_of_a_later_exception_at_el1() -> None:
    # All exceptions of this guest are EL1's own: the syndrome that the core keeps is that of the last of them.
    finished = armvcpu("run", "--regs", guest("own_vectors"))
    assert finished.status == 122
    assert re.search(r"^ +ESR_EL2 +\(no exit to EL2\)$", finished.err, re.MULTILINE)
    assert registers(finished.err)["ESR_EL1"][0] == 0x0200_0000


def test_regs_prints_the_registers_of_a_guest_that_powered_off() -> None:
    finished = armvcpu("run", "--regs", sample("hello"))
    assert finished.status == 0
    assert finished.out.startswith(b"Hello from EL1!\n")
    values = gprs(finished.err)
    assert sorted(values) == list(range(31))
    assert values[0] == 0x8400_0008
    assert re.search(r"^pc  0x00000000400\w+ <psci_system_off\+0x\w+>$", finished.err, re.MULTILINE)
    assert re.search(r"^sp  0x0000000040\w+  SP_EL0 0x0  SP_EL1 0x40\w+$", finished.err, re.MULTILINE)
    found = registers(finished.err)
    assert found["PSTATE"][1].endswith("D=1 A=1 I=1 F=1 M=0x05 (EL1h)")
    assert found["HCR_EL2"] == (0x800C_2019, "RW=1 TSC=1 TID3=1 TWI=1 IMO=1 FMO=1 VM=1")
    assert found["SCTLR_EL1"][0] == 0x30C5_0830
    assert found["VMPIDR_EL2"] == (0x8000_0000, "RES1=1")
    assert found["VBAR_EL1"] == (0, "")
    assert found["ESR_EL1"] == (0, "")
    assert found["ESR_EL2"] == (0x5A00_0000, "last exit: EC=0x16 (HVC in AArch64 state) IL=1")
    assert re.fullmatch(r"armvcpu: the guest powered off \(\d+ exits to EL2, \d+\.\d{3} s\)", finished.last)


@pytest.mark.parametrize(
    ("options", "name", "status"),
    [
        (("--timeout", "0.4"), "spin", 124),
        (("--max-exits", "500"), "flood", 124),
    ],
)
def test_regs_of_a_guest_that_was_stopped_comes_with_a_backtrace(
    options: tuple[str, ...], name: str, status: int
) -> None:
    finished = armvcpu("run", "--regs", *options, guest(name))
    assert finished.status == status
    assert sorted(gprs(finished.err)) == list(range(31))
    assert re.search(r"^backtrace:\n  #0  0x00000000400800\w+ <_start\+", finished.err, re.MULTILINE)
    assert "HCR_EL2" in registers(finished.err)
    stopped = r"armvcpu: stopped after (0\.4 s|500 exits) at 0x400800\w+ <_start\+0x\w+> \(\d+ exits"
    assert re.match(stopped, finished.last)


def test_a_leaf_function_that_uses_the_link_register_for_something_else_adds_no_frame() -> None:
    finished = armvcpu("run", "--regs", "--timeout", "0.3", BENCH / "compute-nommu.elf")
    frames = section(finished.err, "backtrace")
    assert [re.sub(r".*<|[+>].*", "", line) for line in frames] == ["compute", "main", "_start"]


def test_registers_that_have_changed_since_the_last_exit_are_marked() -> None:
    finished = armvcpu("run", "--regs", "--max-exits", "50", guest("flood"))
    number = re.search(r"^registers \(\* changed since exit (\d+)\):$", finished.err, re.MULTILINE)
    assert number is not None
    assert int(number[1]) == 49
    row = next(line for line in finished.err.splitlines() if line.startswith("  x0 "))
    # The character in w0 is another one for each exit, and the address of the UART in x1 is always the same.
    assert re.fullmatch(r"  x0  0x[0-9a-f]{16}\* x1  0x0000000009000000  x2 .*", row)


def test_no_colours_where_no_terminal_is(crash: Finished) -> None:
    assert "\x1b" not in crash.err


def test_a_guest_stopped_by_a_limit_says_only_so_without_regs() -> None:
    finished = armvcpu("run", "--max-exits", "22", guest("flood"))
    assert finished.out == b"0123456789\n" * 2
    assert re.fullmatch(r"armvcpu: stopped after 22 exits at 0x\w+ <_start\+0x\w+>\n", finished.err)


def test_regs_of_a_guest_with_stage_1_decodes_its_registers() -> None:
    finished = armvcpu("run", "--regs", sample("paging"))
    found = registers(finished.err)
    assert found["TTBR0_EL1"][0] & ~0xFFF == 0x4008_7000
    assert "M=1" in found["SCTLR_EL1"][1].split()
    assert found["ESR_EL1"][0] >> 26 == 0x15
    assert found["ESR_EL2"][0] >> 26 == 0x16


def test_a_fault_that_stage_2_is_told_to_stop_at_shows_the_syndrome_of_that_exit() -> None:
    finished = armvcpu("run", "-m", SAMPLES / "permission" / "permission-stop.toml", sample("permission"))
    esr, decoded = registers(finished.err)["ESR_EL2"]
    assert esr >> 26 == 0x24
    assert decoded.endswith("DFSC=0x0f (permission fault, level 3)")
