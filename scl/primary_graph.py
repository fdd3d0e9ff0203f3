"""From the primary part of a model to zones: which connectivity nodes hang together without a switching device.

A switching device is a CBR, or a DIS whose XSWI says ``Load Break`` in SwTyp. Everything else with two terminals
(sections, disconnectors, instrument transformers in series) joins its nodes. A power transformer joins nothing: the
feeder is the network at one voltage, and a transformer that reaches another voltage is a source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from scl.model import Equipment, LNodeRef, LogicalNode, Model
from scl.problem import Problem, Severity

SECTION_TYPES = frozenset({"LIN", "CAB", "GIL", "RES", "REA"})
LOAD_TYPES = frozenset({"ELOAD", "MOT"})
MACHINE_TYPES = frozenset({"GEN"})
INVERTER_TYPES = frozenset({"CON", "BAT"})


@dataclass(slots=True)
class Graph:
    """The primary network at the feeder's voltage."""

    nominal_kv: float | None
    zone_of: dict[str, str]
    """Node path to zone name."""
    node_names: dict[str, str]
    """Node path to the short name that the feeder uses."""
    busbars: set[str]
    devices: list[Equipment] = field(default_factory=list)
    sections: list[Equipment] = field(default_factory=list)
    sources: list[tuple[Equipment, str]] = field(default_factory=list)
    """(transformer or IFL, node path on the feeder's side)."""
    loads: list[Equipment] = field(default_factory=list)
    machines: list[Equipment] = field(default_factory=list)
    inverters: list[Equipment] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """id() of an Equipment to its unique name."""
    problems: list[Problem] = field(default_factory=list)

    def name(self, equipment: Equipment) -> str:
        """The name under which the feeder and the ratings know it."""
        return self.names[id(equipment)]


def logical_node(model: Model, link: LNodeRef) -> LogicalNode | None:
    """The logical node that an LNode names; None if there is none."""
    ied = model.ieds.get(link.ied)
    device = ied.devices.get(link.ld_inst) if ied else None
    return device.nodes.get((link.prefix, link.ln_class, link.ln_inst)) if device else None


def links(part: Equipment, *classes: str) -> list[LNodeRef]:
    """The logical nodes of these classes that equipment is linked to, those of an IED."""
    return [link for link in part.l_nodes if link.ln_class in classes and link.ied not in {"", "None"}]


def is_switching_device(model: Model, equipment: Equipment) -> bool:
    """CBR, or DIS that is a load-break switch."""
    return equipment.type == "CBR" or is_load_break(model, equipment)


def is_load_break(model: Model, equipment: Equipment) -> bool:
    """DIS whose XSWI has SwTyp ``Load Break``."""
    if equipment.type != "DIS":
        return False
    for link in equipment.l_nodes:
        node = logical_node(model, link) if link.ln_class == "XSWI" else None
        if node is not None and node.values.get("SwTyp.stVal", (0, ""))[1] in {"Load Break", "1"}:
            return True
    return False


def graph_of(model: Model) -> Graph:
    """Cut the network into zones."""
    return _Cutter(model).graph()


