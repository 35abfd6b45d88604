"""The report on a guest that did not end well, and ``--regs``."""

from __future__ import annotations

import itertools
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.command import GUESTS, SAMPLES, Finished, armvcpu, guest, sample

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


@pytest.fixture(scope="module")
def full() -> Finished:
    return armvcpu("run", "--report", "full", sample("crash"))


def headings(report: str) -> list[str]:
    """The first word of each."""
    found = [line for line in report.splitlines() if not line.startswith((" ", "armvcpu: "))]
    return [re.sub(r" .*|:", "", heading) for heading in found]


def test_a_dead_guest_has_its_status_and_what_it_printed(crash: Finished) -> None:
    assert crash.status == 122
    assert crash.out == b"Storing to 0xdead0000\n"


def section(text: str, heading: str) -> list[str]:
    """The lines of a section of the report, without the indentation of all of them."""
    found = re.search(rf"^{re.escape(heading)}[^\n]*:\n((?:  .*\n)*)", text, re.MULTILINE)
    assert found is not None, heading
    return [line[2:] for line in found[1].splitlines()]


def test_the_sections_come_in_the_order_in_which_they_are_read(crash: Finished) -> None:
    assert headings(crash.err) == ["what", "code", "backtrace", "last", "relevant", "what"]
    assert crash.err.index("what happened:") < crash.err.index("what this usually means:")


def test_the_full_report_has_translations_and_what_interrupts_depend_on(full: Finished) -> None:
    assert headings(full.err) == [
        *("what", "code", "backtrace", "translation", "last", "registers"),
        *("distributor", "timers", "redistributor", "CPU", "what"),
    ]


def test_the_report_names_the_first_exception_and_the_one_of_the_missing_vector(full: Finished) -> None:
    first, place, syndrome, second, there, vector = section(full.err, "what happened")
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
    assert "Try: if the guest expects more, --memory 4GiB reaches that far" in text
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


def test_both_stages_of_the_address_are_walked(full: Finished) -> None:
    lines = section(full.err, "translation of VA 0xdead0000, write by EL1")
    assert lines[0] == "stage 1, VA 0xdead0000: off (SCTLR_EL1.M = 0): the IPA is the VA"
    assert lines[2].startswith("stage 2, IPA 0xdead0000: VTTBR_EL2 0x")
    assert re.fullmatch(r"  level 2  PA 0x\w+: 0x0000000000000000  invalid: nothing is mapped", lines[3])
    assert lines[4] == "  -> translation fault, level 2, of stage 2 (fault status 0x06)"


def test_the_last_exits_read_as_in_a_trace(full: Finished) -> None:
    lines = section(full.err, "last exits")
    assert len(lines) <= 20
    printing, store, fetch, again = lines[-4:]
    assert re.search(r"MmioWrite +EL1 0x400\w+ <\S+> +\S+ PL011\.UARTDR <- '\\n' ipa=0x9000000 width=4$", printing)
    assert re.search(r"MmioWrite +EL1 0x400\w+ <inner\+0x8> +\S+ ipa=0xdead0000 .*data=0x5a$", store)
    assert re.search(r"NestedPageFault +EL1 0x200 +ipa=0x200 va=0x200 access=execute$", fetch)
    assert re.fullmatch(r" +the same \d+ times? more", again)
    traced = armvcpu("trace", "--only", "MmioWrite", sample("crash")).err
    assert re.sub(r"^ *\d+ ", "", store) in traced


def test_the_last_exits_of_a_device_are_one_line(crash: Finished) -> None:
    printing, store, fetch = section(crash.err, "last exits")
    exits = r" *(\d+)-(\d+)  (\d+) exits of uart0 \(PL011\): \d reads of UARTFR, \d writes of UARTDR, \"(.*)\""
    found = re.fullmatch(exits, printing)
    assert found is not None
    assert int(found[2]) - int(found[1]) + 1 == int(found[3])
    assert r"Storing to 0xdead0000\n".endswith(found[4])
    assert len(found[4]) > 4
    assert re.fullmatch(r" *\d+  MmioWrite  EL1 0x400\w+ <inner\+0x8>  ipa=0xdead0000 .*data=0x5a", store)
    assert re.fullmatch(r" *\d+-\d+  NestedPageFault  EL1 0x200  ipa=0x200 .*access=execute \(\d+ times\)", fetch)


