"""The data model of a server: discovered over MMS, and what a person calls something found in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from open61850.mms.model import LogicalNode, ServerModel, logical_device_from_names
from open61850.mms.pdu import ObjectName
from open61850.mms.reference import Reference
from open61850.mms.types import ArrayType, MmsType, StructureType

from agent.mms.client.connection import Connection
from agent.mms.client.errors import ReferenceNotFoundError, RefusedError

DEVICE: Final = re.compile(r"[A-Za-z0-9_]+")
NAME: Final = re.compile(r"[A-Za-z0-9_]+(\$[A-Z]{2}(\$[A-Za-z0-9_]+)*)?")
DATA_SET: Final = re.compile(r"[A-Za-z0-9_]+\$[A-Za-z0-9_]+")


class Discovered(NamedTuple):
    """What a server consists of."""

    model: ServerModel
    passed_over: list[str]
    """Names that are none of IEC 61850-8-1."""


async def discover(connection: Connection, domains: Iterable[str] | None = None) -> Discovered:
    """The model without types: names of variables and data sets of each logical device."""
    model = ServerModel()
    passed_over: list[str] = []
    for domain in list(domains) if domains is not None else await connection.domains():
        if not DEVICE.fullmatch(domain):
            passed_over.append(domain)
            continue
        names = await connection.variables(domain)
        try:
            data_sets = await connection.data_sets(domain)
        except RefusedError:
            data_sets = []
        passed_over += [name for name in names if not NAME.fullmatch(name)]
        passed_over += [name for name in data_sets if not DATA_SET.fullmatch(name)]
        model.logical_devices[domain] = logical_device_from_names(
            domain, filter(NAME.fullmatch, names), filter(DATA_SET.fullmatch, data_sets)
        )
    return Discovered(model, passed_over)


async def add_types(connection: Connection, nodes: Iterable[LogicalNode]) -> None:
    """Ask for the types of logical nodes, one request each; a node whose type is refused stays without."""
    for node in nodes:
        try:
            node.type = await connection.type_of(ObjectName(node.name, node.ld))
        except RefusedError:
            node.type = None


@dataclass
class Types:
    """Types by logical node, asked for once each."""

    connection: Connection
    known: dict[tuple[str, str], MmsType | None] = field(default_factory=dict)

    async def of(self, name: ObjectName) -> MmsType | None:
        """The type of a variable; None where the server does not tell."""
        node, _, rest = name.item.partition("$")
        key = (name.domain or "", node)
        if key not in self.known:
            try:
                self.known[key] = await self.connection.type_of(ObjectName(node, name.domain))
            except RefusedError:
                self.known[key] = None
        return below(self.known[key], rest.split("$") if rest else [])


def below(type_: MmsType | None, path: Iterable[str]) -> MmsType | None:
    """The type of what lies at a path in a structure."""
    for part in path:
        while isinstance(type_, ArrayType):
            type_ = type_.element
        type_ = type_.component(part) if isinstance(type_, StructureType) else None
    return type_


def parse(text: str) -> Reference:
    """``LD/LN.DO.DA``, ``LD/LN.DO.DA[FC]`` or ``LD/LN$FC$DO$DA``; ReferenceNotFoundError."""
    try:
        return Reference.parse(text)
    except ValueError as error:
        raise ReferenceNotFoundError(f"{text}: {error}; expected LD/LN.DO.DA[FC]") from None


async def resolve(connection: Connection, text: str) -> list[Reference]:
    """What a person means: with the functional constraint given, that; without, all under which it exists. The logical
    node is asked for its type, which names them. ReferenceNotFoundError names what is there instead."""
    reference = parse(text)
    try:
        type_ = await connection.type_of(ObjectName(reference.ln, reference.ld))
    except RefusedError as error:
        raise ReferenceNotFoundError(await _missing(connection, reference, error.reason)) from None
    constraints = [name for name, _ in type_.components] if isinstance(type_, StructureType) else []
    wanted = [reference.fc] if reference.fc else constraints
    found = [
        reference.with_fc(fc)
        for fc in wanted
        if fc in constraints and (not reference.path or below(type_, [fc, *reference.path]) is not None)
    ]
    if not found:
        raise ReferenceNotFoundError(f"{reference}: {_instead(type_, reference)}")
    return found


def _instead(type_: MmsType | None, reference: Reference) -> str:
    """As far as the path is right, and what there is at that place."""
    best: tuple[int, list[str]] = (0, [])
    constraints = type_.components if isinstance(type_, StructureType) else []
    for fc, inner in constraints:
        if reference.fc not in (None, fc):
            continue
        depth, at = 0, inner
        while depth < len(reference.path) and (deeper := below(at, [reference.path[depth]])) is not None:
            depth, at = depth + 1, deeper
        names = [name for name, _ in at.components] if isinstance(at, StructureType) else []
        if depth > best[0]:
            best = (depth, names)
        elif depth == best[0]:
            best = (depth, list(dict.fromkeys([*best[1], *names])))
    if not best[1] and reference.fc:
        return f"no such functional constraint there; {', '.join(name for name, _ in constraints)}"
    where = ".".join((reference.ln, *reference.path[: best[0]]))
    return f"not there; {where} has {', '.join(best[1]) or 'no parts'}"


async def _missing(connection: Connection, reference: Reference, reason: str) -> str:
    domains = await connection.domains()
    if reference.ld not in domains:
        return f"{reference}: no logical device {reference.ld}; the server has {', '.join(domains)}"
    nodes = list(dict.fromkeys(name.partition("$")[0] for name in await connection.variables(reference.ld)))
    if reference.ln not in nodes:
        return f"{reference}: no logical node {reference.ln}; {reference.ld} has {', '.join(nodes)}"
    return f"{reference}: {reason}"
