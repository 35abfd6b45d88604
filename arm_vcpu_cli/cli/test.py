"""``armvcpu test``."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.cli.guest_options import GuestOptions
from arm_vcpu_cli.cli.options import FILE, count, seconds, suite_options
from arm_vcpu_cli.cli.overwriting import check_outputs, machine_files
from arm_vcpu_cli.cli.sections import SectionedCommand
from arm_vcpu_cli.cli.session import load_files, open_machine
from arm_vcpu_cli.cli.suite_lines import FAILED, plain, summary_line
from arm_vcpu_cli.cli.suite_signals import stops
from arm_vcpu_cli.cli.suite_view import SuiteView
from arm_vcpu_cli.errors import FileError, OutputError, StoppedError, UsageError
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.suite.expectations import Answer, Wanted, parse_answer, parse_pattern
from arm_vcpu_cli.suite.guest_paths import GUEST_SUFFIX, SCRIPT_SUFFIX, find_files, read_script
from arm_vcpu_cli.suite.junit import junit
from arm_vcpu_cli.suite.keeping import NOTHING_KEPT, Kept, keep_files, make_folder
from arm_vcpu_cli.suite.pool import Plan, Pool, Result
from arm_vcpu_cli.suite.results_json import results_json
from arm_vcpu_cli.suite.tap import AUTO, DIALECTS
from arm_vcpu_cli.suite.trial import Files, run_trial
from arm_vcpu_cli.suite.verdict import Verdict
from arm_vcpu_cli.trace.output_stream import open_output
from arm_vcpu_cli.version import VERSION
from arm_vcpu_cli.vm.endings import LAST_GUEST_STATUS, STATUS_INTERRUPTED

Write = Callable[[Sequence[Result], Sequence[Kept], float], None]

_TIMEOUT: Final = 60.0
_MOST_JOBS: Final = 256
_MOST_RETRIES: Final = 100
_STDIN: Final = "-"
_CONTINUING: Final = "arm_vcpu_cli.cli.continuing"
"""Loaded only for tests that continue from a snapshot."""
_HIGHEST_STATUS: Final = 130


def _jobs(text: str) -> int:
    number = count(text)
    if not 1 <= number <= _MOST_JOBS:
        raise click.BadParameter(f"{text!r} is not a number of processes from 1 to {_MOST_JOBS}")
    return number


def _retries(text: str) -> int:
    number = count(text)
    if number > _MOST_RETRIES:
        raise click.BadParameter(f"{text!r} is more than {_MOST_RETRIES}")
    return number


def _status(text: str) -> int:
    number = count(text)
    if number > _HIGHEST_STATUS:
        raise click.BadParameter(f"{text!r} is not a status of armvcpu run, from 0 to {_HIGHEST_STATUS}")
    return number


def _skip_status(text: str) -> int:
    number = count(text)
    if not 1 <= number <= LAST_GUEST_STATUS:
        raise click.BadParameter(f"{text!r} is not an exit status of a guest, from 1 to {LAST_GUEST_STATUS}")
    return number


@click.command("test", cls=SectionedCommand, short_help="Run guests as tests, several at a time.")
@click.argument("guests", metavar="[GUEST]...", nargs=-1, type=click.Path())
@click.option(
    "--from",
    "from_snapshot",
    type=FILE,
    metavar="FILE",
    help="Continue from a snapshot (armvcpu snapshot) each time. Instead of guests, name files with input to type "
    f"(folders: all *{SCRIPT_SUFFIX}); without any, it runs once.",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="REGEX",
    help="A line of the console must match; may be given more than once. Once all have matched, the guest is stopped "
    "and passes, unless --status or TAP decide later.",
)
@click.option(
    "--fail",
    multiple=True,
    metavar="REGEX",
    help="No line of the console may match; takes precedence over everything else.",
)
@click.option(
    "--status",
    type=_status,
    metavar="N",
    help="The status of `armvcpu run` that passes [default: 0, or any with --expect].",
)
@click.option(
    "--skip-status",
    "skip_statuses",
    type=_skip_status,
    multiple=True,
    metavar="N",
    help="A guest that exits with this status counts as skipped, such as 77 for Automake and Meson.",
)
@click.option(
    "--tap",
    type=click.Choice(DIALECTS),
    default=AUTO,
    help="Whether the guest reports tests on its console: TAP 12 to 14 or KTAP if present (auto), or required (tap, "
    "ktap).  [default: auto]",
)
@click.option(
    "--send",
    "answers",
    multiple=True,
    metavar="PROMPT=TEXT",
    help=r"When the guest has printed PROMPT, give it TEXT and a newline (none if TEXT ends in \c), each in turn; with "
    r"\n, \t, \xHH in both (\x3d is =).",
)
@click.option("--arg", "arguments", multiple=True, metavar="TEXT", help="An argument for the guests.")
@click.option(
    "-j",
    "--jobs",
    type=_jobs,
    metavar="N",
    help="Number of guests to run at a time [default: the number of host CPUs].",
)
@click.option(
    "--timeout",
    type=seconds,
    default=_TIMEOUT,
    metavar="S",
    help=f"Host seconds that each guest may take; 0: no limit.  [default: {_TIMEOUT:g}]",
)
@click.option("--retries", type=_retries, default="0", metavar="N", help="Rerun a guest that fails, up to N times.")
@click.option("--junit", "junit_file", type=FILE, metavar="FILE", help="Write the results as JUnit XML.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the results as JSON.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the console and a full report of each guest that fails in DIR.",
)
@click.option("--trace", "traces", is_flag=True, help="With --keep: also a trace of it.")
@suite_options
def command(
    guests: tuple[str, ...],
    from_snapshot: Path | None,
    expect: tuple[str, ...],
    fail: tuple[str, ...],
    status: int | None,
    skip_statuses: tuple[int, ...],
    tap: str,
    answers: tuple[str, ...],
    jobs: int | None,
    retries: int,
    junit_file: Path | None,
    json_file: Path | None,
    keep: Path | None,
    traces: bool,
    **options: Any,
) -> int:
    """Run each GUEST to its end, several at a time in separate processes, and report which pass: files, folders (all
    *.elf in them and below) and patterns such as 'build/**/test_*'.

    A guest passes if its status is 0, it prints all expected text (--expect) and no forbidden text (--fail), and none
    of its TAP or KTAP tests fails. Time is counted in instructions, so that a guest does the same in every run;
    --guest-timeout limits it.

    \b
    Examples:
      armvcpu test build/
      armvcpu test --expect 'PROJECT EXECUTION SUCCESSFUL' --fail FATAL zephyr.elf
      armvcpu test --tap ktap Image --append "console=ttyAMA0 kunit_shutdown=poweroff"
      armvcpu test --from booted.snap --expect 'all done' tests/*.sh
      armvcpu test --send '# =ls /' --expect '^bin' vmlinuz --initrd initrd.gz
      armvcpu test --junit results.xml --keep failures tests/*.elf
    """
    wanted = Wanted(
        tuple(parse_pattern("--expect", text) for text in expect),
        tuple(parse_pattern("--fail", text) for text in fail),
        tuple(parse_answer("--send", text) for text in answers),
        tap,
        status,
        skip_statuses,
    )
    if traces and keep is None:
        raise UsageError("--trace needs --keep DIR, the folder for the traces")
    found = _find(guests, from_snapshot)
    run = _Run(options, wanted, from_snapshot)
    _check(run.options_for(found[0]), found, {"--junit": junit_file, "--json": json_file})
    with contextlib.ExitStack() as opened, tempfile.TemporaryDirectory(prefix="armvcpu-test-") as folder:
        xml, plain_json = (
            None if path is None else opened.enter_context(open_output(path, binary=True))
            for path in (junit_file, json_file)
        )

        def write(results: Sequence[Result], kept: Sequence[Kept], took: float) -> None:
            # Give the files their names here: results that a signal leaves behind are then complete.
            with opened.pop_all():
                if xml is not None:
                    xml.write(junit(results, took))
                if plain_json is not None:
                    plain_json.write(results_json(results, kept, took))

        if keep is not None:
            make_folder(keep)
        tracer = f"armvcpu {VERSION}" if traces else ""
        plan = Plan(jobs or _host_cpus(), options["timeout"], retries, Path(folder), tracer)
        return _run_suite(found, run, plan, keep, write)


class _Run(Record):
    """Runs a guest with the options of the command line."""

    options: dict[str, Any]
    wanted: Wanted
    snapshot: Path | None

    def options_for(self, file: Path) -> GuestOptions:
        """Return the options of one run; with a snapshot, ``file`` is typed at the console."""
        if self.snapshot is not None:
            return GuestOptions(from_snapshot=self.snapshot, **self.options)
        return GuestOptions(file, repeatable=True, **self.options)

    def __call__(self, file: Path, files: Files) -> Verdict:
        wanted = self.wanted
        if self.snapshot not in (None, file):
            typed = Answer("", read_script(file))
            wanted = replace(wanted, answers=(typed, *wanted.answers))

        def make(console: Console) -> Machine:
            return open_machine(load_files(self.options_for(file)), console)

        return run_trial(make, wanted, files, time.monotonic())


def _check(options: GuestOptions, guests: Sequence[Path], outputs: dict[str, Path | None]) -> None:
    """Refuse options that would be wrong for every guest, and outputs that would overwrite an input."""
    if options.from_snapshot is None:
        description = options.describe()
    else:
        with contextlib.closing(import_module(_CONTINUING).open_snapshot(options, options.from_snapshot)) as snapshot:
            description = snapshot.description
    inputs = {**machine_files(description), "the symbol file": options.symbols, "the snapshot": options.from_snapshot}
    for path in inputs.values():
        # Unlike Path's, this never raises.
        if path is not None and not os.path.exists(path):  # noqa: PTH110
            raise FileError(path, "no such file")
    check_outputs(outputs, inputs | {f"the guest {guest}": guest for guest in guests})


def _find(words: Sequence[str], snapshot: Path | None) -> list[Path]:
    """Return the test files that the words name."""
    if _STDIN in words:
        raise UsageError("-: expected the name of a file, because it may be read more than once")
    if snapshot is None and not words:
        raise UsageError("Missing argument 'GUEST...' (see armvcpu test --help)")
    if snapshot is None or words:
        return find_files(words, GUEST_SUFFIX if snapshot is None else SCRIPT_SUFFIX)
    return [snapshot]


def _host_cpus() -> int:
    """Return the number of host CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _run_suite(guests: Sequence[Path], run: _Run, plan: Plan, keep: Path | None, write: Write) -> int:
    """Run the guests, show and write their results, and return the exit status."""
    began = time.monotonic()
    view = SuiteView(guests)
    with stops() as stopped, view:
        results = Pool(run, plan, view, stopped.requested, stopped.fileno()).run_all(guests)
    took = time.monotonic() - began
    kept: Sequence[Kept] = [NOTHING_KEPT] * len(results)
    if keep is not None:
        kept = keep_files(results, keep)
    failure: OutputError | None = None
    try:
        write(results, kept, took)
    except OutputError as error:
        # A failed output must not suppress the results on the terminal.
        failure = error
    if stopped.requested():
        raise StoppedError(f"interrupted: {plain(summary_line(results, took))}", STATUS_INTERRUPTED)
    failures = [(each, files) for each, files in zip(results, kept, strict=True) if each.verdict.outcome in FAILED]
    for result, files in failures:
        view.write_failure(result, files)
    if failures:
        view.write(())
    view.write(summary_line(results, took))
    if failure is not None:
        raise failure
    return int(bool(failures))
