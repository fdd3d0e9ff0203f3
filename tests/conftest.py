"""Rules for the whole suite: hypothesis profiles, and no skipped test in CI for want of something one can install."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")

FORBIDDEN = ("forbidden here", "needs the right", "may not have namespaces here", "without the right", "needs root")
"""What the machine's kernel does not allow is listed and no error: nobody can install it."""

_skipped: list[str] = []
_refused: list[str] = []


def _note(nodeid: str, longrepr: object) -> None:
    reason = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    kept = _refused if any(words in reason for words in FORBIDDEN) else _skipped
    kept.append(f"{nodeid}: {reason}")


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
        _note(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that skips itself as a whole (importorskip) counts, too."""
    if report.skipped:
        _note(report.nodeid, report.longrepr)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Turn a green run with skips into a red one (in the process that sums up, not in xdist's workers)."""
    yield
    summing_up = not hasattr(session.config, "workerinput")
    if summing_up and session.config.getoption("--no-skips") and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the skipped tests where they are an error."""
    if _refused and config.getoption("--no-skips"):
        terminalreporter.section("skipped, because this machine's kernel refuses it")
        for line in _refused:
            terminalreporter.write_line(line)
    if _skipped and config.getoption("--no-skips"):
        terminalreporter.section("skipped, which --no-skips (CI=true) forbids")
        for line in _skipped:
            terminalreporter.write_line(line)
