"""The table of cases, and how one is played."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from agent.mms.statements import pics
from agent.mms.statements.offered import Offered
from tests.conformance.device import Device

TABLE = Path(__file__).with_name("cases.yaml")


class Case(NamedTuple):
    """One row."""

    group: str
    identifier: str
    """Of the UCAIug's procedures; empty where we are not sure of it."""
    negative: bool
    what: str
    needs: tuple[str, ...]
    """Lines of the PICS that must be offered."""
    issues: tuple[int, ...]
    by: str

    @property
    def procedure(self) -> Callable[[Device], None]:
        """What is done."""
        module, _, function = self.by.partition(".")
        found: Callable[[Device], None] = getattr(
            importlib.import_module(f"tests.conformance.procedures.{module}"), function
        )
        return found

    def missing(self, of: Offered) -> str:
        """Why it does not apply: the lines of the PICS that say no; empty if it does."""
        lines = {line.code: line for line in pics.lines(of)}
        return "; ".join(
            f"{code} {lines[code].name}: {lines[code].why}" for code in self.needs if not lines[code].offered
        )


def load() -> tuple[Case, ...]:
    """All rows."""
    table: dict[str, list[dict[str, Any]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return tuple(
        Case(
            group, row.get("id", ""), bool(row.get("negative")), row["what"], tuple(row["needs"]),
            tuple(row.get("issues", ())), row["by"],
        )
        for group, rows in table.items()
        for row in rows
    )  # fmt: skip
