"""Rules for the whole suite: hypothesis profiles, and no skipped test in CI.

As root everything can be had, and every skip in CI is an error. An ordinary user is not blamed for what the kernel
forbids him; it is listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
settings.load_profile("ci" if CI else "default")

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("forbidden here", "needs the right", "may not have namespaces here", "without the right", "needs root")
"""Reasons of what the kernel does not allow an ordinary user."""

_skipped: list[str] = []
_refused: list[str] = []


def _note(nodeid: str, longrepr: object) -> None:
    reason = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    refused = os.geteuid() != 0 and any(words in reason for words in FORBIDDEN)
    kept = _refused if refused else _skipped
    kept.append(f"{nodeid}: {reason}")


def pytest_configure() -> None:
    """What was edited since it was compiled is not what would be tested."""
    built = ROOT / ".venv" / ".ready"
    ready = built.stat().st_mtime if built.exists() else 0.0
    for library in (*ROOT.glob("agent/goose/*.so"), *ROOT.glob("agent/logic/*.so"), *ROOT.glob("simulator/**/*.so")):
        source = library.with_name(library.name.partition(".")[0] + ".py")
        if source.exists() and source.stat().st_mtime > max(ready, library.stat().st_mtime):
            raise pytest.UsageError(f"{source.relative_to(ROOT)} is newer than its compiled form: make setup")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--no-skips``: a skipped test fails the run, with its reason. It is on when CI is set in the environment."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=CI,
        help="fail the run if a test was skipped (default where CI is set)",
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
        terminalreporter.section("skipped, because the kernel refuses it to this user")
        for line in _refused:
            terminalreporter.write_line(line)
    if _skipped and config.getoption("--no-skips"):
        terminalreporter.section("skipped, which --no-skips (CI) forbids")
        for line in _skipped:
            terminalreporter.write_line(line)
