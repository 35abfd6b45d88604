"""Results as JUnit XML, in the form that Jenkins, GitLab and GitHub actions read.

A guest is a test suite. Its cases are the tests that it reports by TAP, or else the guest itself is the only case; any
other problem of a guest that reports tests is one more case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from arm_vcpu_cli.printable import console_text, for_xml
from arm_vcpu_cli.suite.cases import Case, Outcome
from arm_vcpu_cli.suite.pool import Result

_SUITE: Final = "armvcpu test"
_GUEST: Final = "the guest"
_ENDINGS: Final = {Outcome.FAILED: "failure", Outcome.ERROR: "error"}.get
_SKIPS: Final = frozenset({Outcome.SKIPPED, Outcome.EXPECTED_FAILURE, Outcome.NOT_RUN})


def junit(results: Sequence[Result], seconds: float) -> bytes:
    """Return the file, in UTF-8."""
    root = ElementTree.Element("testsuites", name=_SUITE)
    for result in results:
        suite = ElementTree.SubElement(root, "testsuite", name=for_xml(str(result.guest)))
        cases = list(_cases(result))
        for case, of_guest in cases:
            _add(suite, result, case, of_guest=of_guest)
        _count(suite, [case for case, _ in cases], result.seconds)
    _count(root, [case for result in results for case, _ in _cases(result)], seconds)
    ElementTree.indent(root)
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _cases(result: Result) -> Iterator[tuple[Case, bool]]:
    """Yield the cases of a guest, and whether each is the guest itself."""
    verdict = result.verdict
    cases = verdict.protocol.cases
    yield from ((case, False) for case in cases)
    explained = verdict.outcome is Outcome.PASSED or (
        not verdict.protocol.problems and any(case.outcome is Outcome.FAILED for case in cases)
    )
    if not cases:
        yield Case(result.guest.name, verdict.outcome, verdict.reason), True
    elif not explained:
        yield Case(_GUEST, verdict.outcome, verdict.reason), True


def _add(suite: ElementTree.Element, result: Result, case: Case, *, of_guest: bool) -> None:
    element = ElementTree.SubElement(suite, "testcase", classname=for_xml(str(result.guest)), name=for_xml(case.name))
    if of_guest:
        element.set("time", f"{result.seconds:.3f}")
    tag = _ENDINGS(case.outcome)
    if tag is not None:
        text = "\n".join([case.reason, *case.detail])
        ElementTree.SubElement(element, tag, message=for_xml(case.reason), type=case.outcome.value).text = for_xml(text)
    elif case.outcome in _SKIPS:
        reason = ": ".join(filter(None, (case.outcome.value, case.reason)))
        ElementTree.SubElement(element, "skipped", message=for_xml(reason))
    if of_guest and result.tail:
        lines = [console_text(line) for line in result.tail.split(b"\n")]
        ElementTree.SubElement(element, "system-out").text = for_xml("\n".join(lines))
    if of_guest and result.verdict.report:
        ElementTree.SubElement(element, "system-err").text = for_xml("\n".join(result.verdict.report))


def _count(element: ElementTree.Element, cases: Sequence[Case], seconds: float) -> None:
    outcomes = [case.outcome for case in cases]
    element.set("tests", str(len(cases)))
    element.set("failures", str(outcomes.count(Outcome.FAILED)))
    element.set("errors", str(outcomes.count(Outcome.ERROR)))
    element.set("skipped", str(sum(outcome in _SKIPS for outcome in outcomes)))
    element.set("time", f"{seconds:.3f}")
