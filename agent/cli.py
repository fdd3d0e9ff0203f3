"""The command ``flisr``: assembles its sub-commands from the entry points of the installed distributions.

A room offers a command by naming it in the entry-point group ``flisr.commands``; so this file imports no other room,
and an agent installed alone has no command that it cannot carry out. Listing the commands imports none of them (their
one-line help is read from their source), a command's module is imported when it is used. ``flisr --help`` stays below
0.3 s that way, although the simulator's commands need numpy.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import click

GROUP = "flisr.commands"
DISTRIBUTION = "flisr"


def _canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def extra_for(module: str) -> str | None:
    """The extra of this distribution that brings the missing module, by its metadata; None if no extra does.

    The smallest extra wins (``simulator`` before ``test``, which includes it).
    """
    wanted = _canonical(module.partition(".")[0])
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)[^;]*;.*extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if match and _canonical(match[1]) == wanted:
            return match[2]
    return None


def first_line_of(entry: importlib.metadata.EntryPoint) -> str:
    """The first line of the command's docstring, read from its source without importing its module."""
    try:
        # This imports the packages above the module, whose __init__ is a docstring in this project.
        spec = importlib.util.find_spec(entry.module)
        if spec is None or spec.origin is None:
            return ""
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0].partition("\b")[0].strip()
    return ""


class EntryPointGroup(click.Group):
    """A group whose commands are entry points, imported one at a time when they are used."""

    def __init__(self, *args: Any, entry_point_group: str = GROUP, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entry_point_group = entry_point_group

    def _entries(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {entry.name: entry for entry in importlib.metadata.entry_points(group=self._entry_point_group)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted; nothing is imported."""
        return sorted({*super().list_commands(ctx), *self._entries()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the named command; say what to install where something that it needs is missing."""
        command = super().get_command(ctx, cmd_name)
        entry = None if command else self._entries().get(cmd_name)
        if entry is None:
            return command
        try:
            loaded = entry.load()
        except ModuleNotFoundError as error:
            raise click.ClickException(_missing(cmd_name, entry, error)) from error
        if not isinstance(loaded, click.Command):
            raise click.ClickException(f"{cmd_name}: {entry.value} is not a command")
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``; click's own would import every command for its help."""
        entries = self._entries()
        names = self.list_commands(ctx)
        width = formatter.width - 6 - max((len(name) for name in names), default=0)
        rows = []
        for name in names:
            own = self.commands.get(name)
            text = own.get_short_help_str(width) if own else first_line_of(entries[name])
            rows.append((name, text))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _missing(name: str, entry: importlib.metadata.EntryPoint, error: ModuleNotFoundError) -> str:
    module = error.name or str(error)
    if entry.module == module or entry.module.startswith(module + "."):
        return f"{name}: this installation does not contain {module}"
    extra = extra_for(module)
    if extra is None:
        return f"{name}: the Python package {module} is missing"
    return f"{name}: the Python package {module} is missing. Install it with: pip install '{DISTRIBUTION}[{extra}]'"


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION, prog_name="flisr")
def main() -> None:
    """Fault location, isolation and service restoration on IEC 61850.

    Every command that computes something takes --json: one JSON object on standard output and nothing else there. A
    command exits with 0 only if it did what it was asked.
    """


if __name__ == "__main__":
    sys.exit(main())