class _Cutter:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.kv = sorted(model.voltages_kv, key=lambda entry: -len(entry[0]))
        self.parent: dict[str, str] = {}
        self.problems: list[Problem] = []

    def graph(self) -> Graph:
        switches = [part for part in self.model.equipment if is_switching_device(self.model, part)]
        nominal = self._nominal(switches)
        for path in self.model.nodes:
            if self._at(nominal, path):
                self.parent[path] = path
        devices = []
        for part in self.model.equipment:
            if not self._at(nominal, part.container) and part.type != "PTR":
                continue
            if is_switching_device(self.model, part):
                devices.append(part)
            elif part.type != "PTR":
                self._link(part)
        names = self._zone_names()
        graph = Graph(nominal, {path: names[self._find(path)] for path in self.parent}, self._node_names(), set())
        graph.busbars = {names[self._find(path)] for path in self._busbar_nodes(switches)}
        graph.problems = self.problems
        graph.devices = [part for part in devices if self._judge_device(part)]
        self._sort_parts(graph, nominal)
        return graph

    def _judge_device(self, part: Equipment) -> bool:
        ends = [terminal for terminal in part.terminals if not terminal.grounded]
        if len(ends) == 2 and all(terminal.node in self.parent for terminal in ends):
            return True
        if len(ends) != 2:
            # Without an IED behind it the drawing may just be unfinished.
            linked = any(link.ied not in {"", "None"} for link in part.l_nodes)
            text = f"{part.container}/{part.name} has {len(ends)} connected terminals; a switching device needs two"
            self._note(part.line, Severity.ERROR if linked else Severity.WARNING, "device-not-connected", text)
        return False

    # --- voltage -----------------------------------------------------------------------------------------------------

    def _kv_of(self, path: str) -> float | None:
        for prefix, value in self.kv:
            if path == prefix or path.startswith(prefix + "/"):
                return value
        return None

    def _nominal(self, switches: list[Equipment]) -> float | None:
        """The voltage at which most switching devices are; the lower one of two equals."""
        counts = Counter(value for part in switches if (value := self._kv_of(part.container)) is not None)
        if counts:
            return min(counts, key=lambda value: (-counts[value], value))
        return min((value for _, value in self.kv), default=None)

    def _at(self, nominal: float | None, path: str) -> bool:
        return nominal is None or self._kv_of(path) == nominal

    # --- zones -------------------------------------------------------------------------------------------------------

    def _find(self, path: str) -> str:
        while self.parent[path] != path:
            self.parent[path] = self.parent[self.parent[path]]
            path = self.parent[path]
        return path

    def _link(self, part: Equipment) -> None:
        ends = [terminal.node for terminal in part.terminals if not terminal.grounded]
        ends = [node for node in ends if node in self.parent]
        if len(ends) == 2:
            if part.type == "DIS" and ends[0] != ends[1]:
                text = (
                    f"{part.container}/{part.name} is a disconnector (no XSWI with SwTyp Load Break): taken as closed"
                )
                self._note(part.line, Severity.INFO, "disconnector", text)
            self.parent[self._find(ends[0])] = self._find(ends[1])

    def _busbar_nodes(self, switches: list[Equipment]) -> list[str]:
        """Nodes of bays without any equipment, as a busbar is drawn in SCL (IEC 61850-6 clause 9.2)."""
        equipped = {part.container for part in self.model.equipment}
        kinds = {path: container.kind for path, container in self.model.containers.items()}
        return [
            path
            for path in self.parent
            if (holder := self.model.nodes[path].container) not in equipped and kinds.get(holder) == "Bay"
        ]

    def _zone_names(self) -> dict[str, str]:
        """Root node to name: the line in it, else its bay (a busbar first), else its first node."""
        members: dict[str, list[str]] = defaultdict(list)
        for path in self.parent:
            members[self._find(path)].append(path)
        busbars = set(self._busbar_nodes([]))
        wished: dict[str, list[str]] = {}
        for root, paths in members.items():
            holders = {self.model.nodes[path].container for path in paths}
            lines = sorted(h for h in holders if h in self.model.containers and self.model.containers[h].kind == "Line")
            bars = sorted(self.model.nodes[path].container for path in paths if path in busbars)
            chosen = lines or bars[:1] or sorted(holders)[:1]
            short = "+".join(path.rpartition("/")[2] for path in chosen)
            wished[root] = [short, "+".join(chosen), min(paths)]
        return _unique(wished)

    def _node_names(self) -> dict[str, str]:
        return _unique({path: [self.model.nodes[path].name, path] for path in self.parent})

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _sort_parts(self, graph: Graph, nominal: float | None) -> None:
        kinds = (
            (LOAD_TYPES, graph.loads),
            (MACHINE_TYPES, graph.machines),
            (INVERTER_TYPES, graph.inverters),
        )
        for part in self.model.equipment:
            ends = [terminal.node for terminal in part.terminals if terminal.node in self.parent]
            if part.type == "PTR":
                if ends and len(ends) < len(part.terminals):
                    graph.sources.append((part, ends[0]))
                elif len({self._find(end) for end in ends}) > 1:
                    text = f"{part.container}/{part.name}: all windings at the feeder's voltage; taken as no connection"
                    self._note(part.line, Severity.WARNING, "transformer-inside", text)
            elif part.type == "IFL" and ends:
                graph.sources.append((part, ends[0]))
            elif part.type in SECTION_TYPES and len(ends) == 2:
                graph.sections.append(part)
            else:
                for types, group in kinds:
                    if part.type in types and len(ends) == 1:
                        group.append(part)
        # Names are unique within a kind: a source and a device may share one, as their ratings are kept apart.
        for parts in (
            graph.devices,
            graph.sections,
            [part for part, _ in graph.sources],
            graph.loads,
            graph.machines + graph.inverters,
        ):
            wished = {
                str(i): [part.name, f"{part.container.rpartition('/')[2]}_{part.name}", f"{part.container}/{part.name}"]
                for i, part in enumerate(parts)
            }
            for i, name in _unique(wished).items():
                graph.names[id(parts[int(i)])] = name

    def _note(self, line: int, severity: Severity, code: str, message: str) -> None:
        self.problems.append(Problem(line, severity, code, message))


def _unique(wished: dict[str, list[str]]) -> dict[str, str]:
    """For each key the first of its candidates that nobody else wants; the last, numbered, where none is."""
    names: dict[str, str] = {}
    left = dict(wished)
    for level in range(max((len(candidates) for candidates in wished.values()), default=0)):
        counts = Counter(candidates[level] for candidates in left.values() if level < len(candidates))
        taken = set(names.values())
        for key, candidates in list(left.items()):
            if level < len(candidates) and counts[candidates[level]] == 1 and candidates[level] not in taken:
                names[key] = candidates[level]
                del left[key]
    taken = set(names.values())
    for key, candidates in sorted(left.items()):
        number = 2
        while f"{candidates[-1]}#{number}" in taken:
            number += 1
        names[key] = f"{candidates[-1]}#{number}"
        taken.add(names[key])
    return names