def test_only_the_registers_that_matter(crash: Finished) -> None:
    words = " ".join(section(crash.err, "relevant registers")).split()
    names = [word for word in words if re.fullmatch(r"pc|sp|lr|x\d+|[A-Z][A-Z0-9_]+", word)]
    assert names == ["pc", "sp", "lr", "x0", "x1", "ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "VBAR_EL1"]
    values = dict(itertools.pairwise(words))
    assert (values["x0"], values["x1"], values["VBAR_EL1"]) == ("0xdead0000", "0x5a", "0x0")


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


def test_the_report_has_the_syndromes_of_both_levels_and_keeps_them_apart(full: Finished) -> None:
    found = registers(full.err)
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
    machine = SAMPLES / "permission" / "permission-stop.toml"
    finished = armvcpu("run", "--report", "full", "-m", machine, sample("permission"))
    esr, decoded = registers(finished.err)["ESR_EL2"]
    assert esr >> 26 == 0x24
    assert decoded.endswith("DFSC=0x0f (permission fault, level 3)")


# A screen ------------------------------------------------------------------------------------------------------

SMP = GUESTS / "smp"
SCREEN_COLUMNS, SCREEN_ROWS = 100, 50
ENDS: dict[str, tuple[object, ...]] = {
    "an exception without a vector": (sample("crash"),),
    "a fault that stage 2 stops": ("-m", SAMPLES / "permission" / "permission-stop.toml", sample("permission")),
    "vectors that are not mapped": (guest("nothing_mapped"),),
    "vectors of its own": (guest("own_vectors"),),
    "a jump to nowhere": (guest("nowhere"),),
    "an undefined instruction": (guest("undefined"),),
    "a table that maps itself": (guest("selfmap"),),
    "a stack that overflowed": (guest("recursion"),),
    **{
        f"hang-{how} of {count}": ("--smp", count, SMP / f"hang-{how}.elf")
        for how in ("lock", "off", "spin", "wfi")
        for count in (2, 8, 64)
    },
}


@pytest.mark.parametrize("end", ENDS)
def test_the_report_fits_on_a_screen(end: str) -> None:
    finished = armvcpu("run", *ENDS[end])
    assert finished.status in (122, 123), finished
    *report, last = finished.err.splitlines()
    assert max(map(len, report)) <= SCREEN_COLUMNS
    rows = len(report) + -(-len(last) // SCREEN_COLUMNS)
    assert rows <= SCREEN_ROWS, finished.err
    assert "code:" in report
    assert "backtrace:" in report
    assert any(line.startswith("  => ") for line in report)
    # What to try comes last, but for the line that says how it ended.
    *_, last_heading = [line for line in report if not line.startswith(" ")]
    assert last_heading == "what this usually means:"
    assert last.startswith("armvcpu: ")


def test_a_recursion_is_folded_in_a_report() -> None:
    finished = armvcpu("run", guest("recursion"))
    folded = [line for line in section(finished.err, "backtrace") if " times" in line]
    (line,) = folded
    found = re.fullmatch(r"#(\d+)-#(\d+) 0x\w+ <recurse\+0x\w+>(?: \S+:\d+)? \.\.\. (\d+) times", line)
    assert found is not None
    assert int(found[2]) - int(found[1]) + 1 == int(found[3])
    assert int(found[3]) > 100


def test_a_guest_that_waits_shows_what_keeps_interrupts_from_it() -> None:
    finished = armvcpu("run", SMP / "hang-wfi.elf")
    text = " ".join(section(finished.err, "relevant registers"))
    for name in ("PSTATE", "CNTV_CTL_EL0", "CNTP_CTL_EL0", "GICD_CTLR", "GICR_WAKER", "ICC_PMR_EL1", "ICC_IGRPEN1_EL1"):
        assert re.search(rf"\b{name} 0x", text), name
    assert "ESR_EL1" not in text
    again = armvcpu("run", "--gic", 2, SMP / "hang-wfi.elf")
    text = " ".join(section(again.err, "relevant registers"))
    assert "GICC_CTLR 0x" in text
    assert "GICC_PMR 0x" in text
    assert "ICC_PMR_EL1" not in text


def test_the_mmu_is_of_interest_where_it_faults() -> None:
    finished = armvcpu("run", guest("nothing_mapped"))
    text = " ".join(section(finished.err, "relevant registers"))
    assert all(f"{name} 0x" in text for name in ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1"))
    assert "TTBR0_EL1" not in " ".join(section(armvcpu("run", sample("crash")).err, "relevant registers"))


# Forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "trace", "stat"])
def test_no_report(command: str) -> None:
    finished = armvcpu(command, "--report", "none", sample("crash"))
    assert finished.status == 122
    assert "what happened" not in finished.err
    assert finished.last.startswith("armvcpu: the guest is stuck")
    if command == "run":
        assert finished.err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "trace", "stat"])
def test_the_same_report_from_whatever_runs_a_guest(command: str, full: Finished) -> None:
    assert full.err in armvcpu(command, "--report", "full", sample("crash")).err


@pytest.mark.parametrize("form", ["short", "full"])
def test_a_guest_that_is_stopped_has_a_report_if_one_is_asked_for(form: str) -> None:
    finished = armvcpu("run", "--report", form, "--max-exits", "50", guest("flood"))
    assert finished.status == 124
    assert "\nbacktrace:\n" in finished.err
    assert ("\ntimers:\n" in finished.err) is (form == "full")
    assert ("relevant registers" in finished.err) is (form == "short")


def test_a_guest_that_ends_well_has_none() -> None:
    assert armvcpu("run", "--report", "full", sample("hello")).err == ""


@pytest.mark.parametrize("option", ["-o", "--report-file"])
def test_the_full_report_goes_to_a_file(option: str, full: Finished, tmp_path: Path) -> None:
    finished = armvcpu("run", option, tmp_path / "death.txt", sample("crash"))
    assert finished.err == armvcpu("run", sample("crash")).err
    *report, last = (tmp_path / "death.txt").read_text().splitlines()
    *expected, message = full.err.splitlines()
    assert report == expected
    assert re.fullmatch(re.escape(message.removeprefix("armvcpu: ")) + r" \(\d+ exits to EL2, \d+\.\d{3} s\)", last)
    assert list(tmp_path.iterdir()) == [tmp_path / "death.txt"]


@pytest.mark.parametrize("command", ["trace", "stat"])
def test_a_report_file_beside_another_output(command: str, full: Finished, tmp_path: Path) -> None:
    armvcpu(command, "-o", tmp_path / "out", "--report-file", tmp_path / "death.txt", sample("crash"))
    expected = full.err[: full.err.rindex("armvcpu: ")]
    assert (tmp_path / "death.txt").read_text().startswith(expected)
    assert "what happened" not in (tmp_path / "out").read_text()


def test_a_report_file_is_written_however_the_guest_ends(tmp_path: Path) -> None:
    finished = armvcpu("run", "-o", tmp_path / "end.txt", sample("hello"))
    assert (finished.status, finished.err) == (0, "")
    text = (tmp_path / "end.txt").read_text()
    assert text.splitlines()[-1].startswith("the guest powered off (")
    assert "VBAR_EL1" in registers(text)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-o", "missing/death.txt"), 2, "missing/death.txt: cannot be written"),
        (("-o", "-"), 2, "-: expected the name of a file"),
        (("-o", "crash.elf"), 2, "--report-file would overwrite the guest"),
        (("-o", "same", "--record", "same", "--clock", "instructions"), 2, "would be the same file"),
        (("--report", "long"), 2, "'long' is not one of 'short', 'full', 'none'"),
    ],
)
def test_a_report_that_cannot_be_had_is_one_line(
    arguments: tuple[str, ...], status: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "crash.elf").write_bytes(sample("crash").read_bytes())
    finished = armvcpu("run", *arguments, "crash.elf", cwd=tmp_path)
    assert (finished.status, finished.out) == (status, b"")
    assert message in finished.err


