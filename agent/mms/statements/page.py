"""A statement as a page of Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

YES, NO = "yes", "no"


class Table(NamedTuple):
    """A heading, what is said below it, and rows."""

    title: str
    text: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Page(NamedTuple):
    """One statement."""

    title: str
    text: str
    tables: tuple[Table, ...]


def answer(offered: bool) -> str:
    """Yes or no."""
    return YES if offered else NO


def markdown(page: Page) -> str:
    """The page, with a newline at its end."""
    lines = [f"# {page.title}", "", page.text]
    for table in page.tables:
        lines += ["", f"## {table.title}", ""]
        if table.text:
            lines += [table.text, ""]
        lines += rows(table.headings, table.rows)
    return "\n".join(lines) + "\n"


def rows(headings: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines; what would end a cell is escaped."""
    lines = [_line(headings), _line(["---"] * len(headings))]
    return lines + [_line(row) for row in body]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
