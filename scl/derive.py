"""From an SCD and its ratings to the :class:`~scl.scheme.Scheme`: feeder, roles, publications, subscriptions.

A file with errors (``scl.check``) is refused with the whole list. The ratings file is ``X.ratings.yaml`` beside
``X.scd`` unless another is named.
"""

from __future__ import annotations

from pathlib import Path

from scl.assemble import NOWHERE, Network, assemble
from scl.block import Document
from scl.check import refuse
from scl.model import Equipment, Model
from scl.modelling import model_of
from scl.primary_graph import Graph, graph_of, is_load_break, links
from scl.problem import Problem, SclError
from scl.ratings import Ratings
from scl.read import parse
from scl.scheme import GooseControl, IedWire, Role, Scheme, SvControl
from scl.settings import with_settings
from scl.topology import Der, DerKind, Device, DeviceKind, Feeder, Load, Section, Source
from scl.wire import ied_wires

__all__ = ["GooseControl", "IedWire", "Role", "Scheme", "SclError", "SvControl", "feeder_of", "read", "show"]

LBS_BREAKING_A = 630.0


def read(scd_path: str | Path, ratings_path: str | Path | None = None) -> Scheme:
    """The scheme of an SCD; SclError with everything that is wrong in the file or its ratings."""
    model, graph = refuse(scd_path)
    ratings = Path(ratings_path) if ratings_path is not None else ratings_beside(scd_path)
    feeder = feeder_of(model, graph, ratings)
    return Scheme(feeder, ied_wires(model, feeder))


def show(scd_path: str | Path, ratings_path: str | Path | None = None) -> tuple[Feeder, list[Problem]]:
    """The feeder as far as it can be made out, for a drawing; ratings are used if there are any."""
    model = model_of(parse(scd_path))
    graph = graph_of(model)
    ratings = Path(ratings_path) if ratings_path is not None else ratings_beside(scd_path)
    return feeder_of(model, graph, ratings if ratings.exists() or ratings_path is not None else None), graph.problems


def ratings_beside(scd_path: str | Path) -> Path:
    """Where the ratings of an SCD are looked for."""
    return Path(scd_path).with_suffix(".ratings.yaml")


def feeder_of(model: Model, graph: Graph, ratings_path: Path | None) -> Feeder:
    """The feeder; without a ratings file with stand-ins (no impedances, no loads): for looking at only."""
    network = Network(
        name=model.header_id or "feeder",
        frequency_hz=next((value for _, value in model.frequencies_hz), 50.0),
        nominal_kv=graph.nominal_kv or 10.0,
    )
    devices = [_device(model, graph, part) for part in graph.devices]
    sections = [_section(graph, part) for part in graph.sections]
    sources = [
        Source(graph.name(part), graph.node_names[node], NOWHERE, 0.0, 0.0, 0.0, 0.0, 0.0)
        for part, node in graph.sources
    ]
    loads = [Load(graph.name(part), _node(graph, part), NOWHERE, 0.0, 0.0) for part in graph.loads]
    ders = [
        Der(graph.name(part), _node(graph, part), NOWHERE, kind, 0.0, 0.0)
        for kind, parts in ((DerKind.MACHINE, graph.machines), (DerKind.INVERTER, graph.inverters))
        for part in parts
    ]
    if ratings_path is not None:
        document = Document(ratings_path)
        ratings = Ratings.read(document, network)
        network = ratings.network
        devices = [ratings.device(device) for device in devices]
        sections = [ratings.section(section) for section in sections]
        sources = [ratings.source(source) for source in sources]
        loads = [ratings.load(load) for load in loads]
        ders = [ratings.der(der) for der in ders]
        ratings.finish()
        document.finish()
    zone_of = {graph.node_names[path]: zone for path, zone in graph.zone_of.items()}
    return assemble(network, zone_of, devices, sections, sources, loads, ders, graph.busbars)


def _node(graph: Graph, part: Equipment) -> str:
    return next(graph.node_names[end.node] for end in part.terminals if end.node in graph.node_names)


def _section(graph: Graph, part: Equipment) -> Section:
    ends = [graph.node_names[terminal.node] for terminal in part.terminals if terminal.node in graph.node_names]
    return Section(graph.name(part), ends[0], ends[1], NOWHERE, 0.0, 0.0, 0.0, 0.0, 0.0)


def _device(model: Model, graph: Graph, part: Equipment) -> Device:
    ends = [graph.node_names[terminal.node] for terminal in part.terminals if not terminal.grounded]
    load_break = is_load_break(model, part)
    device = Device(
        name=graph.name(part),
        kind=DeviceKind.LOAD_BREAK_SWITCH if load_break else DeviceKind.BREAKER,
        node_a=ends[0],
        node_b=ends[1],
        zone_a=NOWHERE,
        zone_b=NOWHERE,
        normally_open=False,
        agent=agent_of(part),
        breaker_ied=breaker_of(part),
        merging_unit=merging_unit_of(model, part),
        breaking_current_a=LBS_BREAKING_A if load_break else 20_000.0,
    )
    return with_settings(model, part, device)


def agent_of(part: Equipment) -> str:
    """The IED whose CSWI controls the equipment; empty if none is linked."""
    return next((link.ied for link in links(part, "CSWI")), "")


def breaker_of(part: Equipment) -> str:
    """The IED whose XCBR or XSWI is the equipment's mechanism; empty if none is linked."""
    return next((link.ied for link in links(part, "XCBR", "XSWI")), "")


def merging_unit_of(model: Model, part: Equipment) -> str | None:
    """The IED of the TCTR of a current transformer in the same bay; the one at a node of the device first."""
    ends = {terminal.node for terminal in part.terminals}
    beside = [
        (not any(terminal.node in ends for terminal in other.terminals), link.ied)
        for other in model.equipment
        if other.type == "CTR" and other.container == part.container
        for link in links(other, "TCTR")
    ]
    return min(beside)[1] if beside else None
