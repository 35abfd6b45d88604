"""Faults that lead to further faults: the report begins with the first, and claims only what is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arm_vcpu_cli.guest.loader import load_guest
from tests.integration.command import Finished, armvcpu, guest

CHAINS = guest("chains")
SYMBOLS = load_guest(CHAINS, ram_base=0x4000_0000).symbols
FIRST_OF_WORK = "data abort on a write to 0xdead0000 (synchronous external abort)"


def run(name: str, directory: Path, *options: str) -> Finished:
    entry = SYMBOLS.lookup(name)
    assert entry is not None
    machine = directory / "machine.toml"
    machine.write_text(f"[boot]\nentry = {entry:#x}\n")
    return armvcpu("run", "-m", machine, *options, CHAINS)


def section(finished: Finished, heading: str) -> list[str]:
    """The lines of a section of the report, without the indentation of all of them."""
    found = re.search(rf"^{re.escape(heading)}:\n((?:  .*\n)*)", finished.err, re.MULTILINE)
    assert found is not None, finished.err
    return [line[2:] for line in found[1].splitlines()]


def story(finished: Finished) -> list[str]:
    """What happened, an exception a line: what it was, and the symbol where it was taken."""
    lines = section(finished, "what happened")
    places = [re.search(r"<(\S+)>", line) for line in lines]
    found: list[str] = []
    is_open = False
    for line, place in zip(lines, places, strict=True):
        if not line.startswith(" "):
            found.append(line)
            is_open = True
        elif line.startswith("  at ") and place is not None:
            found[-1] += f" at {place[1]}"
            is_open = False
        elif is_open:
            # The line was broken.
            found[-1] += f" {line.strip()}"
    return found


def meaning(finished: Finished) -> str:
    return " ".join(" ".join(section(finished, "what this usually means")).split())


# The chain -----------------------------------------------------------------------------------------------------


def test_the_story_of_a_handler_that_faults_begins_with_the_first_fault(tmp_path: Path) -> None:
    finished = run("handler_faults", tmp_path)
    assert finished.status == 122
    first, handler, *rest = story(finished)
    assert first == f"{FIRST_OF_WORK} at work+0xc"
    assert re.fullmatch(r"then, in its handler: data abort on a read of 0x18 \(.*\), \d+ times at report\+0x4", handler)
    # It goes on down the stack, over its own code, to the end of memory.
    assert re.fullmatch(r"then, in its handler: data abort on a write to 0x3f\w+ .*, over and over at .*", rest[-1])
    assert re.search(r"^    at \S+ <report\+0x4> chains\.S:\d+, SP=0x\w+ at first, 0x\w+ at last$", finished.err, re.M)
    assert f"stuck after a {FIRST_OF_WORK} at 0x4008004c <work+0xc>: its handler takes a data abort" in finished.last
    assert "Then its handler faults. A null pointer, judging by the address: 0x18" in meaning(finished)


def test_a_handler_that_takes_a_lock_is_still_the_handler(tmp_path: Path) -> None:
    finished = run("handler_with_lock", tmp_path, "--regs")
    assert finished.status == 123
    assert story(finished) == [
        f"in a handler, of: {FIRST_OF_WORK} at work+0xc",
        "then, in its handler: data abort on a read of 0x18 (synchronous external abort) at report+0x4",
    ]


def test_of_a_long_chain_the_first_and_the_latest_are_kept(tmp_path: Path) -> None:
    finished = run("many", tmp_path, "--regs")
    told = story(finished)
    assert told[0].startswith("in a handler, of: data abort on a write to 0xdead0000")
    assert [line.rpartition(" at ")[2] for line in told[1:6]] == [
        "faults",
        *(f"faults+{4 * n:#x}" for n in range(1, 5)),
    ]
    assert told[6] == "(9 more, each in the handler of the previous one)"
    assert [line.rpartition(" at ")[2] for line in told[7:]] == [f"faults+{4 * n:#x}" for n in range(14, 20)]


def test_a_handler_that_meets_the_same_fault_is_one_fault_many_times(tmp_path: Path) -> None:
    finished = run("handler_meets_itself", tmp_path)
    assert re.fullmatch(r"data abort on a write to 0xb000000 \(.*\), \d{2,} times at print\+0xc", story(finished)[0])
    assert "executes the same instruction and takes the same exception, nested deeper" in meaning(finished)


@pytest.mark.parametrize(
    ("name", "first"), [("storm_before", "storm_before+0x38"), ("handled_before", "handled_before+0xb4")]
)
def test_what_was_handled_before_is_not_told(name: str, first: str, tmp_path: Path) -> None:
    told = story(run(name, tmp_path))
    assert len(told) == 2
    assert told[0].endswith(f" at {first}")
    assert told[1] == "then, at the vector for it: undefined instruction, over and over at missing_vectors+0x200"


def test_an_interrupt_without_a_vector_is_told_where_it_came(tmp_path: Path) -> None:
    finished = run("interrupt", tmp_path)
    assert finished.status == 122
    told = story(finished)
    assert re.fullmatch(r"an interrupt \(IRQ\) at waiting(\+0x4)?", told[0])
    assert told[1].startswith("then, at the vector for it: instruction abort")
    assert "null" not in meaning(finished)
    assert "the guest is stuck after an interrupt (IRQ) at 0x4008" in finished.last


# What it means -------------------------------------------------------------------------------------------------

CASES = {
    "guard_page": (
        "0x30 bytes below the lowest address that is mapped there, 0x40210000, with 0x7000 bytes of guard below. It is "
        "full of recursive and other, which call each other: 512 frames",
    ),
    "large_frame": ("0x1008 bytes below the lowest", "Its only frame shows no recursion"),
    "stray_stack": ("SP is 0x30000000, and nothing is mapped there or within 1 MiB above",),
    "overwritten": (
        "<victim> has been overwritten: 6c6c6548 is there now; the file has d2800020. 16 bytes differ, from 0x4",
        'the text "Hello, victims!!".',
    ),
    "stack_over_code": (
        "<before_code> has been overwritten: 00000000 is there now; the file has d503201f. 16 bytes differ",
        "the stack has grown into the code",
    ),
    "runs_on": ("only zeros (UDF #0). The instruction before them is the last one of some code",),
    "cleared": (
        "only zeros (UDF #0). There are zeros before it, too",
        "The guest got there through the call BLR x9 at 0x4",
    ),
    "null_call": ("has jumped to address 0x0. The guest got there through the call BLR x8 at 0x4", "<null_call+0x10>"),
    "null_return": ("has jumped to address 0x0. The guest got there through a return (RET) to x30",),
    "wild_call": ("at IPA 0x7fff0000", "The guest got there through the call BLR x9 at 0x4", "<wild_call+0x10>"),
    "wild_direct": ("The guest got there through the call BL 0x3f080", "<wild_direct+0xc>"),
    "crooked_stack": ("x1 is 0", "bff8, which is not a multiple of 16, and SCTLR_EL1.SA is 1"),
    "crooked_vectors": ("40, which is not a multiple of 2 KiB", "uses the vectors at 0x4008", ".balign 0x800"),
    "unmapped_vectors": ("The vectors at VBAR_EL1 0x70000000 cannot be executed (synchronous external abort)",),
    "linux_program": ("SVC #0 with x8 = 214 is brk() on Linux", "--initrd"),
    "exit_group": ("SVC #0 with x8 = 94 is exit_group() on Linux",),
    "bound_check": ("BRK #0x5512 is a check of the undefined behaviour sanitizer (UBSan): out_of_bounds",),
    "kasan": ("BRK #0x913 is a report of Linux's KASAN: an invalid write of 8 bytes, at the address in x0",),
    "clang_trap": ("BRK #0x1 is Clang's and Rust's code for __builtin_trap()",),
    "cfi": ("KCFI): the function in x8 does not have the type whose hash is in w17",),
    "plain_break": ("BRK #0xabc is a breakpoint in the code, of unknown origin",),
    "beyond_ips": (
        "The address in the block descriptor of level 1 (0x2000000705) is 0x2000000000, beyond the 32 bits that "
        "TCR_EL1.IPS = 0b000 allows. This machine has no memory there either: its RAM is 0x40000000 to 0x5fffffff",
    ),
    "table_beyond_ips": ("The address in the table descriptor of level 1 (0x2000000003) is 0x2000000000, beyond",),
    "root_beyond_ips": ("The first table, in TTBR0_EL1, is 0x2000000000, beyond the 32 bits",),
    "beyond_pa": ("With the MMU off, 0x4000000000000 is used as a physical address",),
    "text_as_pointer": ('Its bytes are text: "ame123"',),
    "flag_without_hafdbs": ("TCR_EL1.HA is 1, but cortex-a72 has no FEAT_HAFDBS",),
    "lock_in_device": ("An exclusive or atomic access to device.uart0",),
    "crooked_lock": ("The exclusive access to 0x4008", "is not aligned to its size"),
    "device_code": ("fetches instructions from device.uart0 (IPA 0x9000000)",),
    "device_width": ("device.uart0 refuses this access to its offset 0x0",),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_known_of_an_end_is_said(name: str, tmp_path: Path) -> None:
    finished = run(name, tmp_path)
    assert finished.status == 122
    text = meaning(finished)
    assert all(phrase in text for phrase in CASES[name]), text


def test_equal_frames_are_folded_also_where_they_take_turns(tmp_path: Path) -> None:
    lines = section(run("guard_page", tmp_path), "backtrace")
    names = [re.sub(r".*<(\w+).*", r"\1", line) for line in lines if "<" in line]
    assert names[-3:] == ["other", "recursive", "guard_page"]
    assert "#3-#512 the same 2 frames 255 times more" in lines
    assert len(lines) < 10


def test_an_output_address_beyond_ips_is_an_address_size_fault(tmp_path: Path) -> None:
    assert "DFSC=0x01 (address size fault, level 1)" in run("beyond_ips", tmp_path).err
    assert "IFSC=0x00 (address size fault, level 0)" in run("root_beyond_ips", tmp_path).err
