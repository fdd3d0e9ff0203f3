"""Model implementation conformance statement: logical nodes and data objects of the tree that is served. Pure."""

from __future__ import annotations

from agent.mms.statements.offered import Offered
from agent.mms.statements.page import Page, Table
from agent.mms.tree import DataObject, Node


def page(of: Offered) -> Page:
    """The statement."""
    return Page(
        "MICS: the model",
        f"Of IED `{of.tree.ied}`: every logical node of its server, every data object with its common data class, and "
        "what is not the standard's. What each shows: [data model](data-model.md).",
        (_nodes(of), _classes(of), _private(of)),
    )


def _nodes(of: Offered) -> Table:
    rows = tuple(
        (f"`{of.tree.domain(device)}/{node.name}`", node.ln_class, ", ".join(_object(data) for data in node.objects))
        for device, node in of.tree.nodes()
    )
    return Table("Logical nodes", "", ("logical node", "class", "data objects"), rows)


def _object(data: DataObject) -> str:
    return f"{data.name} ({data.cdc})"


def _classes(of: Offered) -> Table:
    used: dict[str, set[str]] = {}
    for _, node in of.tree.nodes():
        for data in node.objects:
            used.setdefault(data.cdc, set()).update(attribute.name for attribute in data.attributes)
    rows = tuple((cdc, ", ".join(sorted(names)) or "sub data objects only") for cdc, names in sorted(used.items()))
    return Table("Common data classes", "", ("class", "data attributes used"), rows)


def _private(of: Offered) -> Table:
    rows = tuple(
        (f"`{node.name}.{data.name}`", data.cdc, space) for _, node in of.tree.nodes() for data, space in _spaces(node)
    )
    text = "Data objects with a name space of their own (dataNs)."
    return Table("Extensions", text, ("data object", "class", "name space"), rows)


def _spaces(node: Node) -> list[tuple[DataObject, str]]:
    found = []
    for data in node.objects:
        space = next((a.value for a in data.attributes if a.name == "dataNs" and a.value), "")
        if space:
            found.append((data, space))
    return found
