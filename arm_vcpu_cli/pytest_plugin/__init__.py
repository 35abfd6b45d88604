"""The pytest plugin: runs guests in tests, converses on their consoles, and compares their exits with goldens.

pytest loads this module in every project of an environment in which armvcpu is installed, used or not. So it imports
only pytest; the modules behind the fixtures are loaded on first use.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from arm_vcpu_cli.pytest_plugin.booting import BootedFactory, Boots
    from arm_vcpu_cli.pytest_plugin.goldens import GoldenFactory
    from arm_vcpu_cli.pytest_plugin.machines import GuestMachine, MachineFactory, RunFactory

_SETTINGS: Final = "arm_vcpu_cli.pytest_plugin.settings"
_MACHINES: Final = "arm_vcpu_cli.pytest_plugin.machines"
_GOLDENS: Final = "arm_vcpu_cli.pytest_plugin.goldens"
_BOOTING: Final = "arm_vcpu_cli.pytest_plugin.booting"
_REPORTS: Final = "arm_vcpu_cli.pytest_plugin.reports"

MARKER: Final = "armvcpu"
UPDATED: Final = "armvcpu_golden"
"""The user property of a test that has written a golden."""
_OPENED: Final = pytest.StashKey[list["GuestMachine"]]()
_OTHER_GOLDENS: Final = "pytest_golden"
"""Another plugin with a fixture and an option of the same names: --update-goldens then applies to both."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line and of the ini file."""
    group = parser.getgroup("armvcpu", "guests (armvcpu)")
    if find_spec(_OTHER_GOLDENS) is None:
        group.addoption(
            "--update-goldens",
            action="store_true",
            default=False,
            help="Write the exits of guests to their goldens instead of comparing them.",
        )
    group.addoption(
        "--armvcpu-timeout",
        metavar="SECONDS",
        help="Guest time that a run, or waiting for a text, may take (ini: armvcpu_timeout) [default: 60; 0: no "
        "limit].",
    )
    group.addoption(
        "--armvcpu-host-timeout",
        metavar="SECONDS",
        help="The same in host time (ini: armvcpu_host_timeout) [default: 60; 0: no limit].",
    )
    group.addoption(
        "--armvcpu-report",
        metavar="FORM",
        choices=("short", "full", "none"),
        help="The report on the guests of a test that fails: short, full or none [default: short; a few lines with -q, "
        "full with -v].",
    )
    parser.addini("armvcpu_machine", "The machine file for guests, relative to this file [default: the virt preset].")
    parser.addini("armvcpu_timeout", "Seconds of guest time that a run may take [60].")
    parser.addini("armvcpu_host_timeout", "Seconds of host time that a run may take [60].")
    parser.addini("armvcpu_goldens", "The folder for goldens, relative to the test file.", default="goldens")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "armvcpu(guest=..., machine=..., cpus=..., timeout=..., ...): the guest, machine and limits of the armvcpu "
        "fixtures of a test; file names are relative to the test file.",
    )
    if find_spec(_OTHER_GOLDENS) is None:
        config.pluginmanager.register(_ShortNames(), "armvcpu-short-names")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test with an invalid marker before it runs."""
    if item.get_closest_marker(MARKER) is not None:
        import_module(_SETTINGS).check_markers(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the guests' activity to the report of a failed test."""
    report = yield
    opened = item.stash.get(_OPENED, None)
    if opened is not None and report.failed and call.when != "teardown":
        report.sections += import_module(_REPORTS).sections(item, opened)
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show where the exits differ from their golden."""
    if op != "==" or _GOLDENS not in {type(left).__module__, type(right).__module__}:
        return None
    explained: list[str] | None = import_module(_GOLDENS).explained(left, right)
    return explained


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the goldens that were written."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [each for report in reports for each in getattr(report, "user_properties", ())]
    written = sorted({str(value) for name, value in properties if name == UPDATED})
    for path in written:
        terminalreporter.write_line(f"golden written: {path}")


@pytest.fixture
def armvcpu_machine(request: pytest.FixtureRequest) -> Iterator[MachineFactory]:
    """Open a machine with a guest: ``armvcpu_machine("guest.elf", cpus=4)``. It is closed at the end of the test.

    Options omitted from the call come from the marker ``armvcpu``, then from the ini file.
    """
    opened = request.node.stash.setdefault(_OPENED, [])
    with ExitStack() as closing:
        yield import_module(_MACHINES).MachineFactory(request.node, opened, closing)


@pytest.fixture
def armvcpu_run(armvcpu_machine: MachineFactory) -> RunFactory:
    """Run a guest to its end: ``run = armvcpu_run("guest.elf")``; then check ``run.status``, ``run.console``, ..."""
    factory: RunFactory = import_module(_MACHINES).RunFactory(armvcpu_machine)
    return factory


@pytest.fixture
def armvcpu_golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GoldenFactory:
    """Open a golden file to compare exits with: ``assert run.exits == armvcpu_golden("boot.jsonl")``."""
    factory: GoldenFactory = import_module(_GOLDENS).GoldenFactory(request.node, tmp_path_factory)
    return factory


@pytest.fixture(scope="session")
def armvcpu_boots(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Boots:
    """The snapshots of the guests booted in this session, for ``armvcpu_booted``."""
    folder = tmp_path_factory.getbasetemp()
    # A worker of pytest-xdist has its own folder in that of the session.
    boots: Boots = import_module(_BOOTING).Boots(folder.parent if hasattr(pytestconfig, "workerinput") else folder)
    return boots


@pytest.fixture
def armvcpu_booted(armvcpu_machine: MachineFactory, armvcpu_boots: Boots) -> BootedFactory:
    """Open a machine whose guest has printed a text: ``armvcpu_booted("vmlinuz", until="login: ")``.

    The guest boots once in a session; each call opens another machine that continues from there.
    """
    factory: BootedFactory = import_module(_BOOTING).BootedFactory(armvcpu_machine, armvcpu_boots)
    return factory


class _ShortNames:
    """Fixtures whose names another plugin may use too."""

    @pytest.fixture
    def golden(self, armvcpu_golden: GoldenFactory) -> GoldenFactory:
        """An alias of armvcpu_golden."""
        return armvcpu_golden
