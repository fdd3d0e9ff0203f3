"""Rules for the whole suite: hypothesis profiles, and no skipped test where CI says that nothing is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")

_skipped: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--no-skips``: a skipped test fails the run, with its reason. It is on when the environment says CI=true."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help="fail the run if a test was skipped (default where CI=true)",
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note every skip; an expected failure (xfail) is not one."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append(f"{report.nodeid}: {reason}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that skips itself as a whole (importorskip) counts, too."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Turn a green run with skips into a red one (in the process that sums up, not in xdist's workers)."""
    yield
    summing_up = not hasattr(session.config, "workerinput")
    if summing_up and session.config.getoption("--no-skips") and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the skipped tests where they are an error."""
    if _skipped and config.getoption("--no-skips"):
        terminalreporter.section("skipped, which --no-skips (CI=true) forbids")
        for line in _skipped:
            terminalreporter.write_line(line)
