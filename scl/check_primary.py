"""What the schema cannot see in the primary part: nodes, terminals, zones, links to logical nodes."""

from __future__ import annotations

from collections.abc import Iterator

from scl.model import LNodeRef, Model
from scl.primary_graph import Graph, is_switching_device, logical_node
from scl.problem import Problem, Severity

E, W = Severity.ERROR, Severity.WARNING


def check_primary(model: Model, graph: Graph) -> Iterator[Problem]:
    """Every finding about substations, lines, and the zones between their switching devices."""
    yield from graph.problems
    for container in model.containers.values():
        if not container.name:
            yield Problem(container.line, E, "missing-name", f"a {container.kind} has no name")
        for link in container.l_nodes:
            yield from _link(model, link, container.path)
    for node in model.duplicate_nodes:
        text = f"connectivity node {node.path} is there twice, first in line {model.nodes[node.path].line}"
        yield Problem(node.line, E, "duplicate-connectivity-node", text)
    for node in model.nodes.values():
        if node.path != f"{node.container}/{node.name}":
            text = f"connectivity node {node.container}/{node.name} calls itself {node.path}"
            yield Problem(node.line, W, "path-name", text)
    for part in model.equipment:
        if not part.name:
            yield Problem(
                part.line, E, "missing-name", f"equipment of type {part.type} in {part.container} has no name"
            )
        for terminal in part.terminals:
            if not terminal.grounded and terminal.node not in model.nodes:
                text = f"{part.container}/{part.name}: terminal at {terminal.node}, no such connectivity node"
                yield Problem(terminal.line, E, "no-such-node", text)
        for link in part.l_nodes:
            yield from _link(model, link, f"{part.container}/{part.name}")
    yield from _zones(model, graph)


def check_scheme(model: Model, graph: Graph) -> Iterator[Problem]:
    """What a running scheme needs beyond a correct file: each device has an agent and a breaker's IED of its own."""
    owners: dict[str, str] = {}
    for part in graph.devices:
        name = graph.name(part)
        for classes, what in ((("CSWI",), "agent (CSWI)"), (("XCBR", "XSWI"), "breaker IED (XCBR or XSWI)")):
            ied = next((link.ied for link in part.l_nodes if link.ln_class in classes and link.ied in model.ieds), None)
            if ied is None:
                yield Problem(part.line, E, "device-without-ied", f"device {name} has no LNode to an {what}")
            elif owners.setdefault(ied, name) != name:
                text = f"IED {ied} serves {owners[ied]} and {name}; each device has its own"
                yield Problem(part.line, E, "shared-ied", text)
    for part in model.equipment:
        if is_switching_device(model, part) and part not in graph.devices and _linked(part.l_nodes):
            text = f"{part.container}/{part.name} is controlled by an IED and is not part of the feeder at its voltage"
            yield Problem(part.line, W, "device-outside", text)
    if not graph.devices:
        yield Problem(1, E, "no-device", "no connected switching device: there is no feeder")


def _linked(links: list[LNodeRef]) -> bool:
    return any(link.ied not in {"", "None"} for link in links)


def _link(model: Model, link: LNodeRef, where: str) -> Iterator[Problem]:
    if link.ied in {"", "None"} or logical_node(model, link) is not None:
        return
    node = f"{link.ied}{link.ld_inst}/{link.prefix}{link.ln_class}{link.ln_inst}"
    ied = model.ieds.get(link.ied)
    if ied is None:
        yield Problem(link.line, E, "dangling-lnode", f"{where}: LNode {node}: no such IED")
        return
    # An IED without a server keeps its nodes outside of logical devices; they are not modelled here.
    severity = E if ied.devices else W
    yield Problem(link.line, severity, "dangling-lnode", f"{where}: LNode {node}: no such logical node")


def _zones(model: Model, graph: Graph) -> Iterator[Problem]:
    if not graph.devices:
        return
    line_of_zone: dict[str, int] = {}
    for path, zone in graph.zone_of.items():
        line = model.nodes[path].line
        line_of_zone[zone] = min(line, line_of_zone.get(zone, line))
    joined: dict[str, set[str]] = {zone: set() for zone in line_of_zone}
    bounded: set[str] = set()
    for part in graph.devices:
        ends = [terminal for terminal in part.terminals if not terminal.grounded]
        a, b = (graph.zone_of[terminal.node] for terminal in ends)
        bounded |= {a, b}
        joined[a].add(b)
        joined[b].add(a)
        if a == b:
            same = "one connectivity node" if ends[0].node == ends[1].node else f"one zone, {a}"
            text = f"device {graph.name(part)}: its two sides are {same}; it separates nothing"
            yield Problem(part.line, E, "device-in-one-zone", text)
    for zone in sorted(set(line_of_zone) - bounded):
        text = f"zone {zone} has no switching device at its boundary"
        yield Problem(line_of_zone[zone], E, "zone-without-boundary", text)
    reached = {graph.zone_of[node] for _, node in graph.sources}
    if not reached:
        text = "no source: no transformer from another voltage and no infeeding line (IFL)"
        yield Problem(min(line_of_zone.values()), E, "zone-without-source", text)
        return
    frontier = list(reached)
    while frontier:
        for other in joined[frontier.pop()] - reached:
            reached.add(other)
            frontier.append(other)
    for zone in sorted(bounded - reached):
        text = f"zone {zone} cannot be reached from any source, whatever is closed"
        yield Problem(line_of_zone[zone], E, "zone-without-source", text)
