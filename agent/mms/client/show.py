"""What ``flisr mms`` prints: the model as a tree or as JSON, values, reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from open61850.mms.model import LogicalNode, ServerModel
from open61850.mms.pdu import ObjectName
from open61850.mms.types import MmsType, describe
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from agent.mms.client import plain
from agent.mms.client.reports import Entry, Loss, Report
from agent.mms.client.stream import Item, State

BLOCKS = {
    "BR": "buffered report",
    "RP": "report",
    "GO": "GOOSE",
    "LG": "log",
    "MS": "Sampled Values",
    "SP": "setting groups",
}

FIRST = ("stVal", "general", "mag", "cVal", "valWTr", "actVal", "")
"""What a person looks for in a data object."""


def references(node: LogicalNode) -> list[dict[str, str]]:
    """Attributes of a logical node: reference, functional constraint, type where it is known."""
    found = []
    for reference in node.references():
        type_ = node.type_of(reference)
        found.append({"reference": reference.name, "fc": reference.fc or "", "type": describe(type_) if type_ else ""})
    return found


def document(model: ServerModel) -> dict[str, Any]:
    """For JSON."""
    return {
        "devices": [
            {
                "name": device.name,
                "nodes": [
                    {
                        "name": node.name,
                        "attributes": references(node),
                        "data_sets": [f"{node.ld}/{node.name}.{name}" for name in node.data_sets],
                        "blocks": [
                            {"reference": block.name, "kind": BLOCKS.get(block.fc or "", block.fc)}
                            for block in node.control_blocks()
                        ],
                    }
                    for node in device.logical_nodes.values()
                ],
            }
            for device in model.logical_devices.values()
        ]
    }


def names(model: ServerModel) -> list[str]:
    """Every reference that a person may want to type."""
    found: dict[str, None] = {}
    for node in model.logical_nodes():
        for reference in node.references(leaves=False):
            found[reference.name] = None
        for block in node.control_blocks():
            found[block.name] = None
    return list(found)


def tree(title: str, model: ServerModel, under: str = "") -> Tree:
    """For a person; ``under``: only what begins with this reference."""
    root = Tree(Text(title, style="bold"))
    for device in model.logical_devices.values():
        branch = root.add(Text(device.name, style="bold cyan"))
        for node in device.logical_nodes.values():
            _node(branch, node, under)
    return root


def _node(branch: Tree, node: LogicalNode, under: str) -> None:
    whole = f"{node.ld}/{node.name}"
    if under and not (whole.startswith(under) or under.startswith(f"{whole}.") or under == whole):
        return
    made = branch.add(Text(node.name, style="bold"))
    objects: dict[str, Tree] = {}
    for reference in node.references():
        if under and not f"{reference.name}.".startswith(f"{under.rstrip('.')}.") and not whole.startswith(under):
            continue
        at, path = made, ""
        for part in reference.path[:-1]:
            path = f"{path}.{part}"
            if path not in objects:
                objects[path] = at.add(part)
            at = objects[path]
        type_ = node.type_of(reference)
        told = f"  {describe(type_)}" if type_ else ""
        at.add(Text.assemble(reference.path[-1], (f"  {reference.fc}{told}", "dim")))
    for name in node.data_sets:
        made.add(Text.assemble(name, ("  data set", "dim")))
    for block in node.control_blocks():
        made.add(Text.assemble(block.path[-1], (f"  {BLOCKS.get(block.fc or '', block.fc)} control block", "dim")))


def flat(told: Any, name: str = "") -> list[tuple[str, Any]]:
    """Leaves of what :func:`plain.plain` made, with their path."""
    if isinstance(told, dict) and set(told) != {"error"}:
        return [leaf for key, part in told.items() for leaf in flat(part, f"{name}.{key}" if name else key)]
    return [(name, told)]


def values(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Reference, functional constraint, value."""
    made = Table(box=None, header_style="bold")
    for title in ("reference", "fc", "value"):
        made.add_column(title, overflow="fold")
    for row in rows:
        told = row["value"] if "value" in row else {"error": row["error"]}
        for path, leaf in flat(told):
            reference = f"{row['reference']}.{path}" if path else row["reference"]
            made.add_row(Text(reference), row["fc"], Text(plain.text(leaf), style="red" if "error" in row else ""))
    return made


def entry(one: Entry, type_: MmsType | None) -> dict[str, Any]:
    """An entry of a report, for JSON."""
    last = one.name.item.rpartition("$")[2]
    return {"reference": one.reference, "value": plain.plain(one.value, type_, last), "reason": one.reason}


def item(one: Item, types: Mapping[ObjectName, MmsType | None]) -> dict[str, Any]:
    """A line of ``flisr mms watch --json``."""
    match one:
        case Loss(block, why):
            return {"event": "loss", "block": block, "why": why}
        case State(up, why):
            return {"event": "up" if up else "down", "why": why}
        case Report():
            return {
                "event": "report",
                "block": one.block,
                "number": one.number,
                "time": None if one.time is None else one.time.isoformat().replace("+00:00", "Z"),
                "entry_id": None if one.entry_id is None else one.entry_id.hex(),
                "entries": [entry(each, types.get(each.name)) for each in one.entries],
            }


@dataclass
class Board:
    """The live view: newest value of every member, and what happened to the connection."""

    title: str
    rows: dict[str, tuple[str, str, str, str, int]] = field(default_factory=dict)
    """Reference to value, quality, time, reason, changes."""
    notes: list[str] = field(default_factory=list)
    up: bool = False
    reports: int = 0
    losses: int = 0

    def take(self, one: Item, types: Mapping[ObjectName, MmsType | None]) -> None:
        """Show it from now on."""
        match one:
            case State(up, why):
                self.up = up
                self._note("connected" if up else why)
            case Loss(block, why):
                self.losses += 1
                self._note(f"{block}: reports lost: {why}")
            case Report():
                self.reports += 1
                for each in one.entries:
                    self._entry(each, types.get(each.name))

    def _note(self, words: str) -> None:
        self.notes = [*self.notes[-4:], words]

    def _entry(self, one: Entry, type_: MmsType | None) -> None:
        told = entry(one, type_)
        leaves = dict(sorted(flat(told["value"]), key=lambda leaf: leaf[0].partition(".")[0] not in FIRST))
        quality, when = str(leaves.pop("q", "")), plain.text(leaves.pop("t", ""))
        value = ", ".join(f"{path}={plain.text(leaf)}" if path and len(leaves) > 1 else plain.text(leaf)
                          for path, leaf in leaves.items())  # fmt: skip
        changes = self.rows.get(one.reference, ("", "", "", "", 0))[4]
        self.rows[one.reference] = (value, quality, when, told["reason"], changes + 1)

    def table(self) -> Table:
        """As it is now."""
        state = "[green]connected[/]" if self.up else "[red]not connected[/]"
        lost = f", [red]{self.losses} losses[/]" if self.losses else ""
        made = Table(
            box=None, header_style="bold", title=f"{self.title}  {state}, {self.reports} reports{lost}",
            title_justify="left", caption=Text("\n".join(map(plain.printable, self.notes))), caption_justify="left",
        )  # fmt: skip
        for title in ("reference", "value", "quality", "time", "reason", "n"):
            made.add_column(title, overflow="fold", justify="right" if title == "n" else "left")
        for reference, (value, quality, when, reason, count) in self.rows.items():
            bad = quality not in ("", "good")
            made.add_row(
                Text(reference), Text(value, "bold"), Text(quality, "red" if bad else ""), when, reason, str(count)
            )
        return made
