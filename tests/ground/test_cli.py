"""The command line: lists without importing, says what to install, refuses what it does not know."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agent import cli

ROOT = Path(__file__).parents[2]


def entry(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name=name, value=value, group=cli.GROUP)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> click.Group:
    """A command line whose entry points lead to modules in a temporary folder."""
    (tmp_path / "fixture_good.py").write_text(
        'raise_on_import = 1\nimport click\n@click.command()\ndef good():\n    """Does good.\n\n    More."""\n'
        "    click.echo('done')\n"
    )
    (tmp_path / "fixture_heavy.py").write_text(
        'import numpy_is_not_here\ndef heavy():\n    """Needs something."""\n    pass\n'
    )
    (tmp_path / "fixture_number.py").write_text("number = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [
        entry("good", "fixture_good:good"),
        entry("heavy", "fixture_heavy:heavy"),
        entry("number", "fixture_number:number"),
        entry("gone", "fixture_gone:gone"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)
    return cli.EntryPointGroup("flisr")


def test_help_lists_every_command_and_imports_none(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    for line in ("good    Does good.", "heavy   Needs something.", "gone", "number"):
        assert line in result.output
    assert not {"fixture_good", "fixture_heavy", "fixture_number"} & set(sys.modules)


def test_a_command_is_imported_when_it_is_used(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["good"])
    assert (result.exit_code, result.output) == (0, "done\n")


def test_a_missing_package_names_the_extra_that_brings_it(group: click.Group, monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["click>=8", "numpy-is-not.here>=1; extra == 'simulator'", "numpy_is_not_here; extra == 'test'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
    result = CliRunner().invoke(group, ["heavy"])
    assert result.exit_code == 1
    assert "numpy_is_not_here is missing. Install it with: pip install 'flisr[simulator]'" in result.output


def test_a_package_that_no_extra_brings_is_named(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["heavy"])
    assert result.exit_code == 1
    assert "the Python package numpy_is_not_here is missing" in result.output
    assert "pip" not in result.output


@pytest.mark.parametrize(("name", "why"), [("gone", "does not contain fixture_gone"), ("number", "is not a command")])
def test_a_broken_entry_point_is_said_without_a_traceback(group: click.Group, name: str, why: str) -> None:
    result = CliRunner().invoke(group, [name])
    assert result.exit_code == 1
    assert why in result.output


def test_an_unknown_command_is_a_usage_error(group: click.Group) -> None:
    assert CliRunner().invoke(group, ["no-such-command"]).exit_code == 2


def test_extras_by_this_distributions_own_metadata() -> None:
    assert cli.extra_for("numpy.linalg") == "simulator"
    assert cli.extra_for("pytest_timeout") == "test"
    assert cli.extra_for("click") is None


def test_every_entry_point_of_this_distribution_is_a_documented_command() -> None:
    distribution = importlib.metadata.distribution(cli.DISTRIBUTION)
    for found in distribution.entry_points.select(group=cli.GROUP):
        command = found.load()
        assert isinstance(command, click.Command), found
        assert cli.first_line_of(found), f"{found.value} has no docstring, so --help cannot say what it is"


def test_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.output == f"flisr, version {importlib.metadata.version('flisr')}\n"


def test_help_starts_fast_and_without_numerics() -> None:
    code = "import sys, agent.cli\ntry: agent.cli.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert not {"numpy", "lxml", "rich", "pyiec61850"} & loaded
    assert time.monotonic() - began < 10  # 0.15 s on an idle machine; a wide bound, the modules above are the test


def test_bench_lists_for_a_program() -> None:
    result = CliRunner().invoke(cli.main, ["bench", "--list", "--json"])
    assert result.exit_code == 0
    assert {"simulate"} <= {item["name"] for item in json.loads(result.stdout)["benchmarks"]}