def test_a_report_that_cannot_be_written_is_told_after_the_one_on_stderr() -> None:
    finished = armvcpu("run", "-o", "/dev/full", sample("crash"))
    assert finished.status == 120
    assert "/dev/full: cannot be written: No space left on device" in finished.last


def test_the_registers_of_timers_and_gic_have_their_names(tmp_path: Path) -> None:
    path = tmp_path / "ticks.txt"
    armvcpu("run", "-o", path, sample("ticks"))
    text = path.read_text()
    assert re.search(r"^  GICD_CTLR +0x00000052 DS=1 ARE=1 EnableGrp1=1$", text, re.MULTILINE)
    assert re.search(r"^  GICR_ISENABLER0 +0x08000000 INTID 27$", text, re.MULTILINE)
    assert re.search(r"^  ICC_PMR_EL1 +0x00000000000000f[f08] Priority=0xf[f08]$", text, re.MULTILINE)
    assert re.search(r"^  CNTV_CTL_EL0 +0x\w{16}", text, re.MULTILINE)
    # Reading it would acknowledge an interrupt.
    assert "ICC_IAR1_EL1" not in "".join(section(text, "CPU interface"))


def test_every_cpu_has_its_registers_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hang.txt"
    armvcpu("run", "--smp", 3, "-o", path, SMP / "hang-lock.elf")
    text = path.read_text()
    for number in range(3):
        assert f"\ntimers of cpu{number}:\n" in text
        assert f"\nCPU interface of cpu{number}:\n" in text
        assert f"  GICR[{number}]_WAKER" in text
    assert text.count("\n  VMPIDR_EL2 ") == 3
