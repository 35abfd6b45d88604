"""The lines of the Test Anything Protocol: versions 12, 13 and 14, and KTAP, the Linux kernel's (dev-tools/ktap).

The time and log level that a kernel may print at the start of each line are removed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from arm_vcpu_cli.record import Record

_PRINTK: Final = re.compile(r"(?:<\d{1,3}>)?\[ *\d{1,10}\.\d{1,9}(?:@\d{1,4})?\](?:\[ *[TC]\d{1,10}\])? ")
_VERSION: Final = re.compile(r"(?P<ktap>K)?TAP version (?P<number>\d{1,9})\s*$", re.IGNORECASE)
_PLAN: Final = re.compile(r"1\.\.(?P<count>\d{1,9})\s*(?:#\s*(?:skip\S*)?\s*:?\s*(?P<reason>.*))?$", re.IGNORECASE)
_RESULT: Final = re.compile(r"(?P<failed>not )?ok\b(?:\s+(?P<number>\d{1,9})\b)?(?P<rest>.*)$")
_DIRECTIVE: Final = re.compile(
    r"(?<!\\)#\s*(?P<name>skip|todo|xfail|timeout|error)\S*\s*(?P<reason>.*)$", re.IGNORECASE
)
_BAIL: Final = re.compile(r"Bail out!\s*(?P<reason>.*)$", re.IGNORECASE)
_SUBTEST: Final = re.compile(r"#\s*Subtest\b:?\s*(?P<name>.*)$")
_SEPARATOR: Final = re.compile(r"^\s*-?\s*")
_ESCAPED: Final = re.compile(r"\\([\\#])")


class Directive(Enum):
    """A test's annotation besides its result."""

    SKIP = "skip"
    TODO = "todo"
    XFAIL = "xfail"
    TIMEOUT = "timeout"
    ERROR = "error"


EXPECTED_TO_FAIL: Final = frozenset({Directive.TODO, Directive.XFAIL})


class Version(Record):
    """``TAP version 14``, at the start of a document."""

    number: int
    is_kernels: bool


class Plan(Record):
    """``1..4``: the number of tests. ``reason`` explains why there are none."""

    count: int
    reason: str


class ResultLine(Record):
    """``ok 1 - name # SKIP reason``; ``number`` is None if the line has none."""

    passed: bool
    number: int | None
    name: str
    directive: Directive | None = None
    reason: str = ""


class BailOut(Record):
    """``Bail out! reason``: no further test will run."""

    reason: str


class Subtest(Record):
    """``# Subtest: name``, before the tests of a subtest."""

    name: str


class Diagnostic(Record):
    """A comment."""

    text: str


Line = Version | Plan | ResultLine | BailOut | Subtest | Diagnostic


def without_time(line: str) -> str:
    """Return a line without the kernel's prefix."""
    found = _PRINTK.match(line)
    return line if found is None else line[found.end() :]


def parse_line(text: str) -> Line | None:
    """Parse a line without its indentation; None if it is not part of the protocol."""
    if text.startswith("#"):
        subtest = _SUBTEST.match(text)
        return Diagnostic(text[1:].strip()) if subtest is None else Subtest(subtest["name"].strip())
    if text.startswith(("ok", "not ok")):
        return _result(text)
    if text.startswith("1.."):
        plan = _PLAN.match(text)
        return None if plan is None else Plan(int(plan["count"]), (plan["reason"] or "").strip())
    bail = _BAIL.match(text)
    if bail is not None:
        return BailOut(bail["reason"].strip())
    version = _VERSION.match(text)
    return None if version is None else Version(int(version["number"]), version["ktap"] is not None)


def _result(text: str) -> ResultLine | None:
    found = _RESULT.match(text)
    if found is None:
        return None
    rest, directive, reason = found["rest"], None, ""
    if rest and found["number"] is None and not rest[0].isspace():
        # A word such as "ok:" in other output.
        return None
    said = _DIRECTIVE.search(rest)
    if said is not None:
        rest, directive, reason = rest[: said.start()], Directive(said["name"].lower()), said["reason"].strip()
    name = _ESCAPED.sub(r"\1", _SEPARATOR.sub("", rest)).strip()
    number = None if found["number"] is None else int(found["number"])
    return ResultLine(found["failed"] is None, number, name, directive, reason)
