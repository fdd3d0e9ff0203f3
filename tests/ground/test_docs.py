"""The documents say what the code does: commands, options, events, limits, links, and the safety table."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from agent import cli
from agent.logic.config import BrainConfig
from agent.mms import controls
from agent.mms.model import ADD_CAUSE, AddCause
from tests import docs_commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*docs_commands.documents(ROOT), ROOT / "CHANGELOG.md"]


def commands() -> dict[str, click.Command]:
    """Every command that does something, by its full name."""
    found: dict[str, click.Command] = {}

    def walk(name: str, command: click.Command) -> None:
        if isinstance(command, click.Group):
            for key in command.commands:
                walk(f"{name} {key}", command.commands[key])
        else:
            found[name] = command

    distribution = importlib.metadata.distribution(cli.DISTRIBUTION)
    for entry in distribution.entry_points.select(group=cli.GROUP):
        walk(f"flisr {entry.name}", entry.load())
    return found


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|<img src=\"([^\"]+)\"", file.read_text()):
        link = target[0] or target[1]
        if not link.startswith(("http://", "https://")):
            assert (file.parent / link).exists(), link


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    for file in (ROOT / "docs").rglob("*.md"):
        if file.name != "index.md":
            assert f"({file.relative_to(ROOT / 'docs')})" in index, file


def test_shown_commands_are_found_and_their_marks_understood(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text(
        "```console\n$ a one \\\n    two\noutput\n$ b\n```\n\n"
        "<!-- run: no, needs a substation -->\n```console\n$ c\n```\n"
        "<!-- run: exits 3 -->\n```console\n$ d\n```\n<!-- run: long -->\n```console\n$ e\n```\n"
    )
    found = docs_commands.shown(file)
    assert [(item.command, item.line, item.runs, item.exits, item.long) for item in found] == [
        ("a one     two", 2, True, 0, False),
        ("b", 4, True, 0, False),
        ("c", 10, False, 0, False),
        ("d", 14, True, 3, False),
        ("e", 18, True, 0, True),
    ]
    file.write_text("<!-- run: maybe -->\n```console\n$ a\n```\n")
    with pytest.raises(ValueError, match="maybe"):
        docs_commands.shown(file)


def test_a_shown_command_that_fails_is_reported(tmp_path: Path) -> None:
    file = ROOT / "README.md"
    commands_ = [docs_commands.Shown(file, 1, "exit 3"), docs_commands.Shown(file, 2, "test -f README.md")]
    wrong = docs_commands.run(commands_, with_long=False)
    assert len(wrong) == 1
    assert wrong[0].startswith("README.md:1: exit 3\n  exit 3, not 0")


def test_shown_flisr_commands_exist_with_their_options() -> None:
    known = commands()
    for file in docs_commands.documents(ROOT):
        for item in docs_commands.shown(file):
            for call in re.findall(r"(?:^|[|&;] *)(flisr [^|&;<>]+)", item.command):
                words = call.split()
                name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in known), None)
                if name is None:
                    assert words[1].startswith("-"), f"{file}:{item.line}: {call}"
                    continue
                options = {option for parameter in known[name].params for option in parameter.opts} | {"--help", "-h"}
                used = {word.partition("=")[0] for word in words if word.startswith("-")}
                assert used <= options, f"{file}:{item.line}: {call}"


def test_reference_names_every_command_and_option() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text()
    sections = {part.partition("`")[0]: part for part in re.split(r"^## `", text, flags=re.MULTILINE)[1:]}
    known = commands()
    assert set(sections) == set(known)
    for name, command in known.items():
        options = {option for parameter in command.params if isinstance(parameter, click.Option) for option in
                   (*parameter.opts, *parameter.secondary_opts)}  # fmt: skip
        documented = set(re.findall(r"`(--?[a-z][a-z0-9-]*)", sections[name])) - {"--help"}
        assert options == documented, name


def events_in(folder: Path) -> set[str]:
    """Names of events in the sources: given to ``emit`` (brain), ``event`` (protection) or the log (station)."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute)):
                continue
            log = node.func.attr == "append" and ast.unparse(node.func.value).endswith("_log")
            name = node.args[0]
            if (log or node.func.attr in ("emit", "event")) and isinstance(name, ast.Constant):
                found.add(str(name.value))
    return found


def test_reference_names_every_event_and_no_other() -> None:
    text = (ROOT / "docs/reference/events.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", text, flags=re.MULTILINE))
    composed = {"pickup_sent", "claim_sent", "trip_sent", "close_sent", "lockout_announced", "latched_announced",
                "protection_started", "protection_attached", "protection_restarted"}  # fmt: skip
    assert documented == events_in(ROOT / "agent") | composed


def test_limits_of_the_brain_are_as_documented() -> None:
    text = (ROOT / "docs/explanation/dflisr.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", text, flags=re.MULTILINE))
    plain = {"backfeed_machine", "backfeed_inverter", "reach_factor", "plan_limit"}
    expected = {
        f.name: f"{f.default:g}" if f.name in plain else f"{f.default / 1000:g} ms" for f in fields(BrainConfig)
    }
    assert documented == expected


def test_every_cause_of_a_refusal_is_in_the_reference_and_no_other() -> None:
    text = (ROOT / "docs/reference/controls.md").read_text()
    documented = re.findall(r"^\| (\d+) \| ([a-z ]+) \|", text, flags=re.MULTILINE)
    known = {name.lower().replace("_", " "): value for name, value in vars(AddCause).items() if name.isupper()}
    assert {name: int(number) for number, name in documented} == known
    used = {*ADD_CAUSE.values(), *controls.AT_ONCE.values(), *controls.BY_THE_LIBRARY.values()}
    assert used | {AddCause.UNKNOWN} == set(known.values())


def _names(file: Path) -> set[str]:
    """Functions, classes and methods (as ``Class.method`` and ``method``) of a Python file, functions of a C file."""
    text = file.read_text()
    if file.suffix in (".c", ".h"):
        return set(re.findall(r"\b([a-z_][a-z0-9_]*)\s*\(", text))
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{i.name}" for i in node.body if isinstance(i, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return found


def safety_rows() -> list[list[str]]:
    text = (ROOT / "docs/explanation/safety.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| H"]
    return rows


def test_safety_names_hazards_with_rule_code_and_test() -> None:
    rows = safety_rows()
    assert len(rows) >= 15
    assert [row[0] for row in rows] == [f"H{n}" for n in range(1, len(rows) + 1)]
    assert all(len(row) == 5 for row in rows), "number, hazard, rule, code, test"


@pytest.mark.parametrize("row", safety_rows(), ids=lambda row: row[0])
def test_safety_names_code_and_tests_that_exist(row: list[str]) -> None:
    for column, least in ((row[3], 1), (row[4], 1)):
        references = re.findall(r"`([\w/.]+)(?:::([\w.]+))?`", column)
        assert len(references) >= least
        for path, name in references:
            assert (ROOT / path).is_file(), path
            if name:
                assert name in _names(ROOT / path), f"{path}::{name}"
    assert all("::test_" in reference for reference in re.findall(r"`([^`]+)`", row[4]))
