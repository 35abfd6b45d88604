"""Reads the Test Anything Protocol from a console that also has other output.

A document begins with a version, a plan or test 1; a further indented one is a subtest, and the next result of its
parent names it. Other lines are ignored, but kept for the failure that follows. Nothing printed later undoes a failure:
there must be exactly one plan, and as many tests as it states, in order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from arm_vcpu_cli.record import replace
from arm_vcpu_cli.suite.cases import Case, Outcome, Protocol
from arm_vcpu_cli.suite.tap_lines import (
    EXPECTED_TO_FAIL,
    BailOut,
    Diagnostic,
    Directive,
    Plan,
    ResultLine,
    Subtest,
    Version,
    parse_line,
    without_time,
)

AUTO: Final = "auto"
TAP: Final = "tap"
KTAP: Final = "ktap"
NONE: Final = "none"
DIALECTS: Final = (AUTO, TAP, KTAP, NONE)

MOST_CASES: Final = 10_000
"""The most tests of a guest that are recorded individually."""
_LONGEST: Final = 400
"""The most characters of a name, a reason, or a line about a failure."""
_MOST_DETAILS: Final = 1 << 20
"""The most characters about all failures of a guest."""
_MOST_PROBLEMS: Final = 10
_DEEPEST: Final = 32
_LINES_BEFORE: Final = 20
_LINES_AFTER: Final = 40
_YAML: Final = "---"
_END_OF_YAML: Final = "..."


class _Document:
    """A document or subtest, as far as it has been read."""

    def __init__(self, indent: int, name: str = "", *, is_named: bool = False) -> None:
        self.indent = indent
        self.name = name
        self.is_named = is_named
        """Whether it was announced by a comment alone."""
        self.plan: Plan | None = None
        self.points = 0
        self.is_kernels = False
        self.cases: list[Case] = []
        self.left_out: Counter[Outcome] = Counter()
        self.problems: list[str] = []
        self.subtest: _Document | None = None
        """The complete subtest whose result comes next."""

    @property
    def is_empty(self) -> bool:
        return self.plan is None and not self.points

    def problem(self, text: str) -> None:
        if text not in self.problems and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)

    def close(self, *, is_top: bool) -> None:
        """Check the conditions that apply at the end."""
        if self.subtest is not None:
            self.adopt(self.subtest, self.subtest.name or "subtest")
            self.problem("a subtest has no result")
        if self.plan is None:
            if is_top or not (self.is_kernels or self.is_named):
                self.problem("no plan (1..N)")
        elif self.plan.count != self.points:
            self.problem(f"{self.plan.count} tests planned, {self.points} run")

    def take_result(self, line: ResultLine, before: tuple[str, ...]) -> None:
        """Record the result of a test, or of the subtest before it."""
        self.points += 1
        if line.number is not None and line.number != self.points:
            self.problem(f"test {line.number} where test {self.points} was due")
            self.points = max(self.points, min(line.number, self.points + 1))
        name = line.name or (self.subtest.name if self.subtest is not None else "") or f"test {self.points}"
        case = _case(line, name, before)
        subtest, self.subtest = self.subtest, None
        if subtest is None:
            self._add(case)
            return
        if line.directive in EXPECTED_TO_FAIL:
            subtest.cases = [_forgiven(each) for each in subtest.cases]
            subtest.left_out[Outcome.EXPECTED_FAILURE] += subtest.left_out.pop(Outcome.FAILED, 0)
        self.adopt(subtest, name)
        failed = any(each.outcome is Outcome.FAILED for each in subtest.cases) or subtest.left_out[Outcome.FAILED]
        fails = failed or subtest.problems
        if not subtest.cases or (case.outcome is Outcome.FAILED and not fails):
            self._add(case)

    def adopt(self, subtest: _Document, name: str) -> None:
        """Record the tests of a subtest under its name."""
        for case in subtest.cases:
            self._add(replace(case, name=f"{name}.{case.name}"[:_LONGEST]))
        self.left_out += subtest.left_out
        for problem in subtest.problems:
            self.problem(f"{name[:_LONGEST]}: {problem}"[:_LONGEST])

    def _add(self, case: Case) -> None:
        if len(self.cases) < MOST_CASES:
            self.cases.append(case)
        else:
            self.left_out[case.outcome] += 1


def _case(line: ResultLine, name: str, before: tuple[str, ...]) -> Case:
    reason = line.reason[:_LONGEST]
    if line.directive is Directive.SKIP:
        return Case(name, Outcome.SKIPPED, reason)
    if line.passed and line.directive is not Directive.XFAIL:
        return Case(name, Outcome.PASSED)
    if line.directive in EXPECTED_TO_FAIL:
        return Case(name, Outcome.EXPECTED_FAILURE, reason)
    if line.directive is not None:
        reason = f"{line.directive.value} {reason}".rstrip()
    return Case(name, Outcome.FAILED, reason, before)


def _forgiven(case: Case) -> Case:
    return replace(case, outcome=Outcome.EXPECTED_FAILURE) if case.outcome is Outcome.FAILED else case


class TapReader:
    """Reads the lines of a console. With the ``dialect`` ``auto`` tests are optional."""

    def __init__(self, dialect: str = AUTO) -> None:
        self._dialect = dialect
        self._stack: list[_Document] = []
        self._announced: str | None = None
        self._before: deque[str] = deque(maxlen=_LINES_BEFORE)
        self._failed: _Document | None = None
        self._after = 0
        self._yaml: int | None = None
        """The indentation of the result whose YAML block is being read, None outside of one."""
        self._cases: list[Case] = []
        self._details = _MOST_DETAILS
        self._left_out: Counter[Outcome] = Counter()
        self._problems: list[str] = []
        self._reason = ""
        """The reason for having no tests that the first empty document gives; ``_empty`` counts such documents."""
        self._empty = 0
        self._bailed = False
        self._documents = 0

    @property
    def seen(self) -> bool:
        """Whether there were any tests."""
        return self._documents > 0

    @property
    def is_complete(self) -> bool:
        """Whether all planned tests have run."""
        if len(self._stack) != 1:
            return self._bailed
        top = self._stack[0]
        return self._bailed or (top.plan is not None and top.points >= top.plan.count)

    def take(self, line: str) -> None:
        """Process the next line."""
        if self._dialect == NONE or self._bailed:
            return
        text = without_time(line).rstrip()
        bare = text.lstrip(" ")
        indent = len(text) - len(bare)
        if self._in_yaml(indent, bare):
            return
        parsed = parse_line(bare)
        handler = None if parsed is None else _HANDLERS.get(type(parsed))
        if handler is None or not (self._stack or self._begins(parsed, indent)):
            self._note(text[:_LONGEST])
        else:
            handler(self, parsed, indent, text[:_LONGEST])

    def finish(self) -> Protocol:
        """Return the result of everything read, at the end of the output."""
        if self._stack:
            self._close_top()
        elif not self.seen and self._dialect not in (AUTO, NONE):
            self._problems.append(f"no {self._dialect.upper()} on the console")
        skipped = None
        if self._documents and self._empty == self._documents:
            skipped = self._reason
        return Protocol(
            self.seen,
            tuple(self._cases),
            tuple(self._problems[:_MOST_PROBLEMS]),
            skipped,
            tuple(sorted(self._left_out.items(), key=lambda item: item[0].value)),
        )

    # Lines

    def _begins(self, line: Any, indent: int) -> bool:
        """Return whether the first document begins with this line."""
        if self._dialect == KTAP and not isinstance(line, Version):
            return False
        is_first = isinstance(line, ResultLine) and line.number == 1 and not indent
        if not (is_first or isinstance(line, Version | Plan | BailOut)):
            return False
        self._open_top(indent)
        return True

    def _version(self, line: Version, indent: int, _text: str) -> None:
        document = self._at(indent, opens=True)
        if document is None:
            return
        if not document.is_empty or indent < document.indent:
            if len(self._stack) == 1:
                self._close_top()
                self._open_top(indent)
            else:
                self._close_subtest()
                self._stack.append(_Document(indent))
        self._stack[-1].is_kernels = line.is_kernels

    def _plan(self, line: Plan, indent: int, _text: str) -> None:
        document = self._at(indent, opens=True)
        if document is None or document.indent != indent:
            return
        if document.plan is not None:
            document.problem("more than one plan")
            return
        document.plan = line
        if not line.count and len(self._stack) == 1:
            self._empty += 1
            self._reason = self._reason or line.reason[:_LONGEST] or "no tests planned"

    def _result(self, line: ResultLine, indent: int, text: str) -> None:
        document = self._at(indent, opens=self._announced is not None)
        if document is None or document.indent != indent:
            self._note(text)
            return
        held = len(document.cases)
        document.take_result(line, tuple(self._before))
        self._before.clear()
        self._failed = None
        if len(document.cases) > held and document.cases[-1].outcome is Outcome.FAILED:
            self._failed, self._after = document, _LINES_AFTER
        if len(self._stack) == 1:
            self._spill(document)

    def _bail_out(self, line: BailOut, _indent: int, _text: str) -> None:
        self._bailed = True
        self._problems.append(f"Bail out! {line.reason}".rstrip())

    def _subtest(self, line: Subtest, indent: int, _text: str) -> None:
        if indent <= self._stack[-1].indent and self._stack[-1].is_empty and len(self._stack) > 1:
            self._stack[-1].name = line.name
        elif indent > self._stack[-1].indent:
            self._push(_Document(indent, line.name, is_named=True))
        else:
            self._announced = line.name

    def _diagnostic(self, _line: Diagnostic, _indent: int, text: str) -> None:
        self._note(text)

    # Documents

    def _at(self, indent: int, *, opens: bool) -> _Document | None:
        """Return the document that a line with this indentation belongs to: an open one, or a new subtest if such a
        line ``opens`` one."""
        while len(self._stack) > 1 and self._stack[-1].indent > indent:
            self._close_subtest()
        top = self._stack[-1]
        if indent <= top.indent:
            return top
        if not opens:
            return None
        document = _Document(indent, self._announced or "", is_named=self._announced is not None)
        self._announced = None
        return document if self._push(document) else None

    def _push(self, document: _Document) -> bool:
        if len(self._stack) >= _DEEPEST:
            return False
        self._stack.append(document)
        return True

    def _close_subtest(self) -> None:
        closed = self._stack.pop()
        closed.close(is_top=False)
        parent = self._stack[-1]
        if closed.is_empty and not closed.cases:
            return
        if parent.subtest is not None:
            before = parent.subtest
            closed.problems = [*before.problems, *closed.problems][:_MOST_PROBLEMS]
            closed.left_out += before.left_out
            closed.cases = before.cases + closed.cases
            closed.left_out.update(case.outcome for case in closed.cases[MOST_CASES:])
            del closed.cases[MOST_CASES:]
        parent.subtest = closed

    def _open_top(self, indent: int) -> None:
        self._stack = [_Document(indent)]
        self._documents += 1

    def _close_top(self) -> None:
        while len(self._stack) > 1:
            self._close_subtest()
        top = self._stack.pop()
        if not self._bailed:
            top.close(is_top=True)
        elif top.subtest is not None:
            top.adopt(top.subtest, top.subtest.name or "subtest")
        self._failed = None
        self._spill(top)
        self._problems += top.problems[: _MOST_PROBLEMS - len(self._problems)]

    def _spill(self, document: _Document) -> None:
        """Record the complete tests up to the limit, except the last, which the next lines may be about."""
        complete = slice(None, -1 if self._failed is document else None)
        for case in document.cases[complete]:
            self._keep(case)
        del document.cases[complete]
        self._left_out += document.left_out
        document.left_out.clear()

    def _keep(self, case: Case) -> None:
        if len(self._cases) < MOST_CASES:
            self._details -= sum(map(len, case.detail))
            detail = case.detail if self._details >= 0 else ()
            self._cases.append(replace(case, name=case.name[:_LONGEST], detail=detail))
        else:
            self._left_out[case.outcome] += 1

    # Comments and other output

    def _note(self, text: str) -> None:
        """Record a line for the failure before it, if it is a comment that immediately follows, or else for the
        next."""
        if self._failed is not None and self._after and text.lstrip().startswith("#"):
            self._add_detail(text)
            return
        self._failed = None
        self._before.append(text)

    def _in_yaml(self, indent: int, bare: str) -> bool:
        """Return whether a line belongs to a YAML block, which is indented further than its result."""
        if self._yaml is None:
            if bare != _YAML or not self._stack or indent <= self._stack[-1].indent:
                return False
            self._yaml = self._stack[-1].indent
            return True
        if (bare and indent <= self._yaml) or bare == _END_OF_YAML:
            self._yaml = None
            return bare == _END_OF_YAML
        if self._failed is not None and self._after:
            self._add_detail((" " * indent + bare)[:_LONGEST])
        return True

    def _add_detail(self, text: str) -> None:
        self._after -= 1
        document = self._failed
        if document is not None and document.cases:
            last = document.cases[-1]
            document.cases[-1] = replace(last, detail=(*last.detail, text))


_HANDLERS: Final[Mapping[type, Callable[[TapReader, Any, int, str], None]]] = MappingProxyType(
    {
        Version: TapReader._version,
        Plan: TapReader._plan,
        ResultLine: TapReader._result,
        BailOut: TapReader._bail_out,
        Subtest: TapReader._subtest,
        Diagnostic: TapReader._diagnostic,
    }
)
